"""Answers, read back from the raw replies that are kept."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from itertools import islice
from typing import Any

from pydantic_core import from_json

from batchspec.desired.expand import Expander
from batchspec.desired.graph import DesiredJob
from batchspec.errors import Diagnostic
from batchspec.ids import JobAddress, RowKey, item_address, member
from batchspec.messages import Outcome, Reply, Usage
from batchspec.ports import (
    Wire,
)
from batchspec.redaction import raised
from batchspec.results.deps import deps_for
from batchspec.spec.context import RunContext
from batchspec.spec.embedding import ENDPOINT as EMBEDDINGS
from batchspec.spec.job import graded, grades_itself, validated
from batchspec.spec.output import finished
from batchspec.spec.output.members import DEFAULT_NAME
from batchspec.spec.vectors import raw, unpack
from batchspec.state.stored import (
    StoredItem,
)

Score = Callable[[Any], float | None]
"""From an item's output as JSON value to the score another job gave it."""
Judged = Callable[[Sequence[RowKey]], Mapping[RowKey, Score]]
"""From keys of items to their scores; what the state holds of them is read at once."""

_CHUNK = 200
"""Items whose scores are read together."""


class Answers:
    """Reads the answers of one job.

    Args:
        address: Of the job.
        wires: Read the provider's lines, by endpoint.
        desired: The job as the specs have it; None where they do not load or lack it, then outputs
            are JSON values or text instead of validated types.
    """

    __slots__ = (
        "__weakref__",
        "_checks",
        "_deps",
        "_desired",
        "_expander",
        "_typed",
        "address",
        "judged",
        "problem",
        "wires",
    )

    def __init__(
        self,
        address: JobAddress,
        wires: Mapping[str, Wire],
        desired: DesiredJob | None = None,
    ) -> None:
        self.address = address
        self.wires = wires
        self.problem: Diagnostic | None = None
        self.judged: Judged | None = None
        self._desired = desired
        self._typed = desired is not None and desired.output.typed
        self._checks = desired is not None and bool(
            desired.job.output_validators or desired.output.finishes
        )
        self._deps: list[Any] = []
        grades = desired is not None and grades_itself(desired.job)
        self._expander = Expander(desired) if desired is not None and grades else None

    def text(self, item: StoredItem) -> str | None:
        """Return the text of an item's last reply line, None where there is none."""
        if item.line is None:
            return None
        result = self.wires[item.endpoint].decode(item.line).result
        if not isinstance(result, Reply):
            return None
        if self._desired is not None and item.outcome == "succeeded":
            # Accepted after it was judged again: what the state kept of it is the whole line.
            with suppress(Exception):
                return self._desired.output.read(result)
        return result.text or result.refusal or self._called(result)

    def _called(self, reply: Reply) -> str | None:
        """Return what a reply gave as its output by a call, accepted or not."""
        if self._desired is None:
            # Without the specs nobody knows the names of output tools that have one of their own.
            named = [call for call in reply.tool_calls if call.name.startswith(DEFAULT_NAME)]
            return next((call.arguments for call in named or reply.tool_calls), None)
        found = self._desired.output.candidates(reply)
        return next((candidate.text for candidate in found if candidate.call), None)

    def value(self, text: str, item: StoredItem) -> Any:
        """Return the validated output of an item that succeeded.

        An answer that was accepted stays readable when the output type or a validator changed
        since and no longer accepts it: then it is a JSON value, or text.
        """
        return self._read(text, item)[0]

    def json(self, text: str, item: StoredItem) -> Any:
        """Return the output of an item that succeeded as a JSON value."""
        value, typed = self._read(text, item)
        return self._desired.output.dump(value) if typed and self._desired else value

    def _read(self, text: str, item: StoredItem) -> tuple[Any, bool]:
        """Return the output, and whether it is of the job's output type."""
        desired = self._desired
        if item.endpoint == EMBEDDINGS:
            return unpack(text), False
        if desired is None:
            return _unvalidated(text), False
        try:
            value = desired.output.parse(text)
            if self._checks:
                row: dict[str, Any] = from_json(item.row_json)
                context = RunContext[Any](
                    deps=self._made(desired),
                    job=self.address,
                    key=item.key,
                    row=row,
                    turn=item.turns,
                    retry=item.output_retries,
                )
                value = validated(desired.job, finished(value, context), context)
        except Exception:  # noqa: BLE001 - users' validators may raise anything; see `value`
            return _unvalidated(text), False
        return value, self._typed

    def _made(self, desired: DesiredJob) -> Any:
        """Return what validators get as `ctx.deps`, made once; None where none of them asks.

        Raises:
            Exception: What the factory raised, when it was called.
        """
        if not self._deps:
            try:
                self._deps.append(_deps(self, desired))
            except Exception as error:  # noqa: BLE001 - raised again for each answer
                self._deps.append(error)
                self.problem = Diagnostic(
                    summary=f"deps of {self.address} cannot be made",
                    detail=f"{raised(error)}. Answers are shown as they came.",
                    source=desired.source,
                    address=self.address,
                    severity="warning",
                )
        if isinstance(self._deps[0], Exception):
            raise self._deps[0]
        return self._deps[0]

    def items(self, stored: Iterable[StoredItem]) -> Iterator["Item"]:
        """Yield items with what the judge said of them, if there is one.

        Its answers are read with the items, some at a time: one by one takes many times as long,
        and whoever asks later may have read all items by then, which closes the state.
        """
        if self.judged is None:
            yield from (Item(one, self) for one in stored)
            return
        every = iter(stored)
        while chunk := list(islice(every, _CHUNK)):
            scores = self.judged([one.key for one in chunk if one.outcome == "succeeded"])
            for one in chunk:
                yield Item(one, self, scores.get(one.key))

    def grade(self, item: StoredItem, value: Callable[[], Any]) -> float | None:
        """Return the score that `grade` gives an item that succeeded, None where there is none.

        Args:
            item: Whose.
            value: Returns its output.

        Where `grade` itself fails there is no score; the first failure is kept in `problem`.
        """
        desired, expander = self._desired, self._expander
        if expander is None or desired is None or item.outcome != "succeeded":
            return None
        try:
            return graded(desired.job, expander.view(from_json(item.row_json)), value())
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a score is not worth an answer
            self.problem = self.problem or Diagnostic(
                summary="grade failed",
                detail=f"{raised(error)}. Mend the function; no answer is lost.",
                source=desired.source,
                address=item_address(self.address, item.key),
                severity="warning",
            )
            return None


def _deps(owner: Answers, desired: DesiredJob) -> Any:
    """Make what the validators get as `ctx.deps`, if one of them takes a context."""
    if desired.job.deps is None:
        return None
    return deps_for(owner, desired.job.deps) if desired.checks_ask else None


def _unvalidated(text: str) -> Any:
    try:
        value: Any = from_json(text)
    except ValueError:
        return text
    return text if isinstance(value, str | int | float | None) else value


class Item:
    """One item with its answer; what costs time is computed when it is asked for."""

    __slots__ = ("_answers", "_score", "_stored", "_text")

    def __init__(self, stored: StoredItem, answers: Answers, score: Score | None = None) -> None:
        self._stored = stored
        self._answers = answers
        self._text: str | bool | None = False
        self._score = score

    @property
    def key(self) -> str:
        """Return the key of the row."""
        return self._stored.key

    @property
    def address(self) -> str:
        """Return `module.job["key"]`, or `module.job["key","variant",2]`."""
        return item_address(self._answers.address, self._stored.key)

    @property
    def variant(self) -> str | None:
        """Return the variant of the job it is of; None: the job has none."""
        return member(self._answers.address).variant

    @property
    def sample(self) -> int:
        """Return the number of the answer among those to its row, from 1."""
        return member(self._answers.address).sample

    @property
    def row(self) -> dict[str, Any]:
        """Return the row as it was when its request was made."""
        row: dict[str, Any] = from_json(self._stored.row_json)
        return row

    @property
    def row_json(self) -> bytes:
        """Return the row as compact JSON."""
        return self._stored.row_json

    @property
    def outcome(self) -> Outcome | None:
        """Return how it ended; None: not final yet."""
        stored = self._stored
        return stored.outcome if stored.phase == "final" or stored.previous else None

    @property
    def reason(self) -> str | None:
        """Return why it did not succeed; of a `previous` answer, why its replacement did not."""
        return self._stored.reason if self.outcome else None

    @property
    def usage(self) -> Usage:
        """Return the tokens of all its turns."""
        return self._stored.usage

    @property
    def cost(self) -> Decimal | None:
        """Return US dollars of all its turns; None: a price is unknown."""
        cost = self._stored.cost
        return None if cost is None else Decimal(repr(cost))

    @property
    def turns(self) -> int:
        """Return how many replies it took."""
        return self._stored.turns

    @property
    def previous(self) -> bool:
        """Tell whether this is the old answer of a row whose new request is not answered yet."""
        return self._stored.previous

    @property
    def text(self) -> str | None:
        """Return the text of the last reply, whatever the outcome."""
        if self._text is False:
            stored = self._stored
            self._text = (
                self._answers.text(stored) if stored.text is None else from_json(stored.text)
            )
        return self._text if isinstance(self._text, str) else None

    @property
    def output(self) -> Any:
        """Return the validated output; None where the item did not succeed."""
        text = self.text if self.outcome == "succeeded" else None
        return None if text is None else self._answers.value(text, self._stored)

    def output_json(self) -> Any:
        """Return the output as a JSON value; None where the item did not succeed."""
        text = self.text if self.outcome == "succeeded" else None
        return None if text is None else self._answers.json(text, self._stored)

    def vector(self) -> bytes | None:
        """Return the output as 32-bit floats, little end first; None: it is no vector."""
        if self._stored.endpoint != EMBEDDINGS or self.outcome != "succeeded":
            return None
        text = self.text
        return None if text is None else raw(text)

    @property
    def grade(self) -> float | None:
        """Return its score: what the job's `grade` says, or the judge; None: there is none."""
        if self._score is not None:
            return self._score(self.output_json())
        return self._answers.grade(self._stored, lambda: self.output)

    def __repr__(self) -> str:
        return f"Item({self.address}, outcome={self.outcome!r})"
