"""`batchspec graph`."""

import click

from batchspec.cli.scope import Scope, scope_options
from batchspec.cli.views.graph import show_graph


@click.command()
@click.option(
    "--format",
    "form",
    type=click.Choice(("text", "mermaid", "dot")),
    default="text",
    show_default=True,
    help="What to print.",
)
@scope_options
@click.pass_obj
def graph(scope: Scope, *, form: str) -> None:
    """Show jobs and what they depend on, as text, Mermaid or DOT."""
    with scope.open() as project:
        found = project.graph()
    show_graph(found, form)
