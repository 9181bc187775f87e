"""`batchspec taint` and `batchspec untaint`."""

import click

from batchspec.cli.durations import lock_options
from batchspec.cli.keys import read_keys
from batchspec.cli.scope import Scope, scope_options
from batchspec.cli.views.taint import show_tainted, show_untainted
from batchspec.errors import ExitCode


@click.command()
@click.argument("addresses", metavar="ADDRESS…", nargs=-1, required=True)
@click.option(
    "--keys", "keyfile", metavar="FILE", help="Keys of the one job named, one per line; - is stdin."
)
@lock_options
@scope_options
@click.pass_obj
def taint(scope: Scope, *, addresses: tuple[str, ...], keyfile: str | None) -> ExitCode:
    """Mark answers as bad: the next plan asks for new ones.

    Sends nothing itself. The old answer of an item stays readable until the new one is in.
    """
    keys = None if keyfile is None else read_keys(keyfile)
    with scope.open() as project:
        show_tainted(project.taint(*addresses, keys=keys), flags=scope.flags)
    return ExitCode.DONE


@click.command()
@click.argument("addresses", metavar="ADDRESS…", nargs=-1, required=True)
@click.option(
    "--keys", "keyfile", metavar="FILE", help="Keys of the one job named, one per line; - is stdin."
)
@lock_options
@scope_options
@click.pass_obj
def untaint(scope: Scope, *, addresses: tuple[str, ...], keyfile: str | None) -> ExitCode:
    """Take the marks of `taint` away, where no other answer was accepted yet."""
    keys = None if keyfile is None else read_keys(keyfile)
    with scope.open() as project:
        show_untainted(project.taint(*addresses, keys=keys, undo=True))
    return ExitCode.DONE
