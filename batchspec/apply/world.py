"""What the loop works with; `project` wires it."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import anyio
import anyio.to_thread
from pydantic_core import from_json

from batchspec.apply.glancing import Glances
from batchspec.apply.here import Here
from batchspec.desired.graph import DesiredJob
from batchspec.errors import ProviderError, RefusedError
from batchspec.ids import BatchId, JobAddress, LaneId, RecordRef, RowKey
from batchspec.messages import JsonObject
from batchspec.ports import (
    Clock,
    Hook,
    Prices,
    Provider,
    Store,
    ToolRan,
    Tracing,
)
from batchspec.reconcile.observe import Pace
from batchspec.reconcile.settle import Judge
from batchspec.spec.hooks import HookKind, Target
from batchspec.state.events import BatchDoubled, BatchEvent
from batchspec.state.records import BatchRecord, Lane, LaneRecord, Via
from batchspec.state.stored import Fresh

T = TypeVar("T")
_TRIES = 5
"""Calls that fail in a row before a provider that has never answered counts as out of reach."""
_UNCONNECTED = 3.0
"""Seconds after which it does so without a connection: there is nothing that could recover."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalJob:
    """What of a job runs on this machine."""

    desired: DesiredJob
    judge: Judge
    deps: Callable[[], Any]
    """Returns what the job's factory made, once per run; for worker threads of the loop."""
    deps_here: Callable[[], Awaitable[Any]]
    """The same, for its tasks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalHooks:
    """The hooks of a job.

    Attributes:
        targets: What is called or executed, by the kind of hook.
        read: Returns items by their keys, as results give them; blocking.
        document: Returns an item as a JSON object; runs functions of the spec.
        folder: Where commands run.
    """

    targets: Mapping[HookKind, Target]
    read: Callable[[Sequence[RowKey]], Mapping[RowKey, Any]]
    document: Callable[[Any], bytes]
    folder: Path


def lane_of(job: LocalJob) -> tuple[str, str, str]:
    """Return provider, endpoint and model of a job's requests."""
    contract = job.desired.contract
    return contract.provider, contract.endpoint, contract.model


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """Requests that are sent, or would be."""

    lane: Lane
    jobs: Mapping[JobAddress, tuple[int, int]]
    """How many, and the bytes of their lines."""
    via: Via = "batch"


class OverBudgetError(RefusedError):
    """Requests may cost more than what is left of a budget; they were not sent.

    Attributes:
        job: Whose budget, with all of its variants and samples; None: that of all jobs.
        agreed: Whether the budget is what was agreed to, so that more is a matter of asking.
    """

    def __init__(self, message: str, *, job: JobAddress | None, agreed: bool) -> None:
        super().__init__(message)
        self.job = job
        self.agreed = agreed


class Budget(Protocol):
    """What an apply may spend; looked at before a batch is put together and before it is sent."""

    def check(self, sending: Sending | None = None) -> None:
        """Refuse requests that may cost more than what is left; without any, what is under way.

        Raises:
            OverBudgetError: They may.
        """
        ...


class Recorder(Protocol):
    """Keeps the answers of one provider outside of the state, to be replayed."""

    def record(self, custom_id: str, body: JsonObject, line: bytes) -> None:
        """Keep an answer; the same one may come again after a crash.

        Args:
            custom_id: Of the request.
            body: Of the request.
            line: Of the result file, as it came.
        """
        ...

    def flush(self) -> None:
        """Make durable what was recorded; called before the state says that it was read."""
        ...


@dataclass(slots=True)
class Silence:
    """Calls about a batch that failed in a row, while its provider has not answered at all.

    Attributes:
        tries: How many.
        unconnected_since: When the last of them began to find no connection; None: it found one.
    """

    tries: int = 0
    unconnected_since: float | None = None

    def note(self, now: float, *, connected: bool) -> None:
        """Count one more failure."""
        self.tries += 1
        if connected:
            self.unconnected_since = None
        elif self.unconnected_since is None:
            self.unconnected_since = now

    def is_final(self, now: float) -> bool:
        """Tell whether another try is in vain; who mistyped a host is not to wait for long."""
        since = self.unconnected_since
        return self.tries >= _TRIES or (since is not None and now - since >= _UNCONNECTED)


async def _nothing_wrong(_event: BatchEvent | BatchDoubled) -> None:
    """Tell nobody."""


@dataclass(slots=True, kw_only=True)
class World:
    """Everything the loop touches, each behind a port.

    Attributes:
        jobs: Jobs of the specs; a conversation of any other job is only collected.
        waiting: Jobs whose rows come from others and are not recorded yet, with those others.
        eager: Those that are sent row by row as the others are answered.
        seen: The serial of the state up to which an eager job has read the answers of the others.
        expand: Plans and records rows of a waiting job: all, or those of fresh answers. Returns
            the serial up to which it has read, None if the job is left alone. Blocking, runs in a
            thread.
        mint: Makes ids of batches.
    """

    store: Store
    providers: Mapping[str, Provider]
    jobs: Mapping[JobAddress, LocalJob]
    prices: Prices
    clock: Clock
    hook: Hook
    lineage: str
    mint: Callable[[], BatchId]
    pace: Pace = field(default_factory=Pace)
    local: Mapping[str, Pace] = field(default_factory=dict[str, Pace])
    """Providers whose batches run in this process, each with a pace of its own."""
    waiting: dict[JobAddress, tuple[JobAddress, ...]] = field(
        default_factory=dict[JobAddress, tuple[JobAddress, ...]]
    )
    eager: frozenset[JobAddress] = frozenset()
    seen: dict[JobAddress, int] = field(default_factory=dict[JobAddress, int])
    expand: Callable[[JobAddress, Fresh | None], int | None] = lambda _job, _fresh: None
    ran: Callable[[ToolRan], None] = lambda _call: None
    """Is told each call of a tool that has ended."""
    tracing: Tracing | None = None
    """Is told what replies took; None: nobody asks."""
    here: Here = field(default_factory=Here)
    """Where users' functions run."""
    collected: anyio.Event = field(default_factory=anyio.Event)
    """Set, and made anew, whenever replies were read."""
    transfers: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(4))
    one_writer: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(1))
    glances: Glances = field(init=False)
    """Looks at many batches that are due at once."""
    budget: Budget | None = None
    goes_on: bool = False
    """Whether the run goes on with everything else where a budget refuses something."""
    held: set[BatchId] = field(default_factory=set[BatchId])
    """Ended batches that this run leaves to another one: with replies of jobs that are not in the
    specs now, which nobody can judge, and those in `unreadable`."""
    looked_at: set[BatchId] = field(default_factory=set[BatchId])
    """Batches with one create whose doubles were looked for in this run."""
    absences: Counter[BatchId] = field(default_factory=Counter[BatchId])
    """Looks in this run at a result file that the provider did not have."""
    unreadable: dict[BatchId, str] = field(default_factory=dict[BatchId, str])
    """Ended batches whose results exist and could not be read in this run, with what is told."""
    orphans: frozenset[JobAddress] = frozenset()
    """Jobs that are being removed: their replies are kept, though nobody may know how to judge."""
    recorders: Mapping[str, Recorder] = field(default_factory=dict[str, Recorder])
    """By provider; the others record nothing."""
    answered: set[str] = field(default_factory=set[str])
    """Providers that answered in this run; one that never does ends the run with a sentence."""
    silences: dict[BatchId, Silence] = field(default_factory=dict[BatchId, Silence])
    """Of batches whose provider has not answered yet."""

    hooked: Mapping[JobAddress, LocalHooks] = field(default_factory=dict[JobAddress, LocalHooks])
    """Jobs that have hooks."""
    told_at: float = 0.0
    """When one of them was told something last."""
    wrong: Callable[[BatchEvent | BatchDoubled], Awaitable[None]] = field(default=_nothing_wrong)
    """Has hooks told of an event that is about an error, before that is recorded."""
    connected: frozenset[str] | None = None
    """Names of the providers that can be asked in this run; None: all."""

    def __post_init__(self) -> None:
        self.glances = Glances(self.clock, self.pace, self.local)

    def reachable(self, batches: Sequence[BatchRecord]) -> list[BatchRecord]:
        """Return those batches whose account can be asked."""
        found: list[BatchRecord] = []
        for batch in batches:
            name = self.store.lane(batch.lane).provider
            known = self.connected is None or name in self.connected
            provider = self.providers.get(name) if known else None
            if provider is None or batch.account not in {None, provider.account}:
                continue
            if batch.via == "batch" or provider.live is not None:
                found.append(batch)
        return found

    async def db(self, function: Callable[..., T], *args: Any) -> T:
        """Run a blocking function on the state in a worker thread, one at a time."""
        return await anyio.to_thread.run_sync(lambda: function(*args), limiter=self.one_writer)

    async def commit(self, *events: BatchEvent | BatchDoubled) -> None:
        """Record what became of a batch, in one transaction, and tell it."""
        for event in events if self.hooked else ():
            await self.wrong(event)
        await self.db(self.store.commit, *events)
        for event in events:
            self.hook.event(event)

    def caps(self, lanes: Iterable[LaneRecord]) -> dict[LaneId, int]:
        """Return the prompt tokens that may be under way, by lane, where that is bounded."""
        found = ((one.lane, self.providers.get(one.lane.provider)) for one in lanes)
        caps = ((lane.id, p.cap(lane.model) if p else None) for lane, p in found)
        return {lane: cap for lane, cap in caps if cap is not None}

    def minimum(self, lanes: Iterable[LaneRecord]) -> dict[LaneId, int]:
        """Return the requests below which a lane waits for more, where it is more than one."""
        found = ((one.lane.id, self.providers.get(one.lane.provider)) for one in lanes)
        return {lane: p.min_requests for lane, p in found if p and p.min_requests > 1}

    def canaries(self, lanes: Iterable[LaneRecord]) -> frozenset[LaneId]:
        """Return the lanes of models that never answered, where few requests go first."""
        found = ((one, self.providers.get(one.lane.provider)) for one in lanes if not one.proven)
        return frozenset(one.lane.id for one, provider in found if provider and provider.canary)

    def silence(self, batch: BatchId) -> Silence:
        """Return how often calls about a batch failed that its provider had to answer first."""
        return self.silences.setdefault(batch, Silence())

    def pace_of(self, provider: Provider) -> Pace:
        """Return how often to look at the batches of a provider."""
        return self.local.get(provider.place, self.pace)

    def provider(self, name: str, via: Via = "batch") -> Provider:
        """Return a provider by its name in the configuration.

        Args:
            name: Of the provider.
            via: How it has requests answered.

        Raises:
            ProviderError: It is not configured any more.
        """
        try:
            found = self.providers[name]
            if via == "batch":
                return found
            assert found.live is not None  # noqa: S101 - connected while there are such batches
            return replace(found, client=found.live, via="live")
        except KeyError:
            message = (
                f"The state has requests for provider {name!r}, which is not in the configuration. "
                "Put it back under [providers] in batchspec.toml."
            )
            raise ProviderError(message) from None


def stored_row(world: World, ref: RecordRef) -> dict[str, Any]:
    """Return the row of an item."""
    row: dict[str, Any] = from_json(world.store.body(ref).partition(b"\t")[2])
    return row
