"""Judging one line: an outcome, tools to be run, or a question to the model once more.

Pure functions of one item. `settle` never raises for what a provider or a model may write.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from batchspec.errors import ModelRetry
from batchspec.messages import LineError, Outcome, Reply
from batchspec.spec.output import FEEDBACK, OutputInvalid
from batchspec.state.settlement import Answered, AskAgain, CallTools, SendAgain, Settlement


@dataclass(frozen=True, slots=True)
class Judge:
    """What a job accepts as an answer.

    Attributes:
        parse: Turns the text of a reply into the output, raising `OutputInvalid` with a message
            for the model.
        check: The job's validators, run on the parsed output with a `RunContext`; `ModelRetry`
            asks the model again. None: there are none.
        output_retries: How often the model may be asked again.
        max_turns: Replies allowed per item.
        tools: Whether tools are offered.
        retries: Attempts allowed for a turn that fails in passing.
    """

    parse: Callable[[str], Any]
    check: Callable[[Any, Any], Any] | None = None
    output_retries: int = 1
    max_turns: int = 10
    tools: bool = False
    retries: int = 3


def settle(  # noqa: PLR0911, PLR0913 - a table of cases, and what they depend on
    result: Reply | LineError,
    judge: Judge,
    *,
    turn: int,
    attempts: int,
    output_retries: int,
    context: Callable[[], Any] = lambda: None,
) -> Settlement:
    """Judge one line of a result file.

    Args:
        result: The line, decoded.
        judge: What the job accepts.
        turn: Which turn was answered, from 1.
        attempts: Failed attempts of this turn so far.
        output_retries: How often the model was asked again so far.
        context: Makes the `RunContext` for validators that want one.
    """
    if isinstance(result, LineError):
        return _settle_error(result, judge, attempts)
    if result.refusal is not None:
        return Answered("refused", result.refusal)
    if result.finish in _CUT:
        return _CUT[result.finish]
    if result.tool_calls and judge.tools:
        if turn >= judge.max_turns:
            return Answered("exhausted", f"The model still called tools in turn {turn} of {turn}.")
        return CallTools(result.tool_calls)
    problem = _problem(result.text or "", judge, context)
    if problem is None:
        return SUCCEEDED
    if output_retries >= judge.output_retries or turn >= judge.max_turns:
        return Answered("failed", f"The output was not accepted: {without_preamble(problem)}")
    return AskAgain(problem)


SUCCEEDED = Answered("succeeded")
_CUT: Mapping[str, Answered] = {
    "content_filter": Answered("filtered", "The provider's content filter stopped the reply."),
    "length": Answered("truncated", "The reply reached the limit of output tokens."),
}


def without_preamble(problem: str) -> str:
    """Return what was wrong with an output, without the line that addresses the model."""
    return problem.removeprefix(FEEDBACK).strip()


def _settle_error(error: LineError, judge: Judge, attempts: int) -> Settlement:
    reason = f"{error.code}: {error.message}" if error.message else error.code
    if error.kind == "rejected":
        return Answered("failed", reason)
    if error.kind == "lost":
        return Answered("lost", reason, resumable=True)
    if error.kind == "never_ran" and error.code == "batch_cancelled":
        return Answered("cancelled", reason, resumable=True)
    if attempts + 1 >= judge.retries:
        outcome: Outcome = "expired" if error.code == "batch_expired" else "failed"
        return Answered(outcome, f"{reason} (after {attempts + 1} attempts)", resumable=True)
    return SendAgain(reason, wait=error.kind != "never_ran")


def _problem(text: str, judge: Judge, context: Callable[[], Any]) -> str | None:
    """Return why a text is not an acceptable output, in words for the model; None if it is."""
    problem = _said_of(text, judge, context)
    # What users' code says may hold half a surrogate pair, which fits no column and no request.
    return problem and problem.encode("utf-8", "replace").decode()


def _said_of(text: str, judge: Judge, context: Callable[[], Any]) -> str | None:
    # Made outside of what is caught: a context that fails is no fault of the model.
    given = context() if judge.check is not None else None
    try:
        output = judge.parse(text)
        if judge.check is not None:
            judge.check(output, given)
    except OutputInvalid as error:
        return error.message
    except ModelRetry as error:
        return f"{FEEDBACK}\n{error.message}"
    except (Exception, SystemExit) as error:  # noqa: BLE001 - it costs this item, never the job
        return f"{FEEDBACK}\nA validator raised {type(error).__name__}: {error}"
    return None
