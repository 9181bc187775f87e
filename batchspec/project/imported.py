"""What became of a batch that was imported."""

from dataclasses import dataclass

from batchspec.ids import JobAddress, RemoteId, RowKey
from batchspec.plan.changes import Difference


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A line that has the name of a row, or says what a row says, and asks something else."""

    custom_id: str
    key: RowKey | None
    difference: Difference
    """Ours first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportResult:
    """What became of a batch that was imported."""

    job: JobAddress
    remote_id: RemoteId
    already: bool = False
    """The state has the batch; nothing was done, and only `members` and `status` are known."""
    members: int = 0
    """Requests that wait for its answers now."""
    lines: int = 0
    answered: int = 0
    """Lines whose row has an answer already; it stays."""
    under_way: int = 0
    """Lines whose row is in another batch, or runs tools."""
    unmatched: int = 0
    """Lines that are for no row."""
    unread: int = 0
    """Lines without a custom_id or a body, or with the custom_id of another."""
    rows: int = 0
    """Rows of the job."""
    rows_without_line: int = 0
    other_requests: int = 0
    """Lines taken for their custom_id alone, though they ask something else."""
    mismatches: int = 0
    """Lines left out because they ask something else than the row they seem to be for."""
    left_out: int = 0
    """Of these, the lines whose custom_id names a row that waits and that no other line is for."""
    example: Mismatch | None = None
    stray: str | None = None
    """The custom_id of a line that is for no row."""
    status: str | None = None
    """Of the batch, as the provider told it."""


def choose(result: ImportResult) -> str:
    """Say that a person has to choose what lines are taken for; a batch is imported once."""
    lines = "1 line" if result.left_out == 1 else f"{result.left_out:,} lines"
    example = "" if result.example is None else f" ({explain(result.example)})"
    return (
        f"By custom_id {lines} of batch {result.remote_id} would be for rows of {result.job}, but "
        f"by request for none: the row asks something else{example}. A batch is imported once, so "
        "choose now: `--match custom-id` takes its answers all the same; `--match request` leaves "
        "such lines out, and their rows are sent and paid. Or make the job ask the same. Nothing "
        "was recorded."
    )


def nothing(result: ImportResult) -> str:
    """Say why no answer of a batch can be used."""
    told = [f"{result.lines} lines with a custom_id and a body"]
    if result.answered:
        told.append(f"{result.answered} of rows that are answered already")
    if result.under_way:
        told.append(f"{result.under_way} of rows that are in another batch")
    if result.example is not None:
        told.append(f"{result.mismatches} ask something else ({explain(result.example)})")
    if result.unmatched:
        told.append(f"{result.unmatched} for no row (such as {result.stray!r})")
    return (
        f"No line of batch {result.remote_id} is for a row of {result.job} that waits for an "
        f"answer: {'; '.join(told)}. Nothing was recorded."
    )


def explain(example: Mismatch) -> str:
    """Return the first difference of a line to the row it seems to be for."""
    d = example.difference
    whose = "a further turn" if example.key is None else f"row {example.key!r}"
    return (
        f"line {example.custom_id!r} for {whose}: {d.path} is {d.after} in the batch, {d.before} "
        "in the job"
    )
