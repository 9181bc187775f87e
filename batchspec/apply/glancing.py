"""Looks at many batches that are due at once, answered by one look at the list.

What the list says of a batch that has not ended is believed. That one has ended, with which files
and errors, is said by the batch itself; so is everything of a batch that the list does not have.
"""

from collections.abc import Container, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

import anyio

from batchspec.ids import BatchId, RemoteId
from batchspec.ports import Clock, Provider
from batchspec.reconcile.glance import PAGE, pages, together
from batchspec.reconcile.observe import Pace
from batchspec.state.records import TERMINAL, BatchRecord, LaneRecord
from batchspec.state.remote import CLOCK_SLACK, CallError, RemoteBatch, Throttled

_Key = str
_FRESH = 60.0
"""Seconds for which what a list said is believed."""


@dataclass(slots=True)
class _Due:
    """Batches of one provider that are to be looked at.

    Attributes:
        since: When the oldest was submitted, unix seconds.
        asked: When the list was asked for them; None: it was not.
    """

    ids: set[RemoteId]
    since: float
    asked: float | None = None
    found: dict[RemoteId, RemoteBatch] = field(default_factory=dict[RemoteId, RemoteBatch])
    asking: anyio.Lock = field(default_factory=anyio.Lock)


@dataclass(slots=True)
class Glances:
    """Looks that are due, by provider, and what the lists said.

    Attributes:
        clock: Tells the time.
        pace: The schedule.
        local: Providers whose batches run in this process.
    """

    clock: Clock
    pace: Pace
    local: Container[str]
    _due: dict[_Key, _Due] = field(default_factory=dict[_Key, _Due])

    def gathered(
        self, batches: Sequence[BatchRecord], lanes: Sequence[LaneRecord], now: float
    ) -> list[BatchRecord]:
        """Return the open batches, with those as due that are looked at together."""
        groups: dict[str, list[BatchRecord]] = {}
        for batch in batches:
            groups.setdefault(self._listed(batch, lanes), []).append(batch)
        return [
            batch
            for name, own in groups.items()
            for batch in (together(own, now, self.pace) if name else own)
        ]

    def note_polls(
        self,
        polled: AbstractSet[BatchId],
        batches: Sequence[BatchRecord],
        lanes: Sequence[LaneRecord],
    ) -> None:
        """Take which batches are to be looked at now."""
        found: dict[str, list[BatchRecord]] = {}
        for batch in batches:
            if batch.id in polled and (name := self._listed(batch, lanes)):
                found.setdefault(name, []).append(batch)
        for name, own in found.items():
            self.note(name, own)

    def _listed(self, batch: BatchRecord, lanes: Sequence[LaneRecord]) -> str:
        """Return the provider whose list has a batch; empty where there is none to ask."""
        names = (one.lane.provider for one in lanes if one.lane.id == batch.lane)
        name = next(names, "") if batch.via == "batch" else ""
        return "" if name in self.local else name

    def note(self, provider: str, batches: Iterable[BatchRecord]) -> None:
        """Take which batches of a provider are due now; those known already stay as they are."""
        fresh = {b.remote_id: b for b in batches if b.remote_id is not None}
        before = self._due.get(provider)
        if before is not None and before.ids.issuperset(fresh):
            return
        if not pages(len(fresh)):
            self._due.pop(provider, None)
            return
        since = min((b.submitted_at or b.intended_at) for b in fresh.values()) - CLOCK_SLACK
        self._due[provider] = _Due(set(fresh), since)

    async def look(self, provider: Provider, record: BatchRecord) -> RemoteBatch | None:
        """Return what the list says of a batch that is due; None: ask for the batch itself.

        Raises:
            Throttled: The provider asks for patience; others ask for themselves.
        """
        due, own = self._due.get(provider.name), record.remote_id
        if due is None or own is None or own not in due.ids or provider.via == "live":
            return None
        async with due.asking:
            if due.asked is None:
                due.asked = self.clock.now()
                await _ask(provider, due)
        due.ids.discard(own)
        found = due.found.pop(own, None)
        stale = self.clock.now() - due.asked > _FRESH
        if found is None or found.status in TERMINAL or stale:
            return None
        return found


async def _ask(provider: Provider, due: _Due) -> None:
    left = pages(len(due.ids)) * PAGE
    wanted = set(due.ids)
    try:
        async for batch in provider.client.recent(due.since):
            left -= 1
            if batch.id in wanted:
                wanted.discard(batch.id)
                due.found[batch.id] = batch
            if not wanted or not left:
                return
    except Throttled:
        raise
    except CallError:
        return  # whatever it is, each look says it of its own batch
