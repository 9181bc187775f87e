"""The files that prompts point at, read as their rows are rendered."""

from os import fspath
from pathlib import Path

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


class Attaching:
    """Turns the attachments of one request into parts, within the limit of a request.

    Args:
        root: Where relative paths begin.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._bytes = 0

    def __call__(self, part: Attachment) -> JsonObject:
        """Return an attachment as a part of a message.

        Raises:
            PromptInvalid: Its file cannot be read, is not what it should be, or is too large.
        """
        if isinstance(part, Image) and part.url is not None:
            return image_part(part.url, part.detail)
        data = self._read(part) if part.data is None else part.data
        self._bytes += len(data)
        self._fits(part, len(data))
        kind = media_type(data)
        if isinstance(part, Image):
            if kind not in IMAGES:
                raise _other(part, data, "an image: PNG, JPEG, WebP and GIF can be sent")
            return image_part(data_url(kind, data), part.detail)
        if kind != PDF:
            raise _other(part, data, "a PDF file, which a Document is")
        name = part.name or (Path(part.path).name if part.path is not None else "document.pdf")
        return document_part(name, data)

    def _read(self, part: Attachment) -> bytes:
        assert part.path is not None  # noqa: S101 - it has one source
        path = Path(self._root, fspath(part.path))
        try:
            if (size := path.stat().st_size) > MOST_BYTES:
                self._fits(part, size)
            return path.read_bytes()
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise PromptInvalid(
                f"{described(part)} cannot be read: {why}. Paths begin at the project's folder."
            ) from error

    def _fits(self, part: Attachment, size: int) -> None:
        if max(size, self._bytes) <= MOST_BYTES:
            return
        total = f"; with it the files of the request have {self._bytes:_}" * (self._bytes > size)
        raise PromptInvalid(
            f"{described(part)} has {size:_} bytes{total}. A request may have files of "
            f"{MOST_BYTES:_} bytes; make it smaller, or point at it with a URL."
        )


def _other(part: Attachment, data: bytes, wanted: str) -> PromptInvalid:
    found = media_type(data) or (f"begins with {data[:8]!r}" if data else "is empty")
    return PromptInvalid(f"{described(part)} ({len(data):_} bytes, {found}) is not {wanted}.")
