"""What is known of a job that waits: the rows whose answers above stay as they are."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING

from batchspec.desired.derive import Answered, derive
from batchspec.desired.expand import DesiredRow, Expander
from batchspec.desired.graph import DesiredJob
from batchspec.ids import member
from batchspec.plan.changes import JobPlan, Kind, ReasonCode
from batchspec.plan.diff import Tally
from batchspec.project.jobs import expired_before
from batchspec.results.read import Answers, Item
from batchspec.spec.rows import OutputsOf
from batchspec.state.stored import Fresh, StoredItem

if TYPE_CHECKING:
    from batchspec.project.planning import Planner

_CHUNK = 1000


@dataclass(slots=True)
class Known:
    """Counts of what is known.

    Attributes:
        answers: Answers above that stay as they are, or that other rows of the job above take over;
            what becomes of the others is not known.
        rows: Rows that are made of them.
        same: Those of them that have an answer of their own and keep it.
        judged: Those of them that keep their answer, which is judged anew.
        found: Those of them whose request was answered before, under another key or for others.
        moved: Items of the job that only get another key by it.
        items: Those of them that have an item, whatever becomes of it.
        bytes: Of the messages of those that do not keep their answer as it is.
    """

    answers: int = 0
    rows: int = 0
    same: int = 0
    judged: int = 0
    found: int = 0
    moved: int = 0
    items: int = 0
    bytes: int = 0

    @property
    def sent(self) -> int:
        """Return how many of the rows lead to a request."""
        return self.rows - self.same - self.judged - self.found

    @property
    def size(self) -> int:
        """Return about how many bytes the messages of these requests have together."""
        return self.bytes * self.sent // max(1, self.sent + self.found)

    @property
    def free(self) -> int:
        """Return how many answers above lead to no request."""
        return self.answers - self.sent

    def tell(self, tally: Tally) -> None:
        """Tell what happens to the rows."""
        found: tuple[tuple[Kind, ReasonCode | None, int], ...] = (
            (Kind.KEEP, None, self.same),
            (Kind.UPDATE, "ROW_DATA_CHANGED", self.judged),
            (Kind.REUSE, "MOVED", self.moved),
            (Kind.REUSE, "SAME_REQUEST", self.found - self.moved),
        )
        for kind, code, rows in found:
            if rows > 0:
                tally.add(kind, code, rows=rows)


def known_rows(planner: "Planner", job: DesiredJob, upstream: Sequence[JobPlan]) -> Known:
    """Look at the rows of a job that waits which are certain already.

    None are where rows are asked for anew, nor of answers that may be judged anew.
    """
    known = Known()
    selection = planner.selection
    if (
        not isinstance(job.rows, OutputsOf)
        or selection.replaces(job.address)
        or selection.only_rows(job.address) is not None
        or not planner.draft.items_of(job.address)
    ):
        return known
    updated = {up.address for up in upstream if up.counts.get(Kind.UPDATE)}
    # Nothing is known of variants that are off: they are not planned.
    above = [one for one in planner.desired if one.address in {*job.depends_on} - updated]
    several = len(job.depends_on) > 1
    answers = chain.from_iterable(_certain(planner, one, known, several=several) for one in above)
    made = Expander(job).expand(derive(job.rows, answers))
    while chunk := list(islice(made, _CHUNK)):
        known.rows += len(chunk)
        # What is wrong with a row is told when all are known.
        _compare(planner, job, [row for row in chunk if isinstance(row, DesiredRow)], known)
    known.moved = planner.draft.reused_own(job.address) if known.found else 0
    return known


def _compare(planner: "Planner", job: DesiredJob, rows: Sequence[DesiredRow], known: Known) -> None:
    """Hold rows against what is recorded of them, and note those that are free."""
    draft = planner.draft
    before = expired_before(planner, job)
    stays = draft.compare(job.address, rows, before)
    draft.note_kept(job.address, stays)
    others = [row for row in rows if stays.get(row.key, False) is False]
    known.bytes += sum(len(row.messages_json) for row in others)
    known.items += len(stays)
    known.same += sum(same is True for same in stays.values())
    known.judged += sum(same is None for same in stays.values())
    known.found += draft.note_reused(job.address, others, before)


def _certain(
    planner: "Planner", above: DesiredJob, known: Known, *, several: bool
) -> Iterator[Answered]:
    """Yield the answers that are a job's whatever is sent: those that stay, or are taken over."""
    answers = Answers(above.address, planner.providers[above.contract.provider].wires, above)
    of = member(above.address) if several else None
    for one in chain(_staying(planner, above), _taken_over(planner, above)):
        known.answers += 1
        item = Item(one, answers)
        yield Answered(item.key, item.row, item.output_json(), of)


def _staying(planner: "Planner", above: DesiredJob) -> Iterator[StoredItem]:
    """Yield the items of a job that its plan leaves as they are."""
    if planner.reader.judged_by(above.address) != above.policy:
        return
    stored = planner.reader.fresh_items(above.address, Fresh())
    while chunk := list(islice(stored, _CHUNK)):
        kept = planner.draft.kept(above.address, [one.key for one in chunk])
        yield from (one for one in chunk if one.key in kept)


def _taken_over(planner: "Planner", above: DesiredJob) -> Iterator[StoredItem]:
    """Yield what rows of a job will be that have an answer given for others before.

    Not those whose answers were judged by other code: that comes first.
    """
    for owner, item in planner.draft.reused(above.address):
        if planner.reader.judged_by(owner) == above.policy:
            yield item
