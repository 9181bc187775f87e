"""Making a plan: streams the rows of every job past the state, a chunk at a time."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

from batchspec.desired.derive import Answered, derive
from batchspec.desired.expand import DesiredRow, Expander, SourceRow
from batchspec.desired.graph import Desired, DesiredJob
from batchspec.errors import Diagnostic, RefusedError, SpecError, UsageError
from batchspec.ids import JobAddress
from batchspec.load.build import MAX_DIAGNOSTICS, limited
from batchspec.load.errors import shortened
from batchspec.load.rows import duplicate_key, read_rows
from batchspec.messages import Usage
from batchspec.plan.changes import Estimate, JobPlan, Kind, Reason
from batchspec.plan.diff import Tally, changed_parts, classify, contract_change, message_change
from batchspec.plan.estimate import Load, batches, estimate
from batchspec.plan.target import Selection
from batchspec.ports import (
    Prices,
    Provider,
    Reader,
)
from batchspec.results.read import Answers, Item
from batchspec.spec.output import TextMode
from batchspec.spec.rows import Collect, DerivedSource
from batchspec.state.events import PlanAgreed
from batchspec.state.records import BatchRecord
from batchspec.state.stored import DraftTotals, Duplicate, RecordedRow
from batchspec.store.draft import SqliteDraft

_CHUNK = 1000


Rows = Iterable[SourceRow | Diagnostic]
PlanHook = Callable[[JobAddress, int], None]
"""Is told a job and how many of its rows were read so far."""


def _quiet(_job: JobAddress, _rows: int) -> None:
    return


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What the planner is told by the configuration."""

    assumed_output_tokens: int
    allow_empty: bool = False


@dataclass(slots=True, kw_only=True)
class Planner:
    """Plans jobs into one draft.

    Attributes:
        draft: The body of the plan.
        problems: What is wrong with rows; nothing may be sent while there is any.
        events: What agreeing to the plan will record, per job.
        lanes: (lane, requests, bytes) per job, to count batches.
        policies_changed: Whether agreeing has to record how replies are to be judged.
    """

    draft: SqliteDraft
    reader: Reader
    desired: Desired
    providers: Mapping[str, Provider]
    prices: Prices
    root: Path
    bounds: Bounds
    plan_id: str
    now: float
    selection: Selection = Selection()
    hook: PlanHook = _quiet
    policies_changed: bool = False
    _outstanding: Mapping[JobAddress, DraftTotals] | None = None
    problems: list[Diagnostic] = field(default_factory=list[Diagnostic])
    events: list[PlanAgreed] = field(default_factory=list[PlanAgreed])
    lanes: list[tuple[str, int, int]] = field(default_factory=list[tuple[str, int, int]])

    def plan_job(self, job: DesiredJob) -> JobPlan:
        """Plan a job whose rows can be read now, from its source or from answers."""
        rows = (
            derived_rows(job, self.desired, self.reader, self.providers)
            if isinstance(job.rows, DerivedSource)
            else read_rows(job.rows, self.root)
        )
        partial = self.selection.only_rows(job.address) is not None
        known = self.draft.begin(job.address, job.contract, job.policy, partial=partial)
        tally = Tally(job.address, f"{job.contract.provider}:{job.contract.model}")
        pass_ = _Pass(self, job, tally, known=known)
        problems = [*limited(pass_.run(rows), job, MAX_DIAGNOSTICS)]
        self.problems += [shortened(problem, self.root) for problem in problems]
        return self._finish(job, tally)

    def _finish(self, job: DesiredJob, tally: Tally) -> JobPlan:
        recorded = self.draft.recorded_items(job.address)
        removed = recorded - tally.seen
        if removed > 0 and not self.problems and self.selection.only_rows(job.address) is None:
            self._guard_empty(job, tally, recorded)
            tally.add(Kind.FORGET, "ROW_REMOVED", rows=removed)
        if rejudged := self._rejudged(job, tally):
            tally.add(Kind.UPDATE, "POLICY_CHANGED", rows=rejudged)
        totals = self._totals(job.address)
        self.lanes.append((tally.model, totals.requests, totals.bytes))
        counts = tally.counts
        self.events.append(
            PlanAgreed(
                plan=self.plan_id,
                job=job.address,
                added=counts.get(Kind.SUBMIT, 0) + counts.get(Kind.REUSE, 0),
                changed=counts.get(Kind.RESUBMIT, 0),
                removed=max(0, removed),
                at=self.now,
            )
        )
        load = Load(
            requests=totals.requests,
            bytes=totals.bytes,
            max_tokens=max_tokens(job),
            turns=most_turns(job),
        )
        return tally.plan(
            requests=totals.requests, max_turns=most_turns(job), estimate=self._estimate(job, load)
        )

    def _totals(self, job: JobAddress) -> DraftTotals:
        """Return what would be sent: what this plan adds, and what was agreed to before."""
        if self._outstanding is None:
            self._outstanding = self.reader.outstanding()
        added = self.draft.totals(job)
        waiting = self._outstanding.get(job)
        if waiting is None:
            return added
        return DraftTotals(added.requests + waiting.requests, added.bytes + waiting.bytes)

    def _rejudged(self, job: DesiredJob, tally: Tally) -> int:
        """Return how many kept rows have replies that were judged by another policy."""
        judged = self.reader.judged_by(job.address)
        self.policies_changed |= judged not in {None, job.policy}
        kept = tally.counts.get(Kind.KEEP, 0)
        if judged is None or judged == job.policy or not kept:
            return 0
        tally.counts[Kind.KEEP] = 0
        return kept

    def _guard_empty(self, job: DesiredJob, tally: Tally, recorded: int) -> None:
        """Refuse to forget every item because a source is empty."""
        if tally.rows or self.bounds.allow_empty or isinstance(job.rows, DerivedSource):
            return
        raise RefusedError(
            f"Job {job.address} has no rows now and {recorded} items on record. An empty source "
            "is more often a mistake than a wish, so nothing was changed. Check its rows; to "
            "forget its items, remove the job from the spec."
        )

    def _estimate(self, job: DesiredJob, load: Load) -> Estimate:
        contract = job.contract

        def cost(usage: Usage) -> Decimal | None:
            return self.prices.cost(contract.provider, contract.model, usage)

        return estimate(load, cost, self.bounds.assumed_output_tokens)

    def plan_waiting(self, job: DesiredJob, upstream: Sequence[JobPlan]) -> JobPlan:
        """Plan a job whose rows are not known yet: an upper bound."""
        rows = sum(plan.rows for plan in upstream)
        requests = 1 if isinstance(job.rows, Collect) else rows
        answers = (
            sum(
                plan.estimate.output_tokens // plan.requests if plan.requests else 0
                for plan in upstream
            )
            or self.bounds.assumed_output_tokens
        )
        contract = len(job.contract.canonical())
        each = contract + 4 * answers * (rows if isinstance(job.rows, Collect) else 1)
        load = Load(
            requests=requests if rows else 0,
            bytes=(each + 90) * requests,
            max_tokens=max_tokens(job),
            turns=most_turns(job),
        )
        tally = Tally(job.address, f"{job.contract.provider}:{job.contract.model}", rows=requests)
        return tally.plan(
            requests=load.requests,
            max_turns=load.turns,
            estimate=self._estimate(job, load),
            waits_for=job.depends_on,
        )

    def plan_removed(self, address: JobAddress, model: str) -> JobPlan | None:
        """Plan to forget a job that is in the state but not in the specs any more."""
        items = self.draft.forget_job(address)
        if not items:
            return None
        tally = Tally(address, model)
        tally.add(Kind.FORGET, "JOB_REMOVED", rows=items)
        self.events.append(
            PlanAgreed(
                plan=self.plan_id, job=address, added=0, changed=0, removed=items, at=self.now
            )
        )
        return tally.plan(requests=0, max_turns=1, estimate=Estimate(), removed=True)

    def batches(self, plans: Sequence[JobPlan]) -> int:
        """Return how many batches the first turns need; a job that waits needs one of its own."""
        limits = self.providers.values()
        planned = batches(
            self.lanes,
            max_requests=min(provider.max_requests for provider in limits),
            max_bytes=min(provider.max_bytes for provider in limits),
        )
        return planned + sum(1 for plan in plans if plan.waits_for and plan.requests)

    def raise_problems(self) -> None:
        """Raise what is wrong with rows.

        Raises:
            SpecError: There is something.
        """
        if self.problems:
            raise SpecError(self.problems)


class _Pass:
    """One pass over the rows of a job."""

    def __init__(self, planner: Planner, job: DesiredJob, tally: Tally, *, known: bool) -> None:
        self._planner = planner
        self._draft = planner.draft
        self._job = job
        self._tally = tally
        self._known = known
        self._replaced = planner.selection.replaces(job.address)
        self._only = planner.selection.only_rows(job.address)
        self._reasons: dict[int | None, Any] = {}
        first, second = planner.providers[job.contract.provider].wire.line_parts(job.contract)
        self._overhead = len(first) + len(second) + 36
        self._limit = planner.providers[job.contract.provider].max_bytes
        named = [keys for keys in (self._only, self._replaced) if isinstance(keys, frozenset)]
        self._missing = set[str]().union(*named)

    def run(self, rows: Rows) -> Iterator[Diagnostic]:
        """Put every row into the draft; yields what is wrong."""
        expanded = Expander(self._job).expand(rows)
        while chunk := list(islice(expanded, _CHUNK)):
            good = [row for row in chunk if not isinstance(row, Diagnostic)]
            if len(good) != len(chunk):
                yield from (row for row in chunk if isinstance(row, Diagnostic))
            if self._missing:
                self._missing -= {row.key for row in good}
            if self._only is not None:
                good = [row for row in good if row.key in self._only]
            yield from self._put(good)
            self._planner.hook(self._job.address, self._tally.rows)
        for key in sorted(self._missing):
            raise UsageError(f"Job {self._job.address} has no row with the key {key!r}.")

    def _put(self, rows: Sequence[DesiredRow]) -> Iterator[Diagnostic]:
        if not rows:
            return
        recorded = self._draft.look(self._job.address, rows)
        tally = self._tally
        tally.rows += len(rows)
        if not self._known and not any(r.same is not None for r in recorded):
            # The usual first plan: every row is new, which needs no look at each.
            tally.add(Kind.SUBMIT, "NEW_JOB", rows[0].key, rows=len(rows))
            changes = [(row, Kind.SUBMIT) for row in rows]
        else:
            changes = [
                (row, self._classify(row, was)) for row, was in zip(rows, recorded, strict=True)
            ]
        for double in self._draft.put(self._job.address, changes, self._overhead):
            yield doubled(self._job, double)
        for row in rows:
            if len(row.messages_json) + self._overhead > self._limit:
                yield self._too_large(row)

    def _classify(self, row: DesiredRow, recorded: RecordedRow) -> Kind:
        anew = self._replaced
        anew = anew if isinstance(anew, bool) else row.key in anew
        kind, code = classify(row, recorded, known_job=self._known, replace_it=anew)
        self._tally.seen += recorded.fingerprint is not None
        difference = None
        if code == "ROW_CHANGED":
            if self._ignored(row, recorded):
                kind, code = Kind.KEEP, None
            else:
                code, difference = self._explain(row, recorded)
        self._tally.add(kind, code, row.key, difference)
        return kind

    def _ignored(self, row: DesiredRow, recorded: RecordedRow) -> bool:
        """Tell whether a request changed only in parts the job ignores."""
        ignored = self._job.job.ignore_changes
        if not ignored or recorded.contract is None or recorded.request is None:
            return False
        old = self._planner.reader.contract(recorded.contract)
        messages, _ = self._draft.record(recorded.request)
        parts = changed_parts(old, self._job.contract, messages, row.messages_json)
        return parts <= frozenset(ignored)

    def _explain(self, row: DesiredRow, recorded: RecordedRow) -> Any:
        """Find out why a request changed: by its contract, or by reading the old request back."""
        contract = recorded.contract
        if contract not in self._reasons and contract is not None:
            old = self._planner.reader.contract(contract)
            self._reasons[contract] = contract_change(old, self._job.contract)
        if self._reasons.get(contract):
            return self._reasons[contract]
        if recorded.request is None:
            return "ROW_CHANGED", None
        messages, stored = self._draft.record(recorded.request)
        return message_change(messages + b"\t" + stored, row)

    def _too_large(self, row: DesiredRow) -> Diagnostic:
        size = len(row.messages_json) + self._overhead
        return Diagnostic(
            summary="request is larger than a batch may be",
            detail=(
                f"Row {row.key!r} makes a request of {size:_} bytes; an input file may have "
                f"{self._limit:_}. Shorten the prompt or split the row."
            ),
            source=self._job.source,
            address=self._job.address,
        )


def doubled(job: DesiredJob, double: Duplicate) -> Diagnostic:
    """Return the diagnostic of two rows with one key."""
    path = getattr(job.rows, "path", None)
    found = duplicate_key(job.address, double.key, double.first, double.second, path)
    return found if found.source else replace(found, source=job.source)


def max_tokens(job: DesiredJob) -> int | None:
    """Return the job's own bound on the length of a reply."""
    settings = job.contract.settings
    value = settings.get("max_completion_tokens", settings.get("max_tokens"))
    return value if isinstance(value, int) else None


def most_turns(job: DesiredJob) -> int:
    """Return how many replies an item of a job may take."""
    if job.tools:
        return job.job.max_turns
    checked = not isinstance(job.output, TextMode) or job.job.output_validators
    return min(job.job.max_turns, 1 + (job.job.output_retries if checked else 0))


def derived_rows(
    job: DesiredJob, desired: Desired, reader: Reader, providers: Mapping[str, Provider]
) -> Iterator[SourceRow | Diagnostic]:
    """Yield the rows a job makes of the answers of another."""
    source = job.rows
    assert isinstance(source, DerivedSource)  # noqa: S101 - the callers look
    upstream = desired[job.depends_on[0]]
    wire = providers[upstream.contract.provider].wire
    answers = Answers(upstream.address, wire, upstream)
    items = (Item(stored, answers) for stored in reader.items(upstream.address))
    answered = (
        Answered(item.key, item.row, item.output_json())
        for item in items
        if item.outcome == "succeeded"
    )
    return derive(source, answered)


def unfinished_jobs(reader: Reader) -> set[JobAddress]:
    """Return the jobs with an item that is not final."""
    return {p.address for p in reader.progress() if p.final < p.items}


def with_unknown(plan: JobPlan, open_batches: Sequence[BatchRecord]) -> JobPlan:
    """Add what is not known: batches whose creation got no answer."""
    unknown = [
        b for b in open_batches if b.create_at and not b.remote_id and plan.address in b.jobs
    ]
    if not unknown:
        return plan
    rows = sum(batch.jobs[plan.address] for batch in unknown)
    reason = Reason(kind=Kind.UNKNOWN, code="OUTCOME_UNKNOWN", rows=rows, note=unknown[0].note)
    return replace(plan, reasons=(*plan.reasons, reason))
