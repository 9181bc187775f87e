"""What is known of a job that waits: the rows whose answers above stay as they are."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from batchspec.desired.derive import Answered, derive
from batchspec.desired.expand import DesiredRow, Expander
from batchspec.desired.graph import DesiredJob
from batchspec.plan.changes import JobPlan, Kind
from batchspec.results.read import Answers, Item
from batchspec.spec.rows import OutputsOf
from batchspec.state.stored import Fresh

if TYPE_CHECKING:
    from batchspec.project.planning import Planner

_CHUNK = 1000


@dataclass(slots=True)
class Known:
    """Counts of what is known.

    Attributes:
        answers: Answers above that stay as they are; what becomes of the others is not known.
        rows: Rows that are made of them.
        same: Those of them that have an answer of their own and keep it.
        items: Those of them that have an item, whatever becomes of it.
    """

    answers: int = 0
    rows: int = 0
    same: int = 0
    items: int = 0

    @property
    def free(self) -> int:
        """Return how many answers above lead to no request."""
        return self.answers - (self.rows - self.same)


def known_rows(planner: "Planner", job: DesiredJob, upstream: Sequence[JobPlan]) -> Known:
    """Look at the rows of a job that waits which are certain already.

    None are where answers above may be judged anew, or where rows are asked for anew.
    """
    known = Known()
    selection = planner.selection
    if (
        not isinstance(job.rows, OutputsOf)
        or len(job.depends_on) != 1
        or any(up.counts.get(Kind.UPDATE) for up in upstream)
        or selection.replaces(job.address)
        or selection.only_rows(job.address) is not None
        or not planner.draft.items_of(job.address)
    ):
        return known
    above = planner.desired[job.depends_on[0]]
    if planner.reader.judged_by(above.address) != above.policy:
        return known
    made = Expander(job).expand(derive(job.rows, _staying(planner, above, known)))
    while chunk := list(islice(made, _CHUNK)):
        # What is wrong with a row is told when all are known.
        rows = [row for row in chunk if isinstance(row, DesiredRow)]
        stays = planner.draft.compare(job.address, rows)
        same = [key for key, is_same in stays.items() if is_same]
        planner.draft.note_kept(job.address, same)
        known.rows += len(chunk)
        known.items += len(stays)
        known.same += len(same)
    return known


def _staying(planner: "Planner", above: DesiredJob, known: Known) -> Iterator[Answered]:
    """Yield the answers of a job that its plan leaves as they are."""
    answers = Answers(above.address, planner.providers[above.contract.provider].wires, above)
    stored = planner.reader.fresh_items(above.address, Fresh())
    while chunk := list(islice(stored, _CHUNK)):
        kept = planner.draft.kept(above.address, [one.key for one in chunk])
        for one in chunk:
            if one.key in kept:
                known.answers += 1
                item = Item(one, answers)
                yield Answered(item.key, item.row, item.output_json())
