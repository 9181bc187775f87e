"""`batchspec refresh`."""

import click

from batchspec.cli.durations import lock_options
from batchspec.cli.scope import Scope, scope_options
from batchspec.cli.views.failures import errors_as_json
from batchspec.cli.views.refresh import refreshing, show_refreshed, show_refreshed_json
from batchspec.errors import ExitCode


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option(
    "--rebind",
    multiple=True,
    metavar="PROVIDER",
    help="Its key was replaced by another one of the same account; may be repeated.",
)
@lock_options
@scope_options
@click.pass_obj
def refresh(scope: Scope, *, as_json: bool, rebind: tuple[str, ...]) -> ExitCode:
    """Look at every open batch once, and read what has ended. Nothing is sent, nothing is paid.

    Batches whose creation got no answer are looked for. Exits with 3 while a batch is under way.
    """
    with errors_as_json(as_json), scope.open() as project, refreshing(quiet=as_json) as hook:
        found = project.refresh(rebind=rebind, hook=hook)
    if as_json:
        show_refreshed_json(found, hook.warnings)
    else:
        show_refreshed(found, flags=scope.flags)
    return found.exit_code
