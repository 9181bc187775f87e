"""Judging one line: an outcome, tools to be run, or a question to the model once more.

Pure functions of one item. `settle` never raises for what a provider or a model may write.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from batchspec.errors import MOST_SAID, ModelRetry, asked, shortened, worded
from batchspec.messages import LineError, Outcome, Reply
from batchspec.spec.feedback import OutputInvalid, call_error, for_people
from batchspec.spec.output import Candidate, OutputMode, TextMode, finished
from batchspec.state.settlement import (
    Answered,
    AskAgain,
    CallAnswer,
    CallTools,
    SendAgain,
    Settlement,
)


@dataclass(frozen=True, slots=True)
class Judge:
    """What a job accepts as an answer.

    Attributes:
        output: Finds the answer in a reply and parses it.
        check: The job's validators, run with a `RunContext` on the output after its function;
            `ModelRetry` asks the model again. None: there are none.
        asks: Whether one of them, or the output function, wants that `RunContext`.
        output_retries: How often the model may be asked again.
        max_turns: Replies allowed per item.
        tools: Whether tools are offered.
        retries: Attempts allowed for a turn that fails in passing.
        words: Says what users' code raised.
    """

    output: OutputMode = field(default_factory=TextMode)
    check: Callable[[Any, Any], Any] | None = None
    asks: bool = False
    output_retries: int = 1
    max_turns: int = 10
    tools: bool = False
    retries: int = 3
    words: Callable[[BaseException], str] = lambda error: shortened(worded(error))


def settle(  # noqa: PLR0913 - what a judgement depends on
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
        context: Makes the `RunContext`, where one is wanted.
    """
    settled = _settled(
        result,
        judge,
        turn=turn,
        attempts=attempts,
        output_retries=output_retries,
        context=context,
    )
    if isinstance(settled, Answered | SendAgain) and len(settled.reason or "") > MOST_SAID:
        return replace(settled, reason=shortened(settled.reason or ""))
    return settled


def _settled(  # noqa: PLR0911, PLR0913 - a table of cases
    result: Reply | LineError,
    judge: Judge,
    *,
    turn: int,
    attempts: int,
    output_retries: int,
    context: Callable[[], Any],
) -> Settlement:
    if isinstance(result, LineError):
        return _settle_error(result, judge, attempts)
    if result.refusal is not None:
        return Answered("refused", result.refusal)
    if result.finish in _CUT:
        return _CUT[result.finish]
    candidates = judge.output.candidates(result)
    offered = judge.tools or judge.output.tools
    if result.tool_calls and offered and not any(c.call is not None for c in candidates):
        if turn >= judge.max_turns:
            reason = f"The model still called tools in turn {turn} of {turn}."
            return Answered("exhausted", reason, bound=True)
        return CallTools(result.tool_calls)
    problems: list[tuple[Candidate, str]] = []
    for candidate in candidates:
        problem = _problem(candidate, judge, context)
        if problem is None:
            return Answered("succeeded", text=candidate.text)
        problems.append((candidate, problem))
    if not problems:
        problems = [(Candidate(""), judge.output.nothing())]
    return _asked_again(result, judge, problems, turn=turn, output_retries=output_retries)


_CUT: Mapping[str, Answered] = {
    "content_filter": Answered("filtered", "The provider's content filter stopped the reply."),
    "length": Answered("truncated", "The reply reached the limit of output tokens."),
}


def _asked_again(
    reply: Reply,
    judge: Judge,
    problems: Sequence[tuple[Candidate, str]],
    *,
    turn: int,
    output_retries: int,
) -> Settlement:
    """Return what follows an answer that was not accepted: another turn, as long as there are."""
    told = " ".join(dict.fromkeys(for_people(problem) for _, problem in problems))
    limits = judge.output.max_retries
    allowed = [limits.get(c.tool or "", judge.output_retries) for c, _ in problems]
    if output_retries >= max(allowed):
        return Answered("failed", f"The output was not accepted: {told}", bound=True)
    if turn >= judge.max_turns:
        reason = f"The answer of turn {turn} of {turn} was not accepted: {told}"
        return Answered("exhausted", reason, bound=True)
    answers = {c.call: problem for c, problem in problems if c.call is not None}
    if not answers:
        # Calls nobody offered have to be answered all the same.
        refused = call_error(told)
        return AskAgain(problems[0][1], tuple(CallAnswer(c.id, refused) for c in reply.tool_calls))
    bound = tuple(
        CallAnswer(call.id, answers[call.id]) for call in reply.tool_calls if call.id in answers
    )
    if len(bound) < len(reply.tool_calls):
        return CallTools(reply.tool_calls, bound)
    return AskAgain(told, bound)


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


def _problem(candidate: Candidate, judge: Judge, context: Callable[[], Any]) -> str | None:
    """Return why an answer is not acceptable, in words for the model; None if it is."""
    problem = _said_of(candidate, judge, context)
    # What users' code says may hold half a surrogate pair, which fits no column and no request.
    return problem and problem.encode("utf-8", "replace").decode()


def _said_of(candidate: Candidate, judge: Judge, context: Callable[[], Any]) -> str | None:
    # Made outside of what is caught: a context that fails is no fault of the model.
    given = context() if judge.asks else None
    mode = judge.output
    try:
        output = mode.parse(candidate.text)
    except OutputInvalid as error:
        return error.message
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a type's bug costs this item only
        return mode.retry(f"The output type raised {judge.words(error)}", candidate)
    step = "The output function"
    try:
        output = finished(output, given)
        step = "A validator"
        if judge.check is not None:
            judge.check(output, given)
    except ModelRetry as error:
        return mode.retry(asked(error), candidate)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - it costs this item, never the job
        return mode.retry(f"{step} raised {judge.words(error)}", candidate)
    return None
