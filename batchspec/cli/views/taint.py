"""What `taint` and `untaint` tell."""

from collections.abc import Sequence

from rich.text import Text

from batchspec.cli.views.streams import print_prose, stdout
from batchspec.cli.views.words import clean, counted
from batchspec.project.tainting import Tainted


def show_tainted(done: Sequence[Tainted], *, flags: str) -> None:
    """Say what is tainted now, and what comes next."""
    lines = [Text(f"{clean(each.job)}: {counted(each.items, 'item')} tainted.") for each in done]
    if any(each.items for each in done):
        command = (f"batchspec plan{flags}", "cyan")
        lines.append(Text.assemble(("Next: ", "dim"), command, "  (what new answers would cost)"))
        undo = (f"batchspec untaint ADDRESS…{flags}", "cyan")
        lines.append(Text.assemble(("      ", "dim"), undo, "  (takes the marks away)"))
    else:
        lines.append(Text("What is tainted already, or has no answer yet, was passed over."))
    print_prose(stdout(), lines)


def show_untainted(done: Sequence[Tainted]) -> None:
    """Say what is not tainted any more."""
    lines = [
        Text(f"{clean(each.job)}: {counted(each.items, 'item')} not tainted any more.")
        for each in done
    ]
    print_prose(stdout(), lines)
