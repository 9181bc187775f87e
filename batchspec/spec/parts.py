"""Parts of a message that are no text: what prompt functions may put into one, as values.

The neutral form of a part is that of chat completions. Facts: OpenAI's guides to images and file
inputs.
"""

import hashlib
import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from os import PathLike, fspath
from typing import Any, Literal, TypeAlias

from batchspec.messages import JsonObject
from batchspec.spec.shapes import is_list, is_mapping

Detail = Literal["auto", "low", "high"]
MOST_BYTES = 50_000_000
"""Of all files of one request together: what OpenAI documents, for images and for PDF files."""
ATTACHED = frozenset({"image_url", "file", "input_audio"})
"""Types of the parts that are no text, as chat completions call them."""
PDF = "application/pdf"
IMAGES = ("image/png", "image/jpeg", "image/webp", "image/gif")
_URLS = ("http://", "https://", "data:")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_LONG = 200
"""Characters of a data URL that are still shown."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image in a message: `Image("photos/a.png")`, `Image("https://…")` or `Image(data=…)`.

    A file is sent as a data URL; what it is follows from its first bytes, not from its name. PNG,
    JPEG, WebP and GIF are taken. A URL is left for the provider to fetch.

    Args:
        path: Relative to the project's folder; a URL is taken here too.
        url: `http`, `https` or `data`.
        data: The bytes themselves.
        detail: How closely the model looks, which costs tokens; None: as the provider likes to.
    """

    path: str | PathLike[str] | None = None
    _: KW_ONLY
    url: str | None = None
    data: bytes | None = None
    detail: Detail | None = None

    def __post_init__(self) -> None:
        _one_source(self, self.path, self.url, self.data)
        _kinds(self, self.path, self.data)
        if isinstance(self.path, str) and self.path.startswith(_URLS):
            object.__setattr__(self, "url", self.path)
            object.__setattr__(self, "path", None)
        url = self.path if _is_url(self.path) else self.url
        if url is not None and not (isinstance(url, str) and url.startswith(_URLS)):
            raise ValueError(f"the url of an Image is http, https or data; got {url!r:.80}")
        if self.detail not in {None, "auto", "low", "high"}:
            raise ValueError(f"`detail` is auto, low or high; got {self.detail!r}")


@dataclass(frozen=True, slots=True)
class Document:
    """A PDF file in a message: `Document("letters/a.pdf")` or `Document(data=…, name="a.pdf")`.

    Args:
        path: Relative to the project's folder.
        data: The bytes themselves.
        name: What the model is told it is called; None: the name of the file.
    """

    path: str | PathLike[str] | None = None
    _: KW_ONLY
    data: bytes | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        _one_source(self, self.path, self.data)
        _kinds(self, self.path, self.data)
        if _is_url(self.path):
            raise ValueError("a Document is a file; chat completions fetch no documents by URL")


Attachment: TypeAlias = Image | Document
"""What is read before it is sent."""
Part: TypeAlias = str | Attachment | Mapping[str, Any]
"""A part of a message: a text, an image, a document, or a part as the provider wants it."""


def _one_source(part: "Attachment", *sources: object) -> None:
    if sum(source is not None for source in sources) != 1:
        words = "a path, a url or data" if isinstance(part, Image) else "a path or data"
        raise ValueError(f"{_called(part)} has {words}: exactly one of them")


def _kinds(part: "Attachment", path: object, data: object) -> None:
    """Refuse a path and data that are none."""
    if not isinstance(path, str | PathLike | None):
        raise TypeError(f"the path of {_called(part)} is a text or a path; got {path!r:.80}")
    if not isinstance(data, bytes | None):
        raise TypeError(
            f"`data` of {_called(part)} is its bytes, not a text or a path; got"
            f" {type(data).__name__} {data!r:.80}"
        )


def _called(part: "Attachment") -> str:
    return "an Image" if isinstance(part, Image) else "a Document"


def _is_url(path: object) -> bool:
    """Tell whether what stands for a path is a URL, of whatever scheme."""
    return isinstance(path, str) and (path.startswith(_URLS) or bool(_SCHEME.match(path)))


def described(part: Attachment) -> str:
    """Return what a part is called in a sentence: its path, or what it is."""
    kind = type(part).__name__
    return f"{kind}(data=…)" if part.path is None else f"{kind} {fspath(part.path)!r}"


def media_type(data: bytes) -> str | None:
    """Return what some bytes are, by how they begin; None: nothing that can be sent."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    # The header of a PDF may stand behind a little rubbish.
    return PDF if b"%PDF-" in data[:1024] else None


def data_url(kind: str, data: bytes) -> str:
    """Return bytes as a URL that holds them."""
    return f"data:{kind};base64,{b64encode(data).decode()}"


def text_part(text: str) -> JsonObject:
    """Return a text as a part."""
    return {"type": "text", "text": text}


def image_part(url: str, detail: Detail | None) -> JsonObject:
    """Return an image as a part."""
    return {"type": "image_url", "image_url": {"url": url} | ({"detail": detail} if detail else {})}


def document_part(name: str, data: bytes) -> JsonObject:
    """Return a PDF file as a part."""
    return {"type": "file", "file": {"filename": name, "file_data": data_url(PDF, data)}}


def abbreviated(value: Any) -> Any:
    """Return a JSON value for people: long data URLs in it say how long they are instead."""
    if isinstance(value, str):
        return _shown(value) if is_data_url(value) else value
    if is_mapping(value):
        return {name: abbreviated(one) for name, one in value.items()}
    return [abbreviated(one) for one in value] if is_list(value) else value


def is_data_url(text: str) -> bool:
    """Tell whether a text is a data URL that is longer than anybody would read."""
    return len(text) > _LONG and text.startswith("data:") and ";base64," in text[:_LONG]


def _shown(url: str) -> str:
    head, _, rest = url.partition(",")
    size = len(rest) * 3 // 4 - rest[-2:].count("=")
    digest = hashlib.sha256(url.encode("utf-8", "replace")).hexdigest()[:8]
    return f"{head},… ({size:_} bytes, {digest})"
