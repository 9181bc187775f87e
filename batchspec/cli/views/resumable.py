"""Failed items that can go on from turns that are paid: how many, and with which command."""

from collections.abc import Iterable

from rich.text import Text

from batchspec.cli.views.streams import print_prose, stderr, stdout
from batchspec.cli.views.words import clean, counted
from batchspec.ids import group_of
from batchspec.state.records import JobProgress


def show_resumable(jobs: Iterable[JobProgress], flags: str) -> None:
    """Print which failed items can go on, if some can."""
    if lines := _lines(jobs, flags):
        print_prose(stdout(), [Text(), *lines])


def note_resumable(jobs: Iterable[JobProgress], flags: str) -> None:
    """Say on stderr which failed items of the jobs that are shown can go on."""
    print_prose(stderr(), _lines(jobs, flags))


def _lines(jobs: Iterable[JobProgress], flags: str) -> list[Text]:
    groups: dict[str, int] = {}
    for job in jobs:
        if job.resumable and not job.removed:
            group = group_of(job.address)
            groups[group] = groups.get(group, 0) + job.resumable
    return [
        Text.assemble(
            f"{counted(items, 'failed item')} of {clean(group)} can go on from the turns that are "
            "paid: ",
            (f"batchspec plan --failed --target {clean(group)}{flags}", "cyan"),
        )
        for group, items in groups.items()
    ]
