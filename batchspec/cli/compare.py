"""`batchspec compare ADDRESS`."""

from typing import TYPE_CHECKING, cast

import click

from batchspec.cli.scope import Scope, scope_options
from batchspec.cli.views.compare import show_comparison, show_comparison_json
from batchspec.cli.views.failures import errors_as_json

if TYPE_CHECKING:
    from batchspec.project.comparing import By


@click.command()
@click.argument("address")
@click.option(
    "--by",
    type=click.Choice(("variant", "sample")),
    default="variant",
    show_default=True,
    help="Take samples of a variant together, or compare them.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@scope_options
@click.pass_obj
def compare(scope: Scope, *, address: str, by: str, as_json: bool) -> None:
    """Put the variants of a job side by side: success, cost, latency, agreement and grade.

    The first variant is the baseline. Intervals are of 95 %.
    """
    with errors_as_json(as_json), scope.open() as project:
        found = project.compare(address, by=cast("By", by))
    (show_comparison_json if as_json else show_comparison)(found)
