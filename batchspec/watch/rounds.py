"""Words about rounds of an engine, and about what they are about."""

from batchspec.errors import RefusedError, SpecError
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


def refused(error: SpecError | RefusedError) -> str:
    """Return why there is no plan, and how what it asks for can be said while somebody watches."""
    if isinstance(error, SpecError) or "`--" not in str(error):
        return str(error)
    return (
        f"{error} Such options are those of `batchspec apply`: stop watching, apply once with "
        "them, and watch again."
    )
