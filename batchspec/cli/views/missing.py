"""Rows that are missing because answers are, by name: `polish: 2 rows are missing: …`."""

from collections.abc import Iterable, Sequence
from typing import Any

from rich.text import Text

from batchspec.cli.views.streams import print_prose, stderr, stdout
from batchspec.cli.views.words import clean, clipped, count, counted, listed
from batchspec.ids import item_address
from batchspec.state.missing import Absence, Missing

_REASON = 80


def show_missing(missing: Sequence[Missing]) -> None:
    """Print what jobs lack, if they lack something."""
    if missing:
        print_prose(stdout(), [Text(), *missing_lines(missing)])


def note_missing(missing: Sequence[Missing], flags: str) -> None:
    """Say on stderr what a job lacks whose results are shown, and how to see all of it."""
    print_prose(stderr(), missing_lines(missing))
    for job in dict.fromkeys(job for one in missing for job in one.outcomes):
        command = f"batchspec results {clean(job)} --failed{flags}"
        print_prose(stderr(), [Text.assemble(("All of them: ", "dim"), (command, "cyan"))])


def missing_lines(missing: Iterable[Missing]) -> list[Text]:
    """Return a line per job, and one per job for what `where` left out."""
    return [
        Text.assemble((f"{clean(one.job)}: ", "bold"), words)
        for one in missing
        for words in missing_sentences(one)
    ]


def missing_sentences(missing: Missing) -> list[str]:
    """Return what a job lacks, a sentence each."""
    found: list[str] = []
    if total := missing.total:
        told = f"its row lacks {counted(total, 'answer')}"
        if not missing.collected:
            told = counted(total, "row is missing", "rows are missing")
        shown = [_absence(one) for one in missing.first]
        found.append(f"{told}: {'; '.join([*shown, *_rest(missing)])}")
    if missing.left_out:
        sources = listed(clean(source) for source in missing.sources)
        answers = counted(missing.left_out, "answer")
        found.append(f"`where` left out {answers} of {sources}")
    return found


def _absence(one: Absence) -> str:
    reason = f": {clipped(clean(one.reason), _REASON)}" if one.reason else ""
    return f"{clean(item_address(one.job, one.key))} {one.outcome}{reason}"


def _rest(missing: Missing) -> list[str]:
    """Say how many more there are, by outcome."""
    more = missing.total - len(missing.first)
    if not more:
        return []
    outcomes: dict[str, int] = {}
    for counts in missing.outcomes.values():
        for outcome, n in counts.items():
            outcomes[outcome] = outcomes.get(outcome, 0) + n
    told = ", ".join(f"{count(n)} {outcome}" for outcome, n in outcomes.items())
    return [f"and {count(more)} more (in all {told})"]


def missing_document(missing: Missing) -> dict[str, Any]:
    """Return what a job lacks, for JSON."""
    return {
        "address": missing.job,
        "made_of": list(missing.sources),
        "collected": missing.collected,
        "missing": missing.total,
        "outcomes": {job: dict(counts) for job, counts in missing.outcomes.items()},
        "first": [
            {
                "address": item_address(one.job, one.key),
                "outcome": one.outcome,
                "reason": one.reason,
            }
            for one in missing.first
        ],
        "left_out": missing.left_out,
    }
