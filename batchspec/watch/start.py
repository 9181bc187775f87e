"""Putting a watcher together."""

from batchspec.plan.consent import Consent
from batchspec.ports import Hook
from batchspec.project import Project
from batchspec.project.pending import Pending
from batchspec.watch.protocol import Orders
from batchspec.watch.sources import watched
from batchspec.watch.supervisor import Supervisor


def supervisor_of(project: Project, consent: Consent, hook: Hook) -> Supervisor:
    """Return a watcher of a project, which opens its state in processes of its own.

    Args:
        project: Which, and which of its environments.
        consent: What is agreed to before anything is known.
        hook: Is told what happens.
    """
    return Supervisor(
        orders=Orders(
            root=str(project.root),
            environment=project.environment,
            simulate=project.simulated,
            consent=consent,
        ),
        hook=hook,
        clock=project.clock,
        watched=watched(project, None),
        approvals=Pending(project.directory).folder,
    )
