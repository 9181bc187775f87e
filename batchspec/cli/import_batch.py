"""`batchspec import ADDRESS BATCH_ID`."""

from typing import TYPE_CHECKING, cast

import click

from batchspec.cli.durations import lock_options
from batchspec.cli.scope import Scope, scope_options
from batchspec.cli.views.failures import errors_as_json
from batchspec.cli.views.importing import show_import, show_import_json
from batchspec.errors import ExitCode

if TYPE_CHECKING:
    from batchspec.store.foreign import Match


@click.command("import")
@click.argument("address")
@click.argument("batch", metavar="BATCH_ID")
@click.option(
    "--match",
    "how",
    type=click.Choice(["auto", "custom-id", "request"]),
    default="auto",
    show_default=True,
    help="How a line finds its row: by its custom_id, by what it asks, or by both.",
)
@click.option("--force", is_flag=True, help="Take a batch that another state made, too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@lock_options
@scope_options
@click.pass_obj
def import_batch(  # noqa: PLR0913 - one argument per option
    scope: Scope, *, address: str, batch: str, how: str, force: bool, as_json: bool
) -> ExitCode:
    """Take the answers of a batch that was made by hand, or whose state is lost, as a job's own.

    Nothing is sent and nothing is paid. The rows it carries count as in progress; the next `apply`
    collects them, and sends what the batch does not carry.
    """
    with errors_as_json(as_json), scope.open() as project:
        result = project.import_batch(address, batch, match=cast("Match", how), force=force)
    if as_json:
        show_import_json(result)
    else:
        show_import(result, flags=scope.flags)
    return ExitCode.DONE
