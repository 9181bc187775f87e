"""The I/O of the OpenAI Files and Batches API, on the official SDK, which only this imports.

Create is sent exactly once (`max_retries=0`): the API has no idempotency key, so a repeated POST is
a second paid batch. All other calls are harmless to repeat and keep the SDK's retries.
"""

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

import httpx2
import openai
from openai import AsyncOpenAI

from batchspec.ids import FileId, RemoteId
from batchspec.providers.openai.lines import blot, count
from batchspec.state.records import RemoteStatus, RequestCounts
from batchspec.state.remote import (
    CallError,
    NotFound,
    Refused,
    RemoteBatch,
    RemoteError,
    RemoteFile,
    Throttled,
    Uncertain,
    Unconnected,
)

if TYPE_CHECKING:
    from collections.abc import Generator

    from openai.types import Batch, FileObject

_STATUSES = [status for status in get_args(RemoteStatus) if status != "unknown"]
_NOT_VISIBLE = "Cannot find file"
_TITLE = re.compile(r"(?is)\A\s*<.*?<title>\s*([^<]+)")
"""Of a page that something between here and the provider answers with."""
_LONGEST_WAIT = 3600.0
"""Seconds after which another try does no harm, whatever a header says."""
_OLDER = 200
"""Older batches in a row after which a list that is not sorted has nothing newer either."""
_SHORTEST_SECRET = 6
"""Characters below which a key cannot be told from a word."""


_REPEATS = "x-stainless-retry-count"
"""The header in which the SDK says how often it has repeated a call."""


async def _at_once() -> None:
    """Wait for nothing."""


class OpenAIClient:
    """Implements `ports.Client`.

    Args:
        api_key: The key; kept by the SDK only.
        base_url: Where the API is; None for OpenAI's own.
        transport: Carries the requests instead of the network, for the embedded server.
        retries: How often the SDK repeats a call by itself, which takes real time; None: as it
            likes to.
    """

    def __init__(
        self,
        *,
        api_key: str,
        base_url: str | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
        retries: int | None = None,
    ) -> None:
        http = (
            openai.DefaultAsyncHttpxClient()
            if transport is None
            else httpx2.AsyncClient(transport=transport)
        )
        http.event_hooks = {"request": [self._before]}
        self.before_repeat: Callable[[], Awaitable[None]] = _at_once
        """Waited for before each repetition of a call."""
        times = openai.DEFAULT_MAX_RETRIES if retries is None else retries
        self._sdk = AsyncOpenAI(
            api_key=api_key, base_url=base_url, http_client=http, max_retries=times
        )
        url = self._sdk.base_url
        self._where = str(url.copy_with(username=None, password=None, query=None))
        secrets = api_key, url.userinfo.decode(), url.password, url.query.decode()
        self._secrets = [(str(url), self._where)]
        self._secrets += [(s, "…") for s in secrets if len(s) >= _SHORTEST_SECRET]

    async def _before(self, request: httpx2.Request) -> None:
        if request.headers.get(_REPEATS, "0") != "0":
            await self.before_repeat()

    async def upload(self, path: Path, name: str) -> FileId:
        """Upload a batch input file, streaming it from disk, with exactly one POST.

        A second POST would leave a file behind that nobody knows of.
        """
        once = self._sdk.with_options(max_retries=0)
        with self._errors(), path.open("rb") as file:
            uploaded = await once.files.create(file=(name, file), purpose="batch")
            return FileId(_known(uploaded.id))

    async def files(self, since: float) -> AsyncIterator[RemoteFile]:
        """Yield the account's batch input files, newest first, down to a creation time."""
        older = 0
        with self._errors():
            async for file in self._sdk.files.list(purpose="batch", order="desc"):
                try:
                    found = _remote_file(file)
                except (ValueError, TypeError, AttributeError):
                    continue
                if not 0 < found.created_at < since:
                    older = 0
                    yield found
                elif (older := older + 1) >= _OLDER:
                    return

    async def create(
        self, file: FileId, endpoint: str, window: str, metadata: Mapping[str, str]
    ) -> RemoteBatch:
        """Create a batch with exactly one POST. `Uncertain` means it may exist."""
        with self._errors():
            batch = await self._sdk.with_options(max_retries=0).batches.create(
                input_file_id=file,
                endpoint=cast("Any", endpoint),
                completion_window=cast("Any", window),
                metadata=dict(metadata),
            )
            return remote_batch(batch, self._clean)

    async def retrieve(self, batch: RemoteId) -> RemoteBatch:
        """Ask for one batch."""
        with self._errors():
            return remote_batch(await self._sdk.batches.retrieve(batch), self._clean)

    async def recent(self, since: float) -> AsyncIterator[RemoteBatch]:
        """Yield the account's batches, newest first, down to a creation time.

        Entries that cannot be read are skipped; those without a time might be new. Compatible
        servers may list in another order.
        """
        older = 0
        with self._errors():
            async for batch in self._sdk.batches.list(limit=100):
                try:
                    found = remote_batch(batch, self._clean)
                except (ValueError, TypeError, AttributeError):
                    continue
                if not 0 < found.created_at < since:
                    older = 0
                    yield found
                elif (older := older + 1) >= _OLDER:
                    return

    async def content(self, file: FileId) -> AsyncIterator[bytes]:
        """Yield the bytes of a file in chunks."""
        with self._errors():
            async with self._sdk.files.with_streaming_response.content(file) as response:
                async for chunk in response.iter_bytes():
                    yield chunk

    async def has_file(self, file: FileId) -> bool:
        """Tell whether the provider still has a file."""
        try:
            with self._errors():
                await self._sdk.files.retrieve(file)
        except NotFound:
            return False
        return True

    async def cancel(self, batch: RemoteId) -> RemoteBatch:
        """Ask the provider to stop a batch; what ran is still collected and paid."""
        with self._errors():
            # A 409 says that it has ended, which the SDK would ask twice more to hear.
            once = self._sdk.with_options(max_retries=0)
            return remote_batch(await once.batches.cancel(batch), self._clean)

    async def delete_file(self, file: FileId) -> None:
        """Delete a file; one that is gone already is no error."""
        try:
            with self._errors():
                await self._sdk.files.delete(file)
        except NotFound:
            return

    async def close(self) -> None:
        """Close the connections."""
        await self._sdk.close()

    def _clean(self, text: str) -> str:
        """Return words for people and the journal without what gives access."""
        for secret, shown in self._secrets:
            text = text.replace(secret, shown)
        return blot(text)

    @contextmanager
    def _errors(self) -> "Generator[None]":
        """Turn the SDK's errors into what is known about their effect."""
        try:
            yield
        except openai.APIStatusError as error:
            raise classify(error, self._clean) from error
        except openai.APIConnectionError as error:
            cause = error.__cause__ or error
            kind = Unconnected if isinstance(cause, httpx2.ConnectError) else Uncertain
            raise kind(self._problem("did not answer", cause)) from error
        except httpx2.HTTPError as error:
            raise Uncertain(self._problem("broke off", error)) from error
        except openai.OpenAIError as error:
            raise Uncertain(self._clean(f"{self._where}: {error}")) from error
        except (ValueError, TypeError, AttributeError) as error:
            raise Uncertain(self._problem("gave an answer without sense", error)) from error

    def _problem(self, what: str, cause: BaseException) -> str:
        told = f": {cause}" if str(cause) else ""
        return self._clean(f"{self._where} {what} ({type(cause).__name__}{told})")


def classify(error: openai.APIStatusError, clean: Callable[[str], str] = blot) -> CallError:
    """Say what an HTTP error tells about the effect of the call."""
    status = error.status_code
    message = f"HTTP {status}: {error_message(error, clean)}"
    wait = _retry_after(error.response.headers)
    if status == 404:
        return NotFound(message)
    if status == 429 and error.code == "insufficient_quota":  # waiting does not help
        return Refused(message, status=status, code=error.code)
    if status == 429 or (status == 400 and _NOT_VISIBLE in message):
        return Throttled(message, retry_after=wait)
    if status in {408, 409} or status >= 500:
        return Uncertain(message, retry_after=wait)
    return Refused(message, status=status, code=error.code)


def error_message(error: openai.APIStatusError, clean: Callable[[str], str] = blot) -> str:
    """Return the provider's own words; of an HTML page its title."""
    body = error.body
    if isinstance(body, dict):
        message = cast("dict[str, Any]", body).get("message")
        if isinstance(message, str):
            return clean(message)
        body = json.dumps(message) if message else None
    text = body if isinstance(body, str) and body else str(error.message)
    if page := _TITLE.search(text):
        text = page[1]
    return clean(text).strip().partition("\n")[0][:300]


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds the provider asks to wait, if that is a sensible number."""
    try:
        if "retry-after-ms" in headers:
            wait = float(headers["retry-after-ms"]) / 1000
        else:
            wait = _seconds(headers["retry-after"], headers.get("date"))
    except (KeyError, ValueError, TypeError):
        return None
    return min(wait, _LONGEST_WAIT) if wait > 0 else None


def _seconds(told: str, now: str | None) -> float:
    """Return the seconds of a header, which may be a time; that counts from the server's own.

    Raises:
        ValueError: It is neither.
    """
    try:
        return float(told)
    except ValueError:
        if now is None:
            raise
    return (parsedate_to_datetime(told) - parsedate_to_datetime(now)).total_seconds()


def _known(id_: object) -> str:
    if not isinstance(id_, str) or not id_:
        raise TypeError("there is no id")
    return id_


def remote_batch(batch: "Batch", clean: Callable[[str], str] = blot) -> RemoteBatch:
    """Read the SDK's batch, which checks no types; what makes no sense counts as absent."""
    counts = batch.request_counts
    return RemoteBatch(
        id=RemoteId(_known(batch.id)),
        status=_status(batch.status),
        created_at=_time(batch.created_at),
        counts=RequestCounts(
            *(count(getattr(counts, name, 0)) for name in ("total", "completed", "failed"))
        ),
        input_file_id=_file(batch.input_file_id),
        output_file_id=_file(batch.output_file_id),
        error_file_id=_file(batch.error_file_id),
        errors=_validation_errors(getattr(batch.errors, "data", None), clean),
        metadata=_strings(batch.metadata),
        endpoint=_text(batch.endpoint),
        model=_text(batch.model),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _remote_file(file: "FileObject") -> RemoteFile:
    return RemoteFile(
        FileId(_known(file.id)), str(file.filename), count(file.bytes), _time(file.created_at)
    )


def _time(value: object) -> float:
    return float(value) if isinstance(value, int | float) and 0 < value < 2**53 else 0.0


def _status(value: object) -> RemoteStatus:
    return cast("RemoteStatus", value) if value in _STATUSES else "unknown"


def _file(id_: object) -> FileId | None:
    return FileId(id_) if isinstance(id_, str) and id_ and id_.isprintable() else None


def _strings(metadata: object) -> dict[str, str]:
    if not isinstance(metadata, dict):
        return {}
    pairs = cast("dict[object, object]", metadata).items()
    return {k: v for k, v in pairs if isinstance(k, str) and isinstance(v, str)}


def _validation_errors(errors: object, clean: Callable[[str], str]) -> tuple[RemoteError, ...]:
    if not isinstance(errors, list):
        return ()
    return tuple(_validation_error(e, clean) for e in cast("list[object]", errors))


def _validation_error(error: object, clean: Callable[[str], str]) -> RemoteError:
    """Read one error; what is no object is shown as it is."""
    if isinstance(error, str):
        return RemoteError("unknown", clean(error))
    code, message, line, param = (
        getattr(error, name, None) for name in ("code", "message", "line", "param")
    )
    return RemoteError(
        clean(str(code or "unknown")),
        clean(str(message or "")),
        count(line) or None,
        clean(param) if isinstance(param, str) else None,
    )
