"""Faults of uploads and downloads: behaviours 7 and 8."""

import zlib
from collections.abc import Callable
from typing import ClassVar, Literal

from pydantic import Field, PositiveInt
from starlette.datastructures import MutableHeaders
from starlette.types import Message, Send

from batchspec.simulator.faults.call import Call
from batchspec.simulator.faults.calls import CallFault
from batchspec.simulator.faults.rule import Patterns
from batchspec.simulator.wire import HTTPFailure

_DOWNLOADS = ("files.content",)
_UPLOADS = ("files.create",)


class UploadRefused(CallFault):
    """An upload is refused for a reason that has nothing to do with it."""

    fault: Literal["upload_refused"] = "upload_refused"
    behaviours: ClassVar = (8,)
    on: Patterns = _UPLOADS
    reason: Literal["extension", "empty", "too_large", "proxy_too_large", "over_quota"] = (
        "over_quota"
    )
    """`proxy_too_large` is the 413 page of a proxy."""

    async def play(self, call: Call) -> None:
        if self.reason == "proxy_too_large":
            page = b"<html><head><title>413 Request Entity Too Large</title></head></html>"
            await call.answer(413, page, {"content-type": "text/html"})
        else:
            await call.refuse(_REFUSALS[self.reason])


def _with_detail(message: str) -> HTTPFailure:
    return HTTPFailure(400, message, extra={"detail": {"message": message, "code": None}})


_REFUSALS = {
    "extension": _with_detail("Invalid file format for Batch API. Must be .jsonl"),
    "empty": _with_detail("File is empty."),
    "too_large": HTTPFailure(400, "File is too large."),
    "over_quota": HTTPFailure(400, "Your project has no storage left for this file."),
}


class SlowDownload(CallFault):
    """A file comes drop by drop, on the server's clock."""

    fault: Literal["slow_download"] = "slow_download"
    behaviours: ClassVar = (7,)
    on: Patterns = _DOWNLOADS
    bytes_per_second: PositiveInt = 65_536

    async def play(self, call: Call) -> None:
        async def trickle(message: Message) -> None:
            body: bytes = message.get("body", b"")
            if not body:
                await call.send(message)
            for start in range(0, len(body), self.bytes_per_second):
                await call.clock.sleep(1.0)
                part = body[start : start + self.bytes_per_second]
                await call.send({"type": message["type"], "body": part, "more_body": True})

        await call.proceed(trickle)


class TruncatedDownload(CallFault):
    """The connection ends in the middle of a file."""

    fault: Literal["truncated_download"] = "truncated_download"
    behaviours: ClassVar = (7,)
    on: Patterns = _DOWNLOADS
    share: float = Field(default=0.5, ge=0, lt=1)
    """How much of the file comes."""
    ending: Literal["close", "reset"] = "close"

    async def play(self, call: Call) -> None:
        await call.proceed(_cut(call, lambda length: int(length * self.share), ending=self.ending))


class WrongContentLength(CallFault):
    """The header announces more bytes than come, or fewer than the file has."""

    fault: Literal["wrong_content_length"] = "wrong_content_length"
    behaviours: ClassVar = (7,)
    on: Patterns = _DOWNLOADS
    off_by: int = 10
    """Bytes; a negative number announces, and sends, fewer than there are."""

    async def play(self, call: Call) -> None:
        if self.off_by >= 0:
            await call.proceed(_announcing(call, self.off_by))
        else:
            length = self.off_by
            await call.proceed(_cut(call, lambda whole: max(0, whole + length), announce=True))


class GzipDownload(CallFault):
    """A file comes compressed, whether it was asked for or not."""

    fault: Literal["gzip_download"] = "gzip_download"
    behaviours: ClassVar = (7,)
    on: Patterns = _DOWNLOADS

    async def play(self, call: Call) -> None:
        await call.proceed(_compressing(call.send))


def _cut(
    call: Call,
    keep: Callable[[int], int],
    *,
    ending: Literal["close", "reset"] = "close",
    announce: bool = False,
) -> Send:
    """Send the first bytes of an answer only, and end there.

    Args:
        call: The call.
        keep: How many bytes of how many.
        ending: How the connection ends, when the whole length was announced.
        announce: Announce the shorter length, so that nobody notices.
    """
    left = 0
    over = False

    async def send(message: Message) -> None:
        nonlocal left, over
        if over:
            return
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            left = keep(int(headers.get("content-length", "0")))
            if announce:
                headers["content-length"] = str(left)
            await call.send(message)
            return
        body: bytes = message.get("body", b"")[:left]
        left -= len(body)
        over = not left
        await call.send({**message, "body": body, "more_body": not (over and announce)})
        if over and not announce:
            await call.drop(ending)

    return send


def _announcing(call: Call, more: int) -> Send:
    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["content-length"] = str(int(headers.get("content-length", "0")) + more)
            await call.send(message)
        elif message.get("more_body"):
            await call.send(message)
        else:
            await call.send({**message, "more_body": True})
            await call.drop("close")

    return send


def _compressing(to: Send) -> Send:
    packer = zlib.compressobj(wbits=31)

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["content-encoding"] = "gzip"
            del headers["content-length"]
            await to(message)
            return
        more = bool(message.get("more_body"))
        packed = packer.compress(message.get("body", b"")) + (b"" if more else packer.flush())
        await to({**message, "body": packed})

    return send


TRANSFERS = (UploadRefused, SlowDownload, TruncatedDownload, WrongContentLength, GzipDownload)
