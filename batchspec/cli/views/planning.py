"""How far the planning is: one line on a terminal, nothing elsewhere."""

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.live import Live
from rich.text import Text

from batchspec.cli.views.streams import is_terminal, stderr
from batchspec.cli.views.words import clean, counted
from batchspec.ids import JobAddress


@contextmanager
def planning(*, quiet: bool = False) -> Generator[Callable[[JobAddress, int], None] | None]:
    """Yield the hook that `Project.plan` tells its progress to, if anybody watches."""
    if quiet or not is_terminal(sys.stderr):
        yield None
        return
    line = Text("Planning …", "dim")
    with Live(
        get_renderable=lambda: line,
        console=stderr(),
        refresh_per_second=10,
        transient=True,
        redirect_stdout=False,
    ):

        def hook(job: JobAddress, rows: int) -> None:
            line.plain = f"Planning {clean(job)}: {counted(rows, 'row')}"

        yield hook
