"""`batchspec batches [ADDRESS]`."""

import time

import click

from batchspec.cli.scope import Scope, scope_options
from batchspec.cli.views.batches import show_batches, show_batches_json
from batchspec.cli.views.failures import errors_as_json


@click.command()
@click.argument("address", required=False)
@click.option("--all", "every", is_flag=True, help="Also those that are done with.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@scope_options
@click.pass_obj
def batches(scope: Scope, *, address: str | None, every: bool, as_json: bool) -> None:
    """Show the batches at the providers, open ones first.

    With an address only those that carry requests of this job or item.
    """
    with errors_as_json(as_json), scope.open() as project:
        found = project.state.batches(address, every=every)
    if as_json:
        show_batches_json(found)
    else:
        show_batches(found, every=every, now=time.time())
