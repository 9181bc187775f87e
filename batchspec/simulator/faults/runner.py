"""A runner in front of another one that holds lines back and spoils what comes."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from anyio import to_thread
from pydantic_core import from_json

from batchspec.simulator.endpoints.port import Reply
from batchspec.simulator.faults import life
from batchspec.simulator.faults.answers import AnswerFault
from batchspec.simulator.faults.batches import UnlistedLines
from batchspec.simulator.faults.rule import RequestFault
from batchspec.simulator.faults.rules import Faults
from batchspec.simulator.faults.spoiling import spoil, spoil_reply
from batchspec.simulator.jobs.lines import Chunk
from batchspec.simulator.jobs.records import BatchRecord
from batchspec.simulator.jobs.runner import Runner, SerialRunner
from batchspec.simulator.wire import Json


class FaultyRunner:
    """Implements `Runner`."""

    def __init__(self, runner: Runner, faults: Faults) -> None:
        self._runner = runner
        self._faults = faults

    def chunk(self, batch: BatchRecord, path: Path, now: float) -> Chunk | None:
        asked = self._running(batch, now)
        if asked.progress.settled >= asked.total:
            return None
        chunk = self._runner.chunk(asked, path, now)
        if chunk is None:
            return None
        if asked.status == "in_progress":
            if self._faults.any(RequestFault):
                spoil(chunk, path, self._faults)
        elif life.first(batch, UnlistedLines) is not None:
            chunk.errors = [raw for raw in chunk.errors if from_json(raw)["response"]]
        return chunk

    def due(self, batch: BatchRecord) -> float:
        asked = self._running(batch, -math.inf)
        if asked.progress.settled >= asked.total and asked.total < batch.total:
            return life.held_until(batch)
        return self._runner.due(asked)

    def listen(self, wake: Callable[[], None]) -> None:
        self._runner.listen(wake)

    async def respond(self, endpoint: str, body: Json, now: float) -> Reply:
        reply = await self._runner.respond(endpoint, body, now)
        if not self._faults.any(AnswerFault):
            return reply
        return await to_thread.run_sync(spoil_reply, reply, body, self._faults)

    async def models(self) -> Reply | None:
        return await self._runner.models()

    def close(self) -> None:
        self._runner.close()

    def _running(self, batch: BatchRecord, now: float) -> BatchRecord:
        """Return the batch as the other runner is to see it."""
        if batch.status == "cancelling" and life.races(batch):
            return replace(batch, status="in_progress")
        # One that asks an upstream for all lines side by side cannot hold the last ones back.
        if batch.status == "in_progress" and isinstance(self._runner, SerialRunner):
            return replace(batch, total=batch.total - life.held(batch, now))
        return batch
