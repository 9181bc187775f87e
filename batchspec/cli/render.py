"""`batchspec render ADDRESS`."""

import click

from batchspec.cli.scope import Scope, scope_options
from batchspec.cli.views.checks import show_request


@click.command()
@click.argument("address")
@click.option("--json", "whole", is_flag=True, help="Leave out nothing, however long it is.")
@scope_options
@click.pass_obj
def render(scope: Scope, address: str, *, whole: bool) -> None:
    """Print the exact request of one item, as the provider would get it.

    ADDRESS is that of an item, for example 'tickets.triage["row-17"]'; of a job, its first row.
    """
    with scope.open() as project:
        rendered = project.render(address)
    show_request(rendered, whole=whole)
