"""What came of an apply: items to assert on, with their turns, tool calls and costs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any

from batchspec.ids import names, parse_address
from batchspec.messages import LineError, Outcome, Reply, Usage
from batchspec.plan.changes import Plan
from batchspec.project import ApplyResult, Item
from batchspec.results.turns import ToolRun, Turn
from batchspec.spec.suggest import did_you_mean
from batchspec.state.records import BatchRecord

if TYPE_CHECKING:
    from batchspec.testing.simulated import SimulatedProject

_LONGEST = 1_000
"""Characters of a message that are shown."""


class RunItem:
    """One item, as it was when the run ended.

    Attributes:
        address: `module.job["key"]`.
        job: The job's address.
        key: Of the row.
        row: As it was when its request was made.
        outcome: How it ended; None: not final yet.
        reason: Why it did not succeed, in the provider's words or ours.
        text: Of the last reply, whatever the outcome.
        turns: How many replies it took.
        usage: Tokens of all its turns.
        cost: US dollars of all its turns; None: its price is unknown.
    """

    def __init__(
        self,
        item: Item,
        conversation: Callable[[str], tuple[Turn, ...]],
        imports: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self.address = item.address
        self.job, _ = parse_address(item.address)
        self.key = item.key
        self.row = item.row
        self.outcome: Outcome | None = item.outcome
        self.reason = item.reason
        self.text = item.text
        self.turns = item.turns
        self.usage = item.usage
        self.cost = item.cost
        self._item = item
        self._read = conversation
        self._imports = imports

    @property
    def succeeded(self) -> bool:
        """Tell whether there is an output."""
        return self.outcome == "succeeded"

    @property
    def output(self) -> Any:
        """Return the validated output.

        Raises:
            AssertionError: There is none; it says why, and shows the conversation.
        """
        if not self.succeeded:
            __tracebackhide__ = True
            raise AssertionError(f"there is no output: {self.told()}")
        return self._output

    @cached_property
    def _output(self) -> Any:
        # Only when asked for: the job's validators run again.
        with self._imports():
            return self._item.output

    @cached_property
    def grade(self) -> float | None:
        """Return the job's score, None where it does not grade or the item did not succeed."""
        with self._imports():
            return self._item.grade

    @cached_property
    def conversation(self) -> tuple[Turn, ...]:
        """Return every request with its reply, in order; attempts in vain are among them."""
        return self._read(self.address)

    @property
    def tool_calls(self) -> list[ToolRun]:
        """Return the tool calls of all turns, in order."""
        return [call for turn in self.conversation for call in turn.tool_calls]

    def told(self) -> str:
        """Return the item with its conversation, for people."""
        return "\n".join([self._headline(), *(_indented(turn) for turn in self.conversation)])

    def _headline(self) -> str:
        reason = f": {self.reason}" if self.reason else ""
        return f"{self.address} {self.outcome or 'is not answered yet'}{reason}"

    def __repr__(self) -> str:
        return f"<{self._headline()}>"


def _indented(turn: Turn) -> str:
    lines = [f"  turn {turn.number}"]
    if (given := turn.request.get("input")) is not None:
        lines.append(f"    input: {_shortened(given)}")
    for message in turn.request.get("messages", ()):
        said = message.get("content")
        lines += [f"    {message['role']}: {_shortened(said)}"] if said else []
        for call in message.get("tool_calls") or ():
            lines.append(f"    {message['role']} calls {_called(call['function'])}")
    lines += [f"    => {line}" for line in _replied(turn.reply)]
    for run in turn.tool_calls:
        came = "failed" if run.failed else "returned"
        lines.append(f"    {run.name} {came} {_shortened(run.result)}")
    return "\n".join(lines)


def _called(function: Mapping[str, Any]) -> str:
    return f"{function['name']}({_shortened(function['arguments'])})"


def _replied(reply: Reply | LineError | None) -> Iterator[str]:
    match reply:
        case None:
            yield "no reply"
        case LineError():
            yield f"error {reply.code}: {_shortened(reply.message)}"
        case Reply():
            if reply.refusal:
                yield f"refusal: {_shortened(reply.refusal)}"
            if reply.text is not None:
                yield _shortened(reply.text)
            for call in reply.tool_calls:
                yield f"calls {call.name}({_shortened(call.arguments)})"
            if reply.finish not in {"stop", "tool_calls"}:
                yield f"finish reason: {reply.finish}"


def _shortened(said: Any) -> str:
    text = str(said)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text):_} characters)"


@dataclass(frozen=True, kw_only=True)
class Run:
    """One apply and what it left behind; `run[key]` is an item.

    Attributes:
        items: In first-seen order; for a whole project those of all jobs.
        plan: What was agreed to.
        result: What `Project.apply` returned.
        batches: Those made in this run, as the state has them.
        warnings: What was told while it ran.
        project: Where it ran: to look at the server, to move the clock, to go on.
    """

    items: tuple[RunItem, ...]
    plan: Plan
    result: ApplyResult
    batches: tuple[BatchRecord, ...] = ()
    warnings: tuple[str, ...] = ()
    project: "SimulatedProject" = field(repr=False)
    whole: "Run | None" = field(default=None, repr=False)
    """The run this is a part of, if it is one."""

    def of(self, job: Any) -> "Run":
        """Return the part of the run that is about one job.

        Args:
            job: The `Job`, or its address.
        """
        address, whole = self.project.address_of(job), self.whole or self
        return replace(
            whole,
            items=tuple(item for item in whole.items if names(address, item.job)),
            batches=tuple(b for b in whole.batches if any(names(address, job) for job in b.jobs)),
            whole=whole,
        )

    def __getitem__(self, key: str) -> RunItem:
        """Return an item by its key, or by its address where several jobs have that key.

        Raises:
            LookupError: There is none, or more than one.
        """
        found = [item for item in self.items if key in {item.key, item.address}]
        if len(found) == 1:
            return found[0]
        if found:
            addresses = ", ".join(item.address for item in found)
            raise LookupError(f"Several items have the key {key!r}: {addresses}. Use the address.")
        raise LookupError(
            f"No item has the key {key!r}. {did_you_mean(key, (i.key for i in self.items))}"
        )

    def __iter__(self) -> Iterator[RunItem]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    @property
    def outputs(self) -> dict[str, Any]:
        """Return the outputs by key; where there is more than one job, by address.

        Raises:
            AssertionError: An item did not succeed; it says why.
        """
        return {name: item.output for name, item in self._named()}

    @property
    def outcomes(self) -> dict[str, Outcome | None]:
        """Return how the items ended, by key; where there is more than one job, by address."""
        return {name: item.outcome for name, item in self._named()}

    def _named(self) -> list[tuple[str, RunItem]]:
        several = len({item.job for item in self.items}) > 1
        return [(item.address if several else item.key, item) for item in self.items]

    @property
    def failed(self) -> list[RunItem]:
        """Return the items that did not succeed."""
        return [item for item in self.items if not item.succeeded]

    @property
    def cost(self) -> Decimal:
        """Return US dollars of all items.

        Raises:
            AssertionError: A price is unknown.
        """
        total = Decimal(0)
        for item in self.items:
            if item.cost is None:
                __tracebackhide__ = True
                raise AssertionError(
                    f"the cost of {item.address} is unknown, because the price of its model is. "
                    "State it under [providers.NAME.prices] in batchspec.toml."
                )
            total += item.cost
        return total

    @property
    def usage(self) -> Usage:
        """Return the tokens of all items."""
        return Usage(*(sum(n) for n in zip(*(i.usage for i in self.items), strict=True)))

    @property
    def requests(self) -> int:
        """Return how many requests were sent in these batches."""
        return sum(batch.members for batch in self.batches)

    def told(self) -> str:
        """Return the run for people: every item that did not succeed with its conversation."""
        sent = f"{_counted(self.requests, 'request')} in {_counted(len(self.batches), 'batch')}"
        ended = f"{_counted(len(self.items), 'item')}, {len(self.failed)} without an output"
        head = f"{ended}; {sent}"
        warnings = [f"warning: {warning}" for warning in self.warnings]
        return "\n".join([head, *warnings, *told_of(self.items)])


def _counted(number: int, noun: str) -> str:
    plural = "es" if noun.endswith("ch") else "s"
    return f"{number} {noun}{'' if number == 1 else plural}"


def told_of(items: Sequence[RunItem], limit: int = 10) -> Iterator[str]:
    """Yield items for people, those that did not succeed with their conversations."""
    failed = [item for item in items if not item.succeeded]
    succeeded = [item for item in items if item.succeeded]
    yield from (item.told() for item in failed[:limit])
    yield from (f"{item.address} succeeded: {_shortened(item.text)}" for item in succeeded[:limit])
    more = max(0, len(failed) - limit) + max(0, len(succeeded) - limit)
    if more:
        yield f"… and {more} more items"
