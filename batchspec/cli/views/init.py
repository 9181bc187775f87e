"""The view of `init`."""

from collections.abc import Sequence
from pathlib import Path

from rich.text import Text

from batchspec.cli.views.streams import print_prose, stderr, stdout
from batchspec.cli.views.words import columns


def show_created(written: Sequence[Path], *, kept: Sequence[Path], flags: str) -> None:
    """Print what was written and the next two commands."""
    lines = [Text.assemble(("  + ", "green"), str(path)) for path in written]
    print_prose(stdout(), [Text("Created:", "bold"), *lines, Text()])
    for path in kept:
        print_prose(stderr(), [Text(f"{path} was there and is unchanged; it should hold: state/")])
    where = flags.replace(" --simulate", "")
    commands = (
        (f"batchspec plan --simulate{where}", "see what would be sent; free, offline"),
        (f"batchspec apply --simulate{where}", "run it against the embedded server"),
    )
    rows = [(Text(f"  {command}", "cyan"), Text(f"# {why}", "dim")) for command, why in commands]
    print_prose(stdout(), [Text("Next:", "bold"), *columns(rows)])
