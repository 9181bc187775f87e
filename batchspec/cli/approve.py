"""`batchspec approve`."""

import click

from batchspec.cli.scope import Scope, scope_options
from batchspec.errors import ExitCode


@click.command()
@click.argument("plan")
@scope_options
@click.pass_obj
def approve(scope: Scope, /, *, plan: str) -> ExitCode:
    """Agree to a PLAN that `batchspec watch` holds back, by its id or the beginning of it.

    Whoever watches does it at once, or when watching begins: what the plan says or less, once.
    `batchspec status` lists what waits.
    """
    from batchspec.cli.views.watch import show_approved  # noqa: PLC0415 - slow
    from batchspec.project.pending import Pending  # noqa: PLC0415

    with scope.open() as project:
        pending = Pending(project.directory)
        saved = pending.find(plan)
        pending.approve(saved)
        show_approved(saved)
    return ExitCode.DONE
