"""How far the planning is: one line on a terminal, nothing elsewhere."""

import sys
from collections.abc import Generator
from contextlib import contextmanager

from rich.live import Live
from rich.text import Text

from batchspec.cli.views.streams import is_terminal, stderr
from batchspec.cli.views.words import clean, counted
from batchspec.ids import JobAddress


class PlanningLine:
    """What `Project.plan` tells its progress to; shown as one line.

    Attributes:
        line: How far it is.
    """

    def __init__(self) -> None:
        self.line = Text("Planning …", "dim")

    def __call__(self, job: JobAddress, rows: int) -> None:
        """Tell how many rows of a job were read."""
        self.line.plain = f"Planning {clean(job)}: {counted(rows, 'row')}"

    def looking(self, done: int, total: int) -> None:
        """Tell how many open batches were looked at."""
        self.line.plain = f"Looking at {counted(total, 'open batch', 'open batches')}: {done:,}"


@contextmanager
def planning(*, quiet: bool = False) -> Generator[PlanningLine | None]:
    """Yield what `Project.plan` tells its progress to, if anybody watches."""
    if quiet or not is_terminal(sys.stderr):
        yield None
        return
    hook = PlanningLine()
    with Live(
        get_renderable=lambda: hook.line,
        console=stderr(),
        refresh_per_second=10,
        transient=True,
        redirect_stdout=False,
    ):
        yield hook
