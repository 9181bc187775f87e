"""The I/O of the OpenAI Files and Batches API, on the official SDK, which only this imports.

Create is sent exactly once (`max_retries=0`): the API has no idempotency key, so a repeated POST is
a second paid batch. All other calls are harmless to repeat and keep the SDK's retries.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

import httpx2
import openai
from openai import AsyncOpenAI

from batchspec.ids import FileId, RemoteId
from batchspec.state.records import RemoteStatus, RequestCounts
from batchspec.state.remote import (
    CallError,
    NotFound,
    Refused,
    RemoteBatch,
    RemoteError,
    Throttled,
    Uncertain,
)

if TYPE_CHECKING:
    from collections.abc import Generator

    from openai.types import Batch

_STATUSES = frozenset(get_args(RemoteStatus)) - {"unknown"}
_NOT_VISIBLE = "Cannot find file"
_DOWNLOAD_CHUNK = 256 * 1024
_LONGEST_WAIT = 3600.0
"""Seconds after which another try does no harm, whatever a header says."""


class OpenAIClient:
    """Implements `ports.Client`.

    Args:
        api_key: The key; kept by the SDK only.
        base_url: Where the API is; None for OpenAI's own.
        transport: Carries the requests instead of the network, for the embedded server.
    """

    def __init__(
        self,
        *,
        api_key: str,
        base_url: str | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        http = None if transport is None else httpx2.AsyncClient(transport=transport)
        self._sdk = AsyncOpenAI(api_key=api_key, base_url=base_url, http_client=http)
        self._where = str(self._sdk.base_url)

    async def upload(self, path: Path, name: str) -> FileId:
        """Upload a batch input file, streaming it from disk."""
        with self._errors(), path.open("rb") as file:
            uploaded = await self._sdk.files.create(file=(name, file), purpose="batch")
            return FileId(_known(uploaded.id))

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
            return remote_batch(batch)

    async def retrieve(self, batch: RemoteId) -> RemoteBatch:
        """Ask for one batch."""
        with self._errors():
            return remote_batch(await self._sdk.batches.retrieve(batch))

    async def recent(self, since: float) -> AsyncIterator[RemoteBatch]:
        """Yield the account's batches, newest first, down to a creation time."""
        with self._errors():
            async for batch in self._sdk.batches.list(limit=100):
                if batch.created_at < since:
                    return
                yield remote_batch(batch)

    async def content(self, file: FileId) -> AsyncIterator[bytes]:
        """Yield the bytes of a file in chunks."""
        with self._errors():
            async with self._sdk.files.with_streaming_response.content(file) as response:
                async for chunk in response.iter_bytes(_DOWNLOAD_CHUNK):
                    yield chunk

    async def cancel(self, batch: RemoteId) -> RemoteBatch:
        """Ask the provider to stop a batch; what ran is still collected and paid."""
        with self._errors():
            return remote_batch(await self._sdk.batches.cancel(batch))

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

    @contextmanager
    def _errors(self) -> "Generator[None]":
        """Turn the SDK's errors into what is known about their effect."""
        try:
            yield
        except openai.APIStatusError as error:
            raise classify(error) from error
        except openai.APIConnectionError as error:
            cause = error.__cause__ or error
            message = f"{self._where} did not answer ({type(cause).__name__}: {cause})"
            raise Uncertain(message) from error
        except httpx2.HTTPError as error:
            raise Uncertain(f"{self._where} broke off ({type(error).__name__}: {error})") from error
        except openai.OpenAIError as error:
            raise Uncertain(f"{self._where}: {error}") from error
        except (ValueError, TypeError, AttributeError) as error:
            problem = f"{type(error).__name__}: {error}"
            raise Uncertain(f"{self._where} gave an answer without sense ({problem})") from error


def classify(error: openai.APIStatusError) -> CallError:
    """Say what an HTTP error tells about the effect of the call."""
    status = error.status_code
    message = f"HTTP {status}: {error_message(error)}"
    wait = _retry_after(error.response.headers)
    if status == 404:
        return NotFound(message)
    if status == 429 or (status == 400 and _NOT_VISIBLE in message):
        return Throttled(message, retry_after=wait)
    if status in {408, 409} or status >= 500:
        return Uncertain(message, retry_after=wait)
    return Refused(message, status=status, code=error.code)


def error_message(error: openai.APIStatusError) -> str:
    """Return the provider's own words; an HTML page is cut to its first line."""
    body = error.body
    if isinstance(body, dict):
        message = cast("dict[str, Any]", body).get("message")
        if isinstance(message, str):
            return message
    text = body if isinstance(body, str) and body else error.message
    return text.strip().partition("\n")[0][:300]


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds the provider asks to wait, if that is a sensible number."""
    try:
        if "retry-after-ms" in headers:
            wait = float(headers["retry-after-ms"]) / 1000
        else:
            wait = float(headers["retry-after"])
    except (KeyError, ValueError):
        return None
    return min(wait, _LONGEST_WAIT) if wait > 0 else None


def _known(id_: object) -> str:
    if not isinstance(id_, str) or not id_:
        raise TypeError("there is no id")
    return id_


def remote_batch(batch: "Batch") -> RemoteBatch:
    """Read the SDK's batch; unknown statuses, absent fields and empty ids are normal."""
    counts = batch.request_counts
    errors = (batch.errors.data if batch.errors else None) or []
    status = batch.status if batch.status in _STATUSES else "unknown"
    return RemoteBatch(
        id=RemoteId(_known(batch.id)),
        status=status,
        created_at=batch.created_at,
        counts=RequestCounts(counts.total or 0, counts.completed or 0, counts.failed or 0)
        if counts
        else RequestCounts(),
        input_file_id=FileId(batch.input_file_id) if batch.input_file_id else None,
        output_file_id=FileId(batch.output_file_id) if batch.output_file_id else None,
        error_file_id=FileId(batch.error_file_id) if batch.error_file_id else None,
        errors=tuple(
            RemoteError(e.code or "unknown", e.message or "", e.line, e.param) for e in errors
        ),
        metadata=batch.metadata or {},
    )
