"""Answers, read back from the raw replies that are kept."""

from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

from pydantic_core import from_json

from batchspec.desired.expand import Expander
from batchspec.desired.graph import DesiredJob
from batchspec.ids import JobAddress, item_address
from batchspec.messages import Outcome, Reply, Usage
from batchspec.ports import StoredItem, Wire
from batchspec.spec.context import RunContext
from batchspec.spec.job import graded, validated
from batchspec.spec.output import NativeMode


@dataclass(slots=True)
class Answers:
    """Reads the answers of one job.

    Attributes:
        address: Of the job.
        wire: Reads the provider's lines.
        desired: The job as the specs have it; None where they do not load or lack it, then outputs
            are JSON values or text instead of validated types.
    """

    address: JobAddress
    wire: Wire
    desired: DesiredJob | None = None
    expander: Expander | None = None

    def __post_init__(self) -> None:
        if self.desired is not None and self.desired.job.grade is not None:
            self.expander = Expander(self.desired)

    def text(self, item: StoredItem) -> str | None:
        """Return the text of the last reply, None where there is none."""
        if item.line is None:
            return None
        result = self.wire.decode(item.line).result
        return (result.text or result.refusal) if isinstance(result, Reply) else None

    def value(self, item: StoredItem) -> Any:
        """Return the validated output of an item that succeeded.

        Raises:
            OutputInvalid: The output type changed since and no longer accepts the reply.
        """
        text = self.text(item)
        if text is None or item.outcome != "succeeded":
            return None
        if self.desired is None:
            return _unvalidated(text)
        value = self.desired.output.parse(text)
        if not self.desired.job.output_validators:
            return value
        row: dict[str, Any] = from_json(item.row_json)
        context = RunContext[Any](deps=None, job=self.address, key=item.key, row=row)
        return validated(self.desired.job, value, context)

    def json(self, item: StoredItem) -> Any:
        """Return the output of an item that succeeded as a JSON value."""
        desired = self.desired
        if desired is None or not isinstance(desired.output, NativeMode):
            return self.value(item)
        return desired.output.dump(self.value(item))

    def grade(self, item: StoredItem, value: Any) -> float | None:
        """Return the score of an item that succeeded, None where the job does not grade."""
        if self.expander is None or self.desired is None or item.outcome != "succeeded":
            return None
        row = self.expander.view(from_json(item.row_json))
        return graded(self.desired.job, row, value)


def _unvalidated(text: str) -> Any:
    try:
        value = from_json(text)
    except ValueError:
        return text
    return value if isinstance(value, dict | list) else text


class Item:
    """One item with its answer.

    Attributes:
        key: Of the row.
        outcome: How it ended; None: not final yet.
        reason: Why, where it did not succeed.
        usage: Tokens of all its turns.
        cost: US dollars of all its turns; None: a price is unknown.
        turns: Replies so far.
        previous: Whether this is the old answer of a row whose new request is not answered yet.
    """

    __slots__ = ("__dict__", "_answers", "_stored")

    def __init__(self, stored: StoredItem, answers: Answers) -> None:
        self._stored = stored
        self._answers = answers

    @property
    def key(self) -> str:
        return self._stored.key

    @property
    def address(self) -> str:
        """Return `module.job["key"]`."""
        return item_address(self._answers.address, self._stored.key)

    @cached_property
    def row(self) -> dict[str, Any]:
        """Return the row as it was when its request was made."""
        row: dict[str, Any] = from_json(self._stored.row_json)
        return row

    @property
    def outcome(self) -> Outcome | None:
        stored = self._stored
        return stored.outcome if stored.phase == "final" or stored.previous else None

    @property
    def reason(self) -> str | None:
        return self._stored.reason if self.outcome else None

    @property
    def usage(self) -> Usage:
        return self._stored.usage

    @property
    def cost(self) -> Decimal | None:
        return self._stored.cost

    @property
    def turns(self) -> int:
        return self._stored.turns

    @property
    def previous(self) -> bool:
        return self._stored.previous

    @cached_property
    def output(self) -> Any:
        """Return the validated output; None where the item did not succeed."""
        return self._answers.value(self._stored)

    def output_json(self) -> Any:
        """Return the output as a JSON value."""
        return self._answers.json(self._stored)

    @cached_property
    def text(self) -> str | None:
        """Return the text of the last reply, whatever the outcome."""
        return self._answers.text(self._stored)

    @cached_property
    def grade(self) -> float | None:
        """Return the job's score, None where it does not grade or the item did not succeed."""
        return self._answers.grade(self._stored, self.output)

    def __repr__(self) -> str:
        return f"Item({self.address}, outcome={self.outcome!r})"
