"""Putting variants of a job side by side: a pass over their items, row by row.

The answers to one row come together, so that nothing else is held.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import combinations, product
from statistics import fmean
from typing import Any

from pydantic_core import from_json, to_json

from batchspec.fingerprint import canonical_json
from batchspec.messages import Outcome, Usage
from batchspec.results.read import Item
from batchspec.results.statistics import Difference, Estimate, Mean
from batchspec.state.stored import Spent


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What came of one variant, or of whatever else is compared.

    Attributes:
        name: Of the variant; the job's address where it has none.
        models: `provider:model` of its requests.
        rows: Rows with an item.
        items: Rows times samples.
        waiting: Items without an answer to their present request.
        outcomes: How many items ended how.
        success: Share of final items that succeeded, over rows.
        agreement: Share of rows with the baseline's output; None: it is the baseline, or no row
            succeeded in both. With samples, of pairs of answers to a row.
        consistency: Share of pairs of samples of a row that are equal; None: there are no pairs.
        grade: Of the job's own `grade`; None: it has none, or no item has a score.
        success_difference: Of success to the baseline, over rows that are final in both.
        grade_difference: Of the grade to the baseline's, over rows with a score in both.
        cost: US dollars of all answers; None: a price is unknown. What two rows share is counted
            once, what two variants share is in both.
        usage: Tokens, counted as the cost.
        turns: Replies, counted as the cost.
        latency: Median over items of the seconds from a batch's submission to its end, summed over
            the batches of its turns: how long an answer took, queueing and neighbours included.
    """

    name: str
    models: tuple[str, ...]
    rows: int
    items: int
    waiting: int
    outcomes: Mapping[Outcome, int]
    success: Estimate | None
    agreement: float | None
    consistency: float | None
    grade: Estimate | None
    success_difference: Estimate | None
    grade_difference: Estimate | None
    cost: Decimal | None
    usage: Usage
    turns: int
    latency: float | None

    @property
    def succeeded(self) -> int:
        """Return how many items have an answer."""
        return self.outcomes.get("succeeded", 0)

    def cost_per(self, items: int) -> Decimal | None:
        """Return US dollars for each of some items."""
        return None if self.cost is None or not items else self.cost / items


@dataclass(slots=True)
class _Row:
    """The answers of one variant to one row."""

    finals: list[bool] = field(default_factory=list[bool])
    outputs: list[Hashable] = field(default_factory=list[Hashable])
    grades: list[float] = field(default_factory=list[float])


@dataclass(slots=True)
class _Sums:
    """What is added up for one variant."""

    rows: int = 0
    items: int = 0
    waiting: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter[Outcome])
    success: Mean = field(default_factory=Mean)
    grade: Mean = field(default_factory=Mean)
    agreement: Mean = field(default_factory=Mean)
    consistency: Mean = field(default_factory=Mean)
    success_difference: Difference = field(default_factory=Difference)
    grade_difference: Difference = field(default_factory=Difference)

    def take(self, item: Item, row: _Row) -> None:
        """Add one item."""
        self.items += 1
        if item.previous or item.outcome is None:
            self.waiting += 1
            return
        self.outcomes[item.outcome] += 1
        row.finals.append(item.outcome == "succeeded")
        if item.outcome == "succeeded":
            row.outputs.append(canonical_json(_json(item.output_json())))
            grade = item.grade
            if grade is not None:
                row.grades.append(float(grade))

    def end(self, row: _Row, baseline: _Row | None) -> None:
        """Take what a row gave, and hold it against the baseline's."""
        self.rows += 1
        _add(self.success, row.finals)
        _add(self.grade, row.grades)
        _add(self.consistency, [a == b for a, b in combinations(row.outputs, 2)])
        if baseline is None:
            return
        _add(self.agreement, [a == b for a, b in product(row.outputs, baseline.outputs)])
        _pair(self.success_difference, row.finals, baseline.finals)
        _pair(self.grade_difference, row.grades, baseline.grades)


def _json(value: Any) -> Any:
    """Return a value in which what JSON does not have, NaN and infinity, is equal to itself."""
    return from_json(to_json(value, inf_nan_mode="strings"))


def _add(mean: Mean, values: Sequence[float]) -> None:
    if values:
        mean.add(fmean(values), share=_binary(values))


def _pair(difference: Difference, values: Sequence[float], baseline: Sequence[float]) -> None:
    if values and baseline:
        share = _binary(values) and _binary(baseline)
        difference.add(fmean(values), fmean(baseline), share=share)


def _binary(values: Sequence[float]) -> bool:
    return all(value in {0, 1} for value in values)


class Comparison:
    """Compares streams of items.

    Args:
        names: What is compared, the baseline first.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._sums = {name: _Sums() for name in names}
        self._baseline = next(iter(self._sums), "")

    def read(self, rows: Iterable[Iterable[tuple[str, Item]]]) -> None:
        """Read items.

        Args:
            rows: All items of one row each, with the names of what they are of.
        """
        for pairs in rows:
            found: dict[str, _Row] = {}
            for name, item in pairs:
                self._sums[name].take(item, found.setdefault(name, _Row()))
            baseline = found.get(self._baseline)
            for name, row in found.items():
                self._sums[name].end(row, None if name == self._baseline else baseline)

    def result(
        self,
        name: str,
        models: Iterable[str],
        latencies: Mapping[float, int],
        spent: Sequence[Spent],
    ) -> Compared:
        """Return what came of one of the compared.

        Args:
            name: Of it.
            models: Of its requests.
            latencies: How many items took so many seconds.
            spent: What its answers took, in parts that share none.
        """
        known = [part.cost for part in spent if part.cost is not None]
        sums = self._sums[name]
        return Compared(
            name=name,
            models=tuple(dict.fromkeys(models)),
            rows=sums.rows,
            items=sums.items,
            waiting=sums.waiting,
            outcomes=dict(sums.outcomes),
            success=sums.success.estimate(),
            agreement=_mean(sums.agreement),
            consistency=_mean(sums.consistency),
            grade=sums.grade.estimate(),
            success_difference=sums.success_difference.estimate(),
            grade_difference=sums.grade_difference.estimate(),
            cost=sum(known, Decimal(0)) if len(known) == len(spent) else None,
            usage=Usage(*map(sum, zip(*(part.usage for part in spent), strict=True))),
            turns=sum(part.turns for part in spent),
            latency=median(latencies),
        )


def _mean(mean: Mean) -> float | None:
    found = mean.estimate()
    return None if found is None else found.mean


def median(counts: Mapping[float, int]) -> float | None:
    """Return the lower median of values that are counted; None: there are none."""
    half = (sum(counts.values()) + 1) // 2
    for value in sorted(counts):
        half -= counts[value]
        if half <= 0:
            return value
    return None
