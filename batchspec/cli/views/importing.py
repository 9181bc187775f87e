"""What became of a batch that was imported."""

from typing import TYPE_CHECKING

from rich.text import Text

from batchspec.cli.views.streams import print_json, print_prose, stderr, stdout
from batchspec.cli.views.words import clean, counted

if TYPE_CHECKING:
    from batchspec.project.imported import ImportResult, Mismatch


def show_import(result: "ImportResult", *, flags: str) -> None:
    """Print it for people, with what to do next.

    Args:
        result: What became of it.
        flags: The shared options of this run, for commands that can be pasted.
    """
    batch, job = clean(result.remote_id), clean(result.job)
    if result.already:
        held = f"Batch {batch} is in the state already, with {counted(result.members, 'request')}"
        print_prose(stdout(), [Text(f"{held} of {job}; nothing was done.")])
        return
    rows = counted(result.members, "request")
    head = Text(f"Imported batch {batch}: {rows} of {job}.", "bold green")
    print_prose(stdout(), [head, *(Text(f"  {line}") for line in _rest(result))])
    print_prose(stderr(), [Text.assemble(("Warning: ", "yellow"), w) for w in _warnings(result)])
    next_ = Text.assemble(("Next: ", "dim"), (f"batchspec plan{flags}", "cyan"))
    print_prose(stdout(), [next_])


def _rest(result: "ImportResult") -> list[str]:
    told = [f"{counted(result.lines, 'line')} read; the batch is {clean(result.status or '?')}"]
    if result.answered:
        told.append(f"{counted(result.answered, 'line')} left: answered already, or protected")
    if result.under_way:
        told.append(f"{counted(result.under_way, 'line')} left: the row is in another batch")
    if result.unmatched:
        stray = f" (such as {clean(repr(result.stray))})" if result.stray else ""
        told.append(f"{counted(result.unmatched, 'line')} for no row{stray}")
    if result.unread:
        told.append(f"{counted(result.unread, 'line')} unreadable, or with a doubled custom_id")
    if result.rows_without_line:
        rows = counted(result.rows_without_line, "row")
        told.append(f"{rows} of {result.rows:,} without a line in it")
    return told


def _warnings(result: "ImportResult") -> list[str]:
    told: list[str] = []
    if result.example is not None:
        from batchspec.project.imported import explain  # noqa: PLC0415 - loads the package

        lines = counted(result.mismatches, "line")
        why = clean(explain(result.example))
        told.append(f"{lines} left out, because they ask something else than the row: {why}.")
    if result.other_requests:
        lines = counted(result.other_requests, "line")
        told.append(f"{lines} taken by the custom_id alone: the answers are to other requests.")
    return told


def show_import_json(result: "ImportResult") -> None:
    """Print it as one JSON document; of a batch that was there already no lines were read."""
    names = (
        "already members lines answered under_way unmatched unread rows rows_without_line "
        "other_requests mismatches status"
    )
    known = {"already", "members", "status"}
    counts = {
        name: getattr(result, name) if name in known or not result.already else None
        for name in names.split()
    }
    print_json(
        {"address": result.job, "batch": result.remote_id}
        | counts
        | {"example": _example(result.example)}
    )


def _example(example: "Mismatch | None") -> dict[str, str | None] | None:
    if example is None:
        return None
    difference = example.difference
    return {
        "custom_id": example.custom_id,
        "key": example.key,
        "path": difference.path,
        "job": difference.before,
        "batch": difference.after,
    }
