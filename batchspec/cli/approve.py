"""`batchspec approve`."""

import click

from batchspec.cli.scope import Scope, scope_options
from batchspec.errors import ExitCode


@click.command()
@click.argument("plan")
@click.option("--show", is_flag=True, help="Print the plan, and agree to nothing.")
@scope_options
@click.pass_obj
def approve(scope: Scope, /, *, plan: str, show: bool) -> ExitCode:
    """Agree to a PLAN that `batchspec watch` holds back, by its id or the beginning of it.

    Whoever watches does it at once, or when watching begins: what the plan says or less, once.
    `batchspec status` lists what waits.
    """
    from batchspec.cli.views.saved import show_saved_plan  # noqa: PLC0415 - slow
    from batchspec.cli.views.watch import show_approved  # noqa: PLC0415
    from batchspec.project.pending import Pending, to_approve  # noqa: PLC0415
    from batchspec.store.lease import watched  # noqa: PLC0415

    with scope.open() as project:
        saved = to_approve(project, plan)
        if show:
            show_saved_plan(saved, explain=True)
            return ExitCode.DONE
        Pending(project.directory).approve(saved)
        with project.reader() as reader:
            somebody = watched(reader.lease(), project.clock.now())
        show_approved(saved, watched=somebody, flags=scope.flags)
    return ExitCode.DONE
