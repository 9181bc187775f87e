"""Words about rounds of an engine, and about what they are about."""

from batchspec.ids import JobAddress
from batchspec.project import Project
from batchspec.reconcile.actions import Subject
from batchspec.watch.protocol import Reconciled, Round, RoundResult


def begun(project: Project) -> Round:
    """Return a round that begins now."""
    with project.reader() as reader:
        return Round(project.mint(), reader.serial())


def ended(result: RoundResult, seconds: float, *, again: bool) -> Reconciled:
    """Return how a round ended; `again`: another one begins at once."""
    return Reconciled("again" if again and result == "done" else result, max(0.0, seconds))


def job_of(subject: Subject) -> JobAddress | None:
    """Return the job that the subject of an action is, or whose tools."""
    return JobAddress(subject[1]) if subject[0] in {"job", "tools", "hooks"} else None


def camel(code: str) -> str:
    """Return a code as the reason of a condition."""
    return code.title().replace("_", "")
