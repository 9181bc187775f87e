"""What a test lets the model say: one answer, several in order, or a failure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard, cast

from pydantic_core import PydanticSerializationError, to_json

from batchspec.simulator import Answer, HTTPFailure, Replay, ToolCall
from batchspec.spec.output import OutputMode
from batchspec.testing.written import written


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call the model asks for.

    Attributes:
        name: Of the tool.
        arguments: A JSON object, or any text to send in its place.
    """

    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Script:
    """The answers to the turns of one conversation, in order.

    A failure belongs to the turn of the answer that follows it: the turn fails, is sent again, and
    gets the next one. A last failure is what its turn gets for ever.
    """

    answers: tuple[Any, ...]

    def turns(self) -> list[list[Any]]:
        """Return what is said in each turn: failures, then an answer."""
        turns: list[list[Any]] = [[]]
        for answer in self.answers:
            turns[-1].append(answer)
            if not isinstance(answer, HTTPFailure):
                turns.append([])
        return [turn for turn in turns if turn]


class MadeUp:
    """An answer that is made up from the request's own schemas, as `--simulate` does."""

    def __repr__(self) -> str:
        return "made_up"


made_up = MadeUp()
"""Given as an answer: let it be made up from the request's own schemas, as `--simulate` does."""


def script(*answers: Any) -> Script:
    """Return the answers to the turns of one conversation, in order."""
    if not answers:
        raise ValueError("A script has at least one answer.")
    return Script(answers)


def call(name: str, text: str | None = None, /, **arguments: Any) -> Call:
    """Return a tool call the model asks for; a list of them is a turn with several.

    Args:
        name: Of the tool.
        text: Sent as the arguments in their place, to try out what is no JSON.
        arguments: By name.
    """
    _is_text("the name of a tool", name)
    return Call(name, arguments if text is None else text)


def refuse(text: str = "I cannot help with that.") -> Answer:
    """Return a refusal of the model.

    Raises:
        TypeError: It is no text.
    """
    _is_text("a refusal", text)
    return Answer(refusal=text)


def fail(status: int, message: str = "Something went wrong.", *, code: str | None = None) -> Any:
    """Return an HTTP failure of a line: 400 is final, 429 and 5xx are sent again.

    Raises:
        ValueError: The status is none of a failure, 400 to 599.
        TypeError: The message is no text.
    """
    if status not in range(400, 600):
        raise ValueError(f"A failure has a status from 400 to 599, not {status!r}.")
    _is_text("the message of a failure", message)
    return HTTPFailure(status, message, code=code)


def spoken(value: Any, mode: OutputMode, seed: str) -> Answer | Replay:
    """Return what the simulator sends for an answer of a script.

    Args:
        value: A text; one or several tool calls; anything of the simulator; or a value, which is
            given as the job wants its output.
        mode: How the job wants it.
        seed: Makes the ids of tool calls.

    Raises:
        HTTPFailure: It is one.
        TypeError: It is no answer.
    """
    if isinstance(value, HTTPFailure):
        raise HTTPFailure(value.status, value.message, code=value.code)
    if isinstance(value, Answer):
        return _checked(value)
    if isinstance(value, Replay):
        return value
    calls = [value] if isinstance(value, Call) else value
    if _are_calls(calls):
        return Answer(tool_calls=[_wired(c, f"call_{seed}_{n}") for n, c in enumerate(calls)])
    if value is None or isinstance(value, Script | HTTPFailure | type):
        raise TypeError(_no_answer(value))
    try:
        given = written(value, mode)
        if given.tool is not None:
            return Answer(tool_calls=[ToolCall(f"call_{seed}", given.tool, given.text)])
        return _checked(Answer(content=given.text))
    except PydanticSerializationError as error:
        raise TypeError(f"{_no_answer(value)} {error}") from None


def embedded(value: Any) -> Answer | Replay:
    """Return what the simulator sends for an answer of a script for an `EmbeddingJob`.

    Args:
        value: A vector: a sequence of numbers; or anything of the simulator.

    Raises:
        HTTPFailure: It is one.
        TypeError: It is no vector.
    """
    if isinstance(value, HTTPFailure | Answer | Replay):
        return spoken(value, OutputMode(), "")
    try:
        numbers = [float(number) for number in value]
    except (TypeError, ValueError):
        numbers = []
    if not numbers or isinstance(value, str | bytes | Mapping):
        raise TypeError(
            f"{value!r:.100} is no vector. Answers of an `EmbeddingJob` are sequences of numbers,"
            " `fail`, `made_up`, or an `Answer`."
        )
    return Answer(vectors=[numbers])


def _no_answer(value: Any) -> str:
    return (
        f"{value!r:.100} is no answer. Answers are texts, values that are sent as JSON, `call`, "
        "`refuse`, `fail`, `made_up`, or an `Answer`."
    )


def _checked(answer: Answer) -> Answer:
    if answer.content is not None:
        _is_text("the content of an answer", answer.content)
    if answer.refusal is not None:
        _is_text("a refusal", answer.refusal)
    for call in cast("Sequence[object]", answer.tool_calls):
        if not isinstance(call, ToolCall):
            raise TypeError(f"`Answer.tool_calls` are `ToolCall`s, not {call!r:.100}")
    return answer


def _is_text(what: str, value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{what} is a text, not {value!r:.100}")
    value.encode()  # half a surrogate pair fits no answer


def _are_calls(value: Any) -> TypeGuard[Sequence[Call]]:
    if not isinstance(value, list | tuple):
        return False
    parts = cast("Sequence[Any]", value)
    return bool(parts) and all(isinstance(part, Call) for part in parts)


def _wired(call: Call, call_id: str) -> ToolCall:
    given = call.arguments
    text = given if isinstance(given, str) else to_json(given).decode()
    return ToolCall(call_id, call.name, text)
