"""What a plan and an apply ask of a job: its most turns and tokens, rows made of other answers."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

from batchspec.desired.derive import Answered, derive
from batchspec.desired.expand import SourceRow
from batchspec.desired.graph import Desired, DesiredJob
from batchspec.errors import Diagnostic
from batchspec.ids import JobAddress, Member, member
from batchspec.plan.changes import JobPlan, Reason
from batchspec.plan.diff import Tally
from batchspec.plan.estimate import Lengths, Load, further
from batchspec.ports import Provider, Reader
from batchspec.results.read import Answers, Item
from batchspec.spec.durations import seconds_of
from batchspec.spec.rows import DerivedSource
from batchspec.state.resumption import Limits
from batchspec.state.stored import DraftTotals, Fresh, LastTurn

if TYPE_CHECKING:
    from batchspec.project.planning import Planner


def max_tokens(job: DesiredJob) -> int | None:
    """Return the job's own bound on the length of a reply."""
    if not job.job.speaks:
        return 0
    settings = job.contract.settings
    value = settings.get("max_completion_tokens", settings.get("max_tokens"))
    return value if isinstance(value, int) else None


def most_turns(job: DesiredJob) -> int:
    """Return how many replies an item of a job may take."""
    if job.tools:
        return job.job.max_turns
    checked = job.output.typed or job.job.output_validators
    retries = max([job.job.output_retries, *job.output.max_retries.values()])
    return min(job.job.max_turns, 1 + (retries if checked else 0))


def expired_before(planner: "Planner", job: DesiredJob) -> float | None:
    """Return until when answers came in that are asked again, unix seconds; None: none is."""
    lifetime = job.job.expires_after
    return planner.now - seconds_of(lifetime) if lifetime is not None and planner.expires else None


def with_price_of_expired(
    planner: "Planner", job: DesiredJob, tally: Tally, plan: JobPlan
) -> JobPlan:
    """Say what asking for answers again costs that are too old, beside what else the plan has."""
    if not tally.expired:
        return plan

    def priced(reason: Reason) -> Reason:
        if reason.code != "ANSWER_EXPIRED":
            return reason
        load = Load(
            requests=reason.rows,
            bytes=tally.expired,
            max_tokens=max_tokens(job),
            turns=most_turns(job),
        )
        cost, whole = planner.estimate(job, load).cost, plan.estimate.cost
        # Rows with one request pay for it once, and those of several jobs in one of them.
        return replace(reason, cost=None if cost is None or whole is None else min(cost, whole))

    return replace(plan, reasons=tuple(map(priced, plan.reasons)))


def limits(job: DesiredJob) -> Limits:
    """Return what bounds the turns of an item of a job."""
    retries = max([job.job.output_retries, *job.output.max_retries.values()])
    return Limits(job.job.max_turns, retries)


def loads_of(
    job: DesiredJob, totals: DraftTotals, resumed: Mapping[LastTurn, DraftTotals], lengths: Lengths
) -> list[Load]:
    """Return what a job would send: first turns, then what goes on after each turn.

    Args:
        job: Whose requests they are.
        totals: Of first turns.
        resumed: The last requests of what goes on, by their turn.
        lengths: Of a reply where the job sets no bound.
    """

    def load(totals: DraftTotals) -> Load:
        return Load(
            requests=totals.requests,
            bytes=totals.prompt,
            max_tokens=max_tokens(job),
            turns=most_turns(job),
        )

    return [load(totals), *(further(load(again), turn, lengths) for turn, again in resumed.items())]


def derived_rows(
    job: DesiredJob,
    desired: Desired,
    reader: Reader,
    providers: Mapping[str, Provider],
    fresh: Fresh | None = None,
) -> Iterator[SourceRow | Diagnostic]:
    """Yield the rows a job makes of the answers of another: of all, or of those that are news."""
    source = job.rows
    assert isinstance(source, DerivedSource)  # noqa: S101 - the callers look
    several = len(job.depends_on) > 1
    parts = (
        _answered(up, desired, reader, providers, of=member(up) if several else None, fresh=fresh)
        for up in job.depends_on
    )
    return derive(source, chain.from_iterable(parts))


def _answered(  # noqa: PLR0913 - one value each
    address: JobAddress,
    desired: Desired,
    reader: Reader,
    providers: Mapping[str, Provider],
    *,
    of: Member | None,
    fresh: Fresh | None,
) -> Iterator[Answered]:
    upstream = desired.find(address)
    # Without its spec, as of a variant that is switched off because it is broken, any will do.
    name = next(iter(providers)) if upstream is None else upstream.contract.provider
    answers = Answers(address, providers[name].wires, upstream)
    found = reader.items(address) if fresh is None else reader.fresh_items(address, fresh)
    for stored in found:
        item = Item(stored, answers)
        if item.outcome == "succeeded":
            yield Answered(item.key, item.row, item.output_json(), of)
