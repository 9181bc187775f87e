"""`batchspec cancel ADDRESS…`."""

import click

from batchspec.cli.durations import lock_options
from batchspec.cli.scope import Scope, scope_options
from batchspec.cli.views.asking import confirm
from batchspec.cli.views.cancel import show_cancelled, show_cancelled_json, show_stop
from batchspec.cli.views.failures import errors_as_json
from batchspec.cli.views.progress import watching
from batchspec.errors import ExitCode, UsageError
from batchspec.state.stopped import Stop


@click.command()
@click.argument("addresses", metavar="ADDRESS…", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Everything that is under way.")
@click.option("--auto-approve", is_flag=True, help="Do not ask.")
@click.option("--detach", is_flag=True, help="Return once the provider has taken the cancellation.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@lock_options
@scope_options
@click.pass_obj
def cancel(  # noqa: PLR0913 - one argument per option
    scope: Scope,
    *,
    addresses: tuple[str, ...],
    everything: bool,
    auto_approve: bool,
    detach: bool,
    as_json: bool,
) -> ExitCode:
    """Stop what is under way for jobs or items, and wait until their batches have ended.

    What was answered by then is kept, and billed. Costs nothing itself. What got no answer is
    proposed again by the next plan.
    """
    if bool(addresses) == everything:
        raise UsageError("Name what to stop (a job, a pattern or an item), or everything: `--all`.")
    with errors_as_json(as_json), scope.open() as project:
        stop = project.stoppable(*addresses)
        if not as_json:
            show_stop(stop)
        if not stop.requests:
            if as_json:
                show_cancelled_json(None, stop)
            return ExitCode.DONE
        if not auto_approve:
            confirm(_question(stop), declined="Declined; nothing was stopped.")
        if as_json:
            result = project.cancel(*addresses, detach=detach)
        else:
            with watching(None, scope.flags) as view:
                result = project.cancel(*addresses, detach=detach, hook=view)
    if as_json:
        show_cancelled_json(result, stop)
    else:
        show_cancelled(result, flags=scope.flags)
    return result.exit_code


def _question(stop: Stop) -> str:
    return f"Stop {stop.requests:,} items?" if stop.requests > 1 else "Stop 1 item?"
