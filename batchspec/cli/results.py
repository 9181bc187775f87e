"""`batchspec results ADDRESS`."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from batchspec.cli.scope import Scope, scope_options
from batchspec.cli.views.missing import note_missing
from batchspec.cli.views.results import print_items, show_table, write_items
from batchspec.cli.views.resumable import note_resumable
from batchspec.cli.views.turns import print_turns, show_turns
from batchspec.ids import names, parse_address
from batchspec.results.export import ExportItem, TextFormat, format_for

if TYPE_CHECKING:
    from batchspec.project import Project

FORMATS = ("table", "jsonl", "json", "csv", "npy", "parquet")


@click.command()
@click.argument("address")
@click.option("--format", "form", type=click.Choice(FORMATS), help="By default a table.")
@click.option("--json", "as_json", is_flag=True, help="Short for --format json.")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write to a file; its name may tell the format.",
)
@click.option("--failed", is_flag=True, help="Only items that ended without an answer.")
@click.option("--turns", is_flag=True, help="Every request with its reply and its tool calls.")
@scope_options
@click.pass_obj
def results(  # noqa: PLR0913 - one argument per option
    scope: Scope,
    *,
    address: str,
    form: str | None,
    as_json: bool,
    output: Path | None,
    failed: bool,
    turns: bool,
) -> None:
    """Print the answers of a job or of one item, with key, row, output, outcome, usage and cost."""
    if turns:
        _turns(scope, address, "json" if as_json else form, output, failed=failed)
        return
    if output == Path("-"):
        output, form = None, form or "jsonl"
    chosen = format_for("json" if as_json else form, output)
    with scope.open() as project:

        def items() -> Iterable[ExportItem]:
            # An Item fits; pyright does not see that cached properties can be read.
            return cast("Iterable[ExportItem]", project.results(address, failed=failed))

        if chosen == "table":
            option = " --failed" if failed else ""
            command = f"batchspec results {address}{option}{scope.flags} -o FILE --format jsonl"
            show_table(items(), total=_total(project, address, failed=failed), command=command)
        elif output:
            write_items(items, chosen, output, address=address)
        else:
            print_items(items, cast("TextFormat", chosen), address=address)
        if failed:
            told = [one for one in project.status().jobs if names(address, one.address)]
            note_resumable(told, scope.flags)
        note_missing([one for one in project.missing() if one.job == address], scope.flags)


def _turns(
    scope: Scope, address: str, form: str | None, output: Path | None, *, failed: bool
) -> None:
    if output is not None or form not in {None, "table", "json", "jsonl"}:
        raise click.UsageError("--turns goes to stdout: for eyes, as --json or as --format jsonl.")
    with scope.open() as project:
        items = project.results(address, failed=failed)
        found = ((item, project.turns(item.address)) for item in items)
        if form in {"json", "jsonl"}:
            print_turns(found, lines=form == "jsonl")
        else:
            show_turns(found)


def _total(project: "Project", address: str, *, failed: bool) -> int | None:
    _, key = parse_address(address)
    found = [j for j in project.status().jobs if names(address, j.address)]
    if key is not None or not found:
        return None
    return sum(job.failed if failed else job.items for job in found)
