"""One pass over the rows of a job: each is looked up in the state, classified, and put down."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from batchspec.desired.expand import DesiredRow, Expander, SourceRow, in_chunks
from batchspec.desired.graph import DesiredJob
from batchspec.errors import Diagnostic, UsageError
from batchspec.load.rows import duplicate_key
from batchspec.plan.changes import Difference, Kind, ReasonCode
from batchspec.plan.diff import Tally, changed_parts, classify, contract_change, message_change
from batchspec.plan.planfile import DONE
from batchspec.ports.providers import line_overhead
from batchspec.project.constraint import Constraint
from batchspec.project.jobs import expired_before, limits
from batchspec.project.standing import How
from batchspec.project.widths import Widths
from batchspec.spec.rows import Collect
from batchspec.state.resumption import LOST, goes_on
from batchspec.state.stored import Duplicate, RecordedRow
from batchspec.state.tokens import data_bytes, largest_line, prompt_tokens

if TYPE_CHECKING:
    from batchspec.project.planning import Planner

_MESSAGES = attrgetter("messages_json")
_SENT = {Kind.SUBMIT, Kind.RESUBMIT}
_FAILED = frozenset({"failed", "exhausted"})

Rows = Iterable[SourceRow | Diagnostic]
Verdict = tuple[Kind, ReasonCode | None, Difference | None]


class RowPass:
    """One pass over the rows of a job."""

    def __init__(self, planner: "Planner", job: DesiredJob, tally: Tally, *, known: bool) -> None:
        self._planner = planner
        self._draft = planner.draft
        self._job = job
        self._tally = tally
        self._known = known
        self._replaced = planner.selection.replaces(job.address)
        self._only = planner.selection.only_rows(job.address)
        self._reasons: dict[int | None, Any] = {}
        self._oversize: dict[bool, tuple[Diagnostic, int]] = {}
        # Whether other jobs are made of its answers, those that rows take over too.
        self._read = any(job.address in one.depends_on for one in planner.desired)
        wire = planner.wire(job)
        overhead, size = line_overhead(wire, job.contract), wire.size
        self._size: Callable[[bytes], int] = lambda messages: overhead + size(messages)
        provider = planner.providers[job.contract.provider]
        self._limit = provider.max_bytes
        self._cap = provider.cap(job.contract.model)
        self._largest = min(self._limit, largest_line(self._cap) or self._limit)
        named = [keys for keys in (self._only, self._replaced) if isinstance(keys, frozenset)]
        self._constraint = planner.constraint
        self._limits = limits(job)
        # Its replies are judged again once the plan is agreed to, before anything of them is paid.
        self._other_rules = planner.reader.judged_by(job.address) not in {None, job.policy}
        self._expired = expired_before(planner, job)
        # Of a saved plan rows may drop out; what rows answers make was not known.
        lenient = self._constraint is not None or planner.expanding
        self._missing = set[str]() if lenient else set[str]().union(*named)

    def run(self, rows: Rows) -> Iterator[Diagnostic]:
        """Put every row into the draft; yields what is wrong."""
        expanded = Expander(self._job).expand(rows)
        for chunk in in_chunks(expanded):
            good = [row for row in chunk if not isinstance(row, Diagnostic)]
            if len(good) != len(chunk):
                yield from (row for row in chunk if isinstance(row, Diagnostic))
            if self._missing:
                self._missing -= {row.key for row in good}
            if self._read:
                widths = self._planner.widths.setdefault(self._job.address, Widths())
                widths.measure(row.row_json for row in good)
            if self._only is not None:
                good = [row for row in good if row.key in self._only]
            yield from self._put(good)
            self._planner.hook(self._job.address, self._tally.rows)
        for first, count in self._oversize.values():
            more = " So does 1 more row." if count == 2 else f" So do {count - 1:_} more rows."
            yield replace(first, detail=first.detail + (more if count > 1 else ""))
        for key in sorted(self._missing):
            raise UsageError(f"Job {self._job.address} has no row with the key {key!r}.")

    def _put(self, rows: Sequence[DesiredRow]) -> Iterator[Diagnostic]:
        if not rows:
            return
        recorded = self._draft.look(self._job.address, rows, self._expired)
        tally = self._tally
        tally.rows += len(rows)
        if self._constraint is not None:
            changes = self._constrained(self._constraint, rows, recorded)
        elif not self._known and not any(r.same is not None for r in recorded):
            # The usual first plan: every row is new, which needs no look at each.
            tally.add(Kind.SUBMIT, "NEW_JOB", rows[0].key, rows=len(rows))
            changes = [(row, Kind.SUBMIT) for row in rows]
        else:
            changes = [
                (row, self._classify(row, was)) for row, was in zip(rows, recorded, strict=True)
            ]
        if self._read:
            taken = [row for row, kind in changes if kind is Kind.REUSE]
            self._draft.note_reused(self._job.address, taken)
        for double in self._draft.put(self._job.address, changes, self._size):
            yield doubled(self._job, double)
        # Seldom is any: the longest of a thousand tells without a look at each.
        if self._size(max(map(_MESSAGES, rows), key=len)) > self._largest:
            self._oversized(changes)

    def _oversized(self, changes: Iterable[tuple[DesiredRow, Kind]]) -> None:
        for row, kind in changes:
            size = self._size(row.messages_json)
            prompt = size - data_bytes(row.messages_json)
            if not (size > self._limit or prompt > self._largest) or kind not in _SENT:
                continue
            known, found = size > self._limit, self._oversize
            told = self._too_large(row, size if known else prompt)
            first, rows = found.get(known, (told, 0))
            found[known] = first, rows + 1

    def _constrained(
        self, constraint: Constraint, rows: Sequence[DesiredRow], recorded: Sequence[RecordedRow]
    ) -> list[tuple[DesiredRow, Kind]]:
        """Do what a saved plan says of the same request, and leave alone what else changed."""
        allowed = self._draft.allowed(self._job.address, rows)
        free = constraint.waited(self._job.address)
        changes: list[tuple[DesiredRow, Kind]] = []
        for row, was, said in zip(rows, recorded, allowed, strict=True):
            again = said is not None and said.kind in {Kind.RESUBMIT, Kind.CONTINUE}
            anew = said is not None and said.anew
            verdict = self._judge(row, was, anew=anew, failed_again=again)
            kind = _done(verdict)
            if kind in DONE and not free and (said is None or kind is not said.kind):
                constraint.left(self._job.address)
                verdict, anew = (Kind.KEEP, None, None), False
            changes.append((row, self._note(row, was, verdict, anew=anew)))
        return changes

    def _classify(self, row: DesiredRow, recorded: RecordedRow) -> Kind:
        asked = self._replaced
        anew = asked if isinstance(asked, bool) else row.key in asked
        failed_again = self._planner.selection.failed
        verdict = self._judge(row, recorded, anew=anew, failed_again=failed_again)
        return self._note(row, recorded, verdict, anew=anew)

    def _judge(
        self, row: DesiredRow, recorded: RecordedRow, *, anew: bool, failed_again: bool
    ) -> Verdict:
        """Say what happens to a row, why, and where its request differs."""
        resumes = bool(recorded.resumable) and self._resumes(recorded)
        stays = None if anew or not failed_again else self._stays(recorded, resumes=resumes)
        kind, code = classify(
            row,
            recorded,
            known_job=self._known,
            replace_it=anew,
            failed_again=failed_again and stays is None,
            resumes=resumes,
        )
        standing = self._planner.standing
        if kind is Kind.KEEP and recorded.outcome in _FAILED and resumes:
            standing.note(self._job.address, "resumable")
        elif kind is Kind.KEEP and stays is not None:
            standing.note(self._job.address, stays)
        if code != "ROW_CHANGED":
            return kind, code, None
        if self._ignored(row, recorded):
            return (kind, "ANSWER_EXPIRED", None) if recorded.expired else (Kind.KEEP, None, None)
        return kind, *self._explain(row, recorded)

    def _note(
        self, row: DesiredRow, recorded: RecordedRow, verdict: Verdict, *, anew: bool
    ) -> Kind:
        kind, code, difference = verdict
        tally = self._tally
        tally.seen += recorded.fingerprint is not None
        if kind is Kind.RESUBMIT and (anew or code == "ANSWER_EXPIRED"):
            # Once there is a later answer, a plan that was saved before asks for no other.
            self._draft.ask_anew([row], wished=anew)
            if code == "ANSWER_EXPIRED":
                prompt = self._size(row.messages_json) - data_bytes(row.messages_json)
                tally.expired += max(0, prompt)
        elif kind is Kind.RESUBMIT:
            own = recorded.resent if recorded.fingerprint == row.fingerprint else None
            size = own or recorded.same_resent or 0
            tally.longer += max(0, size - self._size(row.messages_json)) if size else 0
        if recorded.phase == "batched" and kind in DONE and recorded.fingerprint != row.fingerprint:
            tally.superseded += 1
        tally.add(kind, code, row.key, difference)
        done = _done(verdict)
        tally.resumed += done is Kind.CONTINUE
        return done

    def _stays(self, recorded: RecordedRow, *, resumes: bool) -> How | None:
        """Say why an item that failed is left as it is though what failed is asked for."""
        if recorded.outcome not in _FAILED:
            return None
        if self._lost(recorded):
            return "once"
        return "judged" if self._other_rules and recorded.replied and not resumes else None

    def _lost(self, recorded: RecordedRow) -> bool:
        """Tell whether a call of an item began that must not run again."""
        if recorded.resumable != LOST:
            return False
        tools, names = self._job.tools, json.loads(recorded.begun or "[]")
        return any(name in tools and tools[name].once for name in names)

    def _resumes(self, recorded: RecordedRow) -> bool:
        """Tell whether an item that ended would go on from turns that were paid."""
        return not self._lost(recorded) and goes_on(
            recorded.resumable,
            recorded.outcome,
            turn=recorded.turn,
            asked=recorded.asked,
            limits=self._limits,
        )

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

    def _smaller(self) -> str:
        if isinstance(self._job.rows, Collect):
            return (
                "It holds all answers: take fewer with `where`, name only what is needed of "
                "`outputs`, let a job between shorten each"
            )
        return "Shorten the prompt, split the row"

    def _too_large(self, row: DesiredRow, size: int) -> Diagnostic:
        contract = self._job.contract
        if size > self._limit:
            summary = "request is larger than a batch may be"
            told = f"a request of {size:_} bytes; an input file may have {self._limit:_}"
            more = f"raise max_bytes under [providers.{contract.provider}.limits]"
        else:
            summary = "request has more prompt tokens than may be under way"
            told = (
                f"a request of about {prompt_tokens(1, size + 1):_} prompt tokens; "
                f"max_enqueued_tokens of {contract.model} allows {self._cap:_}"
            )
            more = f"raise it under [providers.{contract.provider}.limits]"
        return Diagnostic(
            summary=summary,
            detail=f"Row {row.key!r} makes {told}. {self._smaller()}, or {more}.",
            source=self._job.source,
            address=self._job.address,
        )


def _done(verdict: Verdict) -> Kind:
    """Return what the plan does to a row; what only goes on is done without it."""
    kind, code, _ = verdict
    return Kind.KEEP if kind is Kind.CONTINUE and code != "FAILED" else kind


def doubled(job: DesiredJob, double: Duplicate) -> Diagnostic:
    """Return the diagnostic of two rows with one key."""
    path = getattr(job.rows, "path", None)
    found = duplicate_key(job.address, double.key, double.first, double.second, path)
    return found if found.source else replace(found, source=job.source)
