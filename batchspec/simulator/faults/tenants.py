"""Batches of others in the list of an account: behaviours 46, 48 and 49."""

from dataclasses import replace
from typing import ClassVar, Literal
from urllib.parse import parse_qsl, urlencode

from pydantic import PositiveInt

from batchspec.simulator.faults.batches import BatchFault
from batchspec.simulator.faults.call import Call
from batchspec.simulator.faults.calls import CallFault
from batchspec.simulator.faults.rule import Patterns
from batchspec.simulator.jobs.records import BatchRecord, Progress
from batchspec.simulator.wire import mint_batch_id, mint_file_id

_LISTS = ("batches.list",)


def foreign_batch(now: float) -> BatchRecord:
    """Make a batch of somebody else, which was completed at once and has no files left."""
    return BatchRecord(
        id=mint_batch_id(),
        endpoint="/v1/chat/completions",
        input_file_id=mint_file_id(),
        completion_window="24h",
        metadata={"team": "others"},
        output_expires_after=None,
        created_at=now,
        expires_at=now + 86_400,
        output_file_id=mint_file_id(),
        error_file_id=mint_file_id(),
        status="completed",
        in_progress_at=now,
        finalizing_at=now,
        completed_at=now,
        model="gpt-4o-mini-2024-07-18",
        total=1,
        progress=Progress(settled=1, completed=1, output_bytes=1),
    )


class OtherTenants(BatchFault):
    """Batches of others stand between those of a client."""

    fault: Literal["other_tenants"] = "other_tenants"
    behaviours: ClassVar = (48,)
    count: PositiveInt = 3
    """How many, before each batch it strikes."""


class InsertedBatch(CallFault):
    """A batch of somebody else appears while a client turns the pages of the list."""

    fault: Literal["inserted_batch"] = "inserted_batch"
    behaviours: ClassVar = (46,)
    on: Patterns = _LISTS

    async def play(self, call: Call) -> None:
        call.database.add_batch(foreign_batch(call.clock()))
        await call.proceed()


class ShortPages(CallFault):
    """A page of a list holds less than was asked for."""

    fault: Literal["short_pages"] = "short_pages"
    behaviours: ClassVar = (49,)
    on: Patterns = _LISTS
    maximum: PositiveInt = 1
    """Entries of a page."""

    async def play(self, call: Call) -> None:
        query = dict(parse_qsl(call.scope["query_string"].decode("latin-1")))
        asked = query.get("limit", "20")
        if asked.isdecimal() and int(asked) <= 100:
            query["limit"] = str(min(int(asked), self.maximum))
        scope = {**call.scope, "query_string": urlencode(query).encode()}
        await replace(call, scope=scope).proceed()


TENANTS = (OtherTenants, InsertedBatch, ShortPages)
