"""The files that prompts point at, read as their rows are rendered."""

from binascii import Error as NotBase64
from binascii import a2b_base64
from collections.abc import Mapping
from glob import escape
from os import fspath, sep
from pathlib import Path
from typing import Any

from batchspec.messages import JsonObject
from batchspec.spec.parts import (
    IMAGES,
    MOST_BYTES,
    PDF,
    Attachment,
    Image,
    data_url,
    described,
    document_part,
    image_part,
    media_type,
)
from batchspec.spec.prompt import PromptInvalid
from batchspec.spec.shapes import is_mapping

MOST_PLACES = 1_000
"""Folders of one job whose files are remembered, with the ends of their names."""
_AN_IMAGE = "an image: PNG, JPEG, WebP and GIF can be sent"


class Attached:
    """Where the files are that prompts of one job point at: nothing is kept for each of them."""

    def __init__(self) -> None:
        self._patterns: dict[str, None] = {}

    def note(self, path: Path) -> None:
        """Remember the folder of a file, and the end of its name."""
        hidden = "." * path.name.startswith(".")
        pattern = f"{escape(str(path.parent))}{sep}{hidden}*{escape(path.suffix)}"
        if len(self._patterns) < MOST_PLACES:
            self._patterns[pattern] = None

    def patterns(self) -> list[str]:
        """Return globs that match the files, and others beside them; from any thread."""
        return list(self._patterns)


class Attaching:
    """Turns the attachments of one request into parts, within the limit of a request.

    Args:
        root: Where relative paths begin.
        attached: Is told which files are read.
    """

    def __init__(self, root: str, attached: Attached | None = None) -> None:
        self._root = root
        self._attached = attached
        self._bytes = 0

    def __call__(self, part: Attachment | Mapping[str, Any]) -> JsonObject:
        """Return an attachment as a part of a message; one in the provider's form is looked at.

        Raises:
            PromptInvalid: Its file cannot be read, is not what it should be, or is too large; a
                data URL holds no bytes.
        """
        if isinstance(part, Mapping):
            return self._looked_at(part)
        if isinstance(part, Image) and part.url is not None:
            return self._by_url(part, part.url)
        data = self._read(part) if part.data is None else part.data
        self._add(described(part), len(data))
        kind = media_type(data)
        if isinstance(part, Image):
            if kind not in IMAGES:
                raise _other(part, data, _AN_IMAGE)
            return image_part(data_url(kind, data), part.detail)
        if kind != PDF:
            raise _other(part, data, "a PDF file, which a Document is")
        name = part.name or (Path(part.path).name if part.path is not None else "document.pdf")
        return document_part(name, data)

    def _looked_at(self, part: Mapping[str, Any]) -> JsonObject:
        if (url := _held(part)) is not None:
            what = f"The {part['type']} part"
            self._add(what, len(_decoded(what, url)))
        return dict(part)

    def _by_url(self, part: Image, url: str) -> JsonObject:
        if url.startswith("data:"):
            data = _decoded(described(part), url)
            self._add(described(part), len(data))
            if media_type(data) not in IMAGES:
                raise _other(part, data, _AN_IMAGE)
        return image_part(url, part.detail)

    def _read(self, part: Attachment) -> bytes:
        assert part.path is not None  # noqa: S101 - it has one source
        path = Path(self._root, fspath(part.path))
        if self._attached is not None:
            self._attached.note(path)
        try:
            if (size := path.stat().st_size) > MOST_BYTES:
                self._fits(described(part), size)
            return path.read_bytes()
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise PromptInvalid(
                f"{described(part)} cannot be read: {why}. Paths begin at the project's folder."
            ) from error

    def _add(self, what: str, size: int) -> None:
        self._bytes += size
        self._fits(what, size)

    def _fits(self, what: str, size: int) -> None:
        if max(size, self._bytes) <= MOST_BYTES:
            return
        total = f"; with it the files of the request have {self._bytes:_}" * (self._bytes > size)
        raise PromptInvalid(
            f"{what} has {size:_} bytes{total}. A request may have files of "
            f"{MOST_BYTES:_} bytes; make it smaller, or point at it with a URL."
        )


def _held(part: Mapping[str, Any]) -> str | None:
    """Return the data URL of a part in the form of chats; None where it has none."""
    inner: Any = part.get(str(part.get("type")))
    found = [inner.get(name) for name in ("url", "file_data")] if is_mapping(inner) else []
    return next((one for one in found if isinstance(one, str) and one.startswith("data:")), None)


def _decoded(what: str, url: str) -> bytes:
    head, comma, payload = url.partition(",")
    if not comma or not head.endswith(";base64"):
        raise PromptInvalid(f"{what} has a data URL that does not begin with data:TYPE;base64,.")
    try:
        return a2b_base64(payload, strict_mode=True)
    except (NotBase64, ValueError) as error:
        raise PromptInvalid(f"{what} has a data URL that holds no base64: {error}.") from error


def _other(part: Attachment, data: bytes, wanted: str) -> PromptInvalid:
    found = media_type(data) or (f"begins with {data[:8]!r}" if data else "is empty")
    return PromptInvalid(f"{described(part)} ({len(data):_} bytes, {found}) is not {wanted}.")
