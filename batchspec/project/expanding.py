"""Planning rows in the middle of a run: those of jobs made of answers, agreed to before."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batchspec.errors import Diagnostic, RefusedError, SpecError
from batchspec.ids import JobAddress
from batchspec.plan.changes import JobPlan, Kind
from batchspec.plan.target import Selection
from batchspec.project.making import check_protected
from batchspec.project.planning import Planner
from batchspec.spec.rows import OutputsOf
from batchspec.state.stored import Fresh

if TYPE_CHECKING:
    from batchspec.desired.graph import Desired
    from batchspec.project.project import Project

AS_RECORDED = frozenset({Kind.KEEP, Kind.CONTINUE, Kind.DRIFT, Kind.UNKNOWN})
"""What happens to rows that agreeing to a plan does not change."""


@dataclass(slots=True)
class Expanding:
    """Makes rows of answers, as a plan allows.

    Attributes:
        refused: What a guard refused, a sentence each: the rest of the run goes on.
        problems: What is wrong with rows that answers made. Their jobs are left alone, and so are
            those made of them: part of the answers would make other rows, which cost.
        left: Those jobs.
        expires: Whether answers that are too old are asked again, which nobody agreed to where no
            plan is recorded.
    """

    project: "Project"
    desired: "Desired"
    selection: Selection
    allow_empty: bool
    prune: bool = True
    expires: bool = True
    refused: list[str] = field(default_factory=list[str])
    problems: list[Diagnostic] = field(default_factory=list[Diagnostic])
    left: dict[JobAddress, None] = field(default_factory=dict[JobAddress, None])

    def eager(self, plans: Iterable[JobPlan]) -> frozenset[JobAddress]:
        """Return the jobs that wait and whose rows are sent one after the other.

        What is asked for anew is asked for once, and each look at rows would ask again.
        """
        return frozenset(
            plan.address
            for plan in plans
            if plan.waits_for
            and isinstance(source := self.desired[plan.address].rows, OutputsOf)
            and source.eager
            and not self.selection.failed
            and not self.selection.replaces(plan.address)
        )

    def __call__(self, address: JobAddress, fresh: Fresh | None) -> int | None:
        """Plan and record rows of a job that are known now.

        Args:
            address: A job that waits.
            fresh: The answers to make rows of; None: all of them.

        Returns:
            The serial of the state up to which answers were read; None: it is left alone.
        """
        if any(up in self.left for up in self.desired[address].depends_on):
            self.left[address] = None
            return None
        project = self.project
        with project.reader() as reader:
            seen = reader.serial()
            planner = project.planner(
                reader, self.selection, allow_empty=self.allow_empty, prune=self.prune
            )
            planner.expanding = True
            planner.expires = self.expires
            try:
                moves = self._plan(planner, address, fresh)
            except (RefusedError, SpecError) as error:
                planner.draft.discard()
                self._leave(address, error)
                return None
            except BaseException:
                planner.draft.discard()
                raise
        if fresh is not None and not moves:
            planner.draft.discard()
        else:
            project.store().agree(planner.draft, planner.plan_id, planner.events)
        return seen

    def _leave(self, address: JobAddress, error: RefusedError | SpecError) -> None:
        if isinstance(error, RefusedError):
            self.refused.append(str(error))
            return
        self.left[address] = None
        self.problems += error.diagnostics

    def _plan(self, planner: Planner, address: JobAddress, fresh: Fresh | None) -> bool:
        job = self.desired[address]
        plan = planner.plan_job(job) if fresh is None else planner.plan_fresh(job, fresh)
        planner.raise_problems()
        check_protected(self.desired, [plan], planner.protected)
        return any(n for kind, n in plan.counts.items() if kind not in AS_RECORDED)
