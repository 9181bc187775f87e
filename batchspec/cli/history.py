"""`batchspec history [ADDRESS]`."""

import click

from batchspec.cli.scope import Scope, scope_options
from batchspec.cli.views.failures import errors_as_json
from batchspec.cli.views.history import show_history, show_history_json


@click.command()
@click.argument("address", required=False)
@click.option("--last", type=click.IntRange(min=1), metavar="N", help="Only the newest N.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@scope_options
@click.pass_obj
def history(scope: Scope, *, address: str | None, last: int | None, as_json: bool) -> None:
    """Show what happened, oldest first: plans, batches, answers, changes by hand.

    With an address only what is about this job or item. Looks at a batch that found nothing new are
    in the JSON only.
    """
    with errors_as_json(as_json), scope.open() as project:
        state = project.state
        entries = state.history(address)
        known = [one.batch for one in state.batches(every=True)]
        (show_history_json if as_json else show_history)(entries, known, last=last)
