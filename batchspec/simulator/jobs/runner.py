"""Who answers the lines of batches: the seam between the engine and its sources of answers."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from anyio import to_thread

from batchspec.simulator.endpoints.port import Endpoint, Reply
from batchspec.simulator.jobs.lines import CHUNK_LINES, Chunk, run_chunk, void_chunk
from batchspec.simulator.jobs.records import BatchRecord
from batchspec.simulator.wire import Json, Pace

_STEPS = 100
"""In how many steps the counts of a batch grow while nobody looks."""


class Runner(Protocol):
    """Answers lines and hands them to the engine, which writes and commits them.

    The caller asks from one thread at a time, and commits a chunk before it asks for the next one;
    a chunk that was not committed is asked for again.
    """

    def chunk(self, batch: BatchRecord, path: Path, now: float) -> Chunk | None:
        """Return result lines that follow those the batch has; none when none is ready.

        A batch that is not in progress any more gets no further answer: a line without one is
        listed as expired or cancelled.

        Args:
            batch: With lines that are not settled.
            path: Its input.
            now: Unix seconds.
        """
        ...

    def due(self, batch: BatchRecord) -> float:
        """Say when a further line of a batch is ready; infinity means that whoever listens is told.

        Args:
            batch: With lines that are not settled.
        """
        ...

    def listen(self, wake: Callable[[], None]) -> None:
        """Call `wake`, from any thread, whenever lines may have become ready by themselves."""
        ...

    async def respond(self, endpoint: str, body: Json, now: float) -> Reply:
        """Answer a request that is none of a batch.

        Args:
            endpoint: The path, as `/v1/chat/completions`.
            body: Of the request.
            now: Unix seconds.
        """
        ...

    async def models(self) -> Reply | None:
        """Answer `GET /v1/models`; nothing where any name will do."""
        ...

    def close(self) -> None:
        """Stop whatever runs; what was answered is kept."""
        ...


class SerialRunner:
    """Implements `Runner` by asking an endpoint's own source, line after line.

    Lines are answered evenly over the time that the pace gives to `in_progress`.
    """

    def __init__(self, endpoints: Mapping[str, Endpoint], pace: Pace) -> None:
        self._endpoints = endpoints
        self.pace = pace

    def chunk(self, batch: BatchRecord, path: Path, now: float) -> Chunk | None:
        if batch.status != "in_progress":
            return void_chunk(batch, path)
        limit = self._permitted(batch, min(now, batch.expires_at)) - batch.progress.settled
        if limit <= 0:
            return None
        endpoint = self._endpoints[batch.endpoint]
        return run_chunk(batch, path, endpoint, min(limit, CHUNK_LINES), now)

    def due(self, batch: BatchRecord) -> float:
        if batch.status != "in_progress":
            return -math.inf
        settled = batch.progress.settled + max(1, batch.total // _STEPS)
        share = min(1.0, settled / max(batch.total, 1))
        due = (batch.in_progress_at or 0.0) + self.pace.in_progress * share
        return due if batch.hurried_at is None else min(due, batch.hurried_at)

    def listen(self, wake: Callable[[], None]) -> None:
        """Nothing becomes ready but by the time."""

    async def respond(self, endpoint: str, body: Json, now: float) -> Reply:
        return await to_thread.run_sync(self._endpoints[endpoint].respond, body, None, now)

    async def models(self) -> None:
        """Any name will do."""

    def close(self) -> None:
        """Nothing runs between two chunks."""

    def _permitted(self, batch: BatchRecord, now: float) -> int:
        """How many lines may be settled by now, when they are spread over the time in progress."""
        elapsed = now - (batch.in_progress_at or 0.0)
        hurried = batch.hurried_at is not None and now >= batch.hurried_at
        if hurried or elapsed >= self.pace.in_progress:
            return batch.total
        return int(batch.total * elapsed / self.pace.in_progress)
