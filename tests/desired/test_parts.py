"""Images and documents in messages: how they are written, read, and told wrong."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from batchspec.desired.attached import Attaching
from batchspec.spec import parts
from batchspec.spec.parts import Document, Image, abbreviated, media_type
from batchspec.spec.prompt import PromptInvalid, as_messages

PNG = b"\x89PNG\r\n\x1a\n" + b"picture"
PDF = b"%PDF-1.7\n" + b"pages"


def url(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.png").write_bytes(PNG)
    (tmp_path / "b.pdf").write_bytes(PDF)
    (tmp_path / "c.png").write_text("no picture")
    (tmp_path / "d.png").write_bytes(b"")
    return tmp_path


def told(folder: Path, result: Any) -> str:
    with pytest.raises(PromptInvalid) as caught:
        as_messages(result, Attaching(str(folder)))
    return str(caught.value)


def test_parts_alone_are_one_message_of_the_user(folder: Path) -> None:
    given = ["Look:", Image("a.png", detail="low"), Document("b.pdf"), {"type": "of_mine"}]
    assert as_messages(given, Attaching(str(folder))) == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look:"},
                {
                    "type": "image_url",
                    "image_url": {"url": url("image/png", PNG), "detail": "low"},
                },
                {
                    "type": "file",
                    "file": {"filename": "b.pdf", "file_data": url("application/pdf", PDF)},
                },
                {"type": "of_mine"},
            ],
        }
    ]


def test_messages_may_hold_parts(folder: Path) -> None:
    given = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": ["Look:", Image("https://example.com/x.png")]},
    ]
    assert as_messages(given, Attaching(str(folder)))[1]["content"] == [
        {"type": "text", "text": "Look:"},
        {"type": "image_url", "image_url": {"url": "https://example.com/x.png"}},
    ]


def test_an_image_alone_is_a_message(folder: Path) -> None:
    (message,) = as_messages(Image(data=PNG), Attaching(str(folder)))
    assert message["content"] == [
        {"type": "image_url", "image_url": {"url": url("image/png", PNG)}}
    ]


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (b"\n\n%PDF-1.4", "application/pdf"),
        (b"RIFF\0\0\0\0WAVE", None),
        (b"<svg/>", None),
        (b"", None),
    ],
)
def test_what_a_file_is_follows_from_its_bytes(data: bytes, kind: str | None) -> None:
    assert media_type(data) == kind


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (Image("gone.png"), "Image 'gone.png' cannot be read: No such file or directory."),
        (Image("."), "Image '.' cannot be read: Is a directory."),
        (Image("a\0b"), "cannot be read: "),
        (Image("c.png"), "Image 'c.png' (10 bytes, begins with b'no pictu') is not an image"),
        (Image("d.png"), "Image 'd.png' (0 bytes, is empty) is not an image"),
        (Image("b.pdf"), "(14 bytes, application/pdf) is not an image"),
        (Document("a.png"), "Document 'a.png' (15 bytes, image/png) is not a PDF file"),
        (Document(data=b"x"), "Document(data=…) (1 bytes, begins with b'x') is not a PDF"),
    ],
)
def test_a_file_that_cannot_be_sent_is_told(folder: Path, given: Any, words: str) -> None:
    assert words in told(folder, ["x", given])


def test_the_files_of_a_request_have_a_limit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batchspec.desired.attached.MOST_BYTES", 20)
    assert as_messages([Image("a.png")], Attaching(str(folder)))
    words = told(folder, [Image("a.png"), Image("a.png")])
    assert "Image 'a.png' has 15 bytes; with it the files of the request have 30." in words
    (folder / "big.png").write_bytes(PNG + b"x" * 20)
    assert "Image 'big.png' has 35 bytes. A request may have files of 20" in told(
        folder, Image("big.png")
    )
    assert parts.MOST_BYTES == 50_000_000


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (Image, "an Image has a path, a url or data: exactly one of them"),
        (Document, "a Document has a path or data: exactly one of them"),
        (lambda: Image("a.png", data=PNG), "exactly one"),
        (lambda: Image(url="a.png"), "http, https or data"),
        (lambda: Image(url=b"https://x"), "the url of an Image is http, https or data; got b'"),
        (lambda: Image("ftp://x/y.png"), "the url of an Image is http, https or data; got 'ftp:"),
        (lambda: Image("s3://x/y.png"), "the url of an Image is http, https or data; got 's3://"),
        (lambda: Document("s3://x/y.pdf"), "a Document is a file"),
        (
            lambda: Image(data="abc"),
            "`data` of an Image is its bytes, not a text or a path; got str",
        ),
        (
            lambda: Document(data=3),
            "`data` of a Document is its bytes, not a text or a path; got i",
        ),
        (lambda: Image(3), "the path of an Image is a text or a path; got 3"),
        (lambda: Document(b"a.pdf"), "the path of a Document is a text or a path; got b'a.pdf'"),
        (lambda: Image("a.png", detail="best"), "auto, low or high"),  # type: ignore[arg-type]
        (lambda: Document("https://example.com/x.pdf"), "fetch no documents by URL"),
    ],
)
def test_a_part_without_sense_is_told_where_it_is_made(make: Any, words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        make()


@pytest.mark.parametrize("given", [[3], [{"role": "user", "content": [3]}], ["a", {"role": "x"}]])
def test_what_is_no_part_is_told(folder: Path, given: Any) -> None:
    words = told(folder, [*given, "b"] if given == [3] else given)
    assert "A part of a message is" in words or "A message is a dict" in words


def test_people_are_shown_how_long_the_data_is() -> None:
    long = url("image/png", PNG * 100)
    shown = abbreviated({"a": [long, "data:short"], "b": (1, None)})
    assert shown == {
        "a": [f"data:image/png;base64,… (1_500 bytes, {shown['a'][0][-9:-1]})", "data:short"],
        "b": [1, None],
    }
    assert len(json.dumps(shown)) < 120
    other = abbreviated(url("image/png", PNG * 99 + PNG[::-1]))
    assert other != shown["a"][0], "another picture of one size is told apart"


@pytest.mark.parametrize("name", ["image", "part", "file"])
@pytest.mark.parametrize(
    ("text", "why"),
    [
        (url("image/png", b"x" * 2_000), "bytes"),
        ("data:image/png;base64,%%%%", "no base64"),
        ("data:,hello", "does not begin with data:TYPE;base64,"),
    ],
    ids=["large", "broken", "plain"],
)
def test_a_data_url_is_looked_at_like_a_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, why: str
) -> None:
    monkeypatch.setattr("batchspec.desired.attached.MOST_BYTES", 1_000)
    given: dict[str, Any] = {
        "image": lambda: Image(text),
        "part": lambda: {"type": "image_url", "image_url": {"url": text}},
        "file": lambda: {"type": "file", "file": {"filename": "a.pdf", "file_data": text}},
    }
    assert why in told(folder, ["Look:", given[name]()])


def test_a_data_url_that_holds_another_thing_is_no_image(folder: Path) -> None:
    assert "is not an image" in told(folder, [Image(url("text/html", b"<html>"))])
    kept = Image(url("image/png", PNG))
    assert as_messages([kept], Attaching(str(folder)))[0]["content"] == [
        {"type": "image_url", "image_url": {"url": kept.url}}
    ]
