"""`batchspec state`: the recorded state, for people who look at it or mend it by hand."""

import click

from batchspec.cli.durations import lock_options
from batchspec.cli.scope import Scope, scope_options
from batchspec.cli.state_files import gc, pull, push, verify
from batchspec.cli.views import state as views
from batchspec.cli.views.failures import errors_as_json
from batchspec.ids import parse_address

_as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.group()
def state() -> None:
    """Look at the recorded state, or mend it by hand; nothing is sent."""


@state.command("list")
@click.argument("pattern", required=False)
@click.option("--items", is_flag=True, help="List items, not jobs.")
@_as_json
@scope_options
@click.pass_obj
def list_(scope: Scope, *, pattern: str | None, items: bool, as_json: bool) -> None:
    """List the addresses of jobs; with the address of one, its items.

    PATTERN may be a glob, such as 'tickets.*'.
    """
    with errors_as_json(as_json), scope.open() as project:
        jobs = project.state.jobs(None if pattern is None else parse_address(pattern)[0])
        if items or (pattern is not None and not _is_glob(pattern)):
            entries = project.state.items(pattern)
            (views.show_items_json if as_json else views.show_items)(entries)
        else:
            (views.show_jobs_json if as_json else views.show_jobs)(jobs)


def _is_glob(pattern: str) -> bool:
    address, key = parse_address(pattern)
    return key is None and any(character in address for character in "*?[")


@state.command()
@click.argument("address")
@_as_json
@scope_options
@click.pass_obj
def show(scope: Scope, *, address: str, as_json: bool) -> None:
    """Show everything that is recorded of a job or an item."""
    with errors_as_json(as_json), scope.open() as project:
        found = project.state.show(address)
    (views.show_detail_json if as_json else views.show_detail)(found)


@state.command()
@click.argument("old", metavar="FROM")
@click.argument("new", metavar="TO")
@_as_json
@lock_options
@scope_options
@click.pass_obj
def mv(scope: Scope, *, old: str, new: str, as_json: bool) -> None:
    """Give a job another address, or an item another key of its job; free.

    A renamed job finds its answers without this, because answers are found by what was asked.
    """
    with errors_as_json(as_json), scope.open() as project:
        project.state.move(old, new)
    (views.show_moved_json if as_json else views.show_moved)(old, new)


@state.command()
@click.argument("addresses", metavar="ADDRESS...", nargs=-1, required=True)
@_as_json
@lock_options
@scope_options
@click.pass_obj
def rm(scope: Scope, *, addresses: tuple[str, ...], as_json: bool) -> None:
    """Forget jobs or items; batches go on, and every answer is kept for whoever asks the same."""
    with errors_as_json(as_json), scope.open() as project:
        done = project.state.forget(addresses)
    (views.show_forgotten_json if as_json else views.show_forgotten)(done)


for command in (pull, push, verify, gc):
    state.add_command(command)
