"""Whose lock it is, and that it is gone."""

from rich.text import Text

from batchspec.cli.views.documents import lease_document
from batchspec.cli.views.status import lease_line
from batchspec.cli.views.streams import print_json, print_prose, stderr, stdout
from batchspec.state.records import LeaseRecord


def show_holder(held: LeaseRecord, *, now: float, free: bool) -> None:
    """Say who holds the lock."""
    print_prose(stderr(), [lease_line(held, now, free=free)])


def show_unlocked(held: LeaseRecord | None) -> None:
    """Say that the lock is gone."""
    if held is None:
        print_prose(stdout(), [Text("The state is not locked; nothing to do.")])
        return
    told = f"Unlocked. Process {held.leader} cannot write to the state any more."
    if held.operation == "watch":
        told = (
            "Unlocked. A watcher that is well takes the lock again at once; to stop it: "
            f"kill {held.leader}"
        )
    print_prose(stdout(), [Text(told)])


def show_unlocked_json(held: LeaseRecord | None) -> None:
    """Print whose lock was taken away as one JSON document."""
    print_json({"unlocked": lease_document(held) if held else None})
