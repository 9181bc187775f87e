"""Scores that another job gives, a judge."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from batchspec.desired.graph import Desired, DesiredJob
from batchspec.ids import RowKey, answer_key, member
from batchspec.ports import Reader, Wire
from batchspec.results.read import Answers, Item, Judged, Score
from batchspec.spec.scores import score_of


def judgements(
    graded: DesiredJob, desired: Desired, reader: Reader, wires: Mapping[str, Wire]
) -> Judged:
    """Return the function from keys of items to what tells, of their outputs, their scores.

    A score is of the very output it was given for: after another answer came in there is none until
    the judge has seen it. Where the judge has several samples it is their mean.
    """
    judges = [Answers(judge, wires, desired[judge]) for judge in graded.judges]
    several = len(desired[graded.judges[0]].depends_on) > 1
    one = member(graded.address)

    def judged(keys: Sequence[RowKey]) -> dict[RowKey, Score]:
        rows = {key: answer_key(key, one) if several else key for key in keys}
        found: dict[RowKey, list[Item]] = {row: [] for row in rows.values()}
        for answers in judges:
            for stored in reader.items(answers.address, keys=list(found)):
                found[stored.key].append(Item(stored, answers))
        return {key: _score(found[row]) for key, row in rows.items()}

    return judged


def _score(found: Sequence[Item]) -> Score:
    def score(output: Any) -> float | None:
        own = [item for item in found if item.outcome == "succeeded"]
        given = [score_of(i.output_json()) for i in own if i.row.get("output") == output]
        scores = [one for one in given if one is not None]
        return fmean(scores) if scores else None

    return score
