"""Every class of answer, and what becomes of the item."""

import json
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from batchspec.errors import MOST_SAID, MOST_TOLD, ModelRetry
from batchspec.messages import LineError, LineErrorKind, Reply, ToolCall
from batchspec.reconcile.settle import Judge, settle
from batchspec.spec.output import (
    FEEDBACK,
    NativeMode,
    NativeOutput,
    TextMode,
    TextOutput,
    ToolOutput,
    output_mode,
)
from batchspec.state.settlement import Answered, AskAgain, CallTools, SendAgain, Settlement


class Triage(BaseModel):
    queue: Literal["bug", "billing"]


CALL = ToolCall("call_1", "lookup", "{}")
TEXT = Judge(TextMode())
TYPED = Judge(NativeMode(NativeOutput(Triage)))
TOOLS = Judge(TextMode(), tools=True, max_turns=3)
OUTPUT_TOOLS = Judge(output_mode([ToolOutput(Triage), ToolOutput(int, name="n")]), tools=True)
GOOD = Reply('{"queue": "bug"}')
BAD = Reply('{"queue": "sales"}')


def judged(
    result: Reply | LineError,
    judge: Judge = TEXT,
    *,
    turn: int = 1,
    attempts: int = 0,
    output_retries: int = 0,
) -> Settlement:
    return settle(result, judge, turn=turn, attempts=attempts, output_retries=output_retries)


@pytest.mark.parametrize(
    ("result", "judge", "outcome"),
    [
        (Reply("Hello."), TEXT, "succeeded"),
        (GOOD, TYPED, "succeeded"),
        (Reply('```json\n{"queue": "bug"}\n```'), TYPED, "succeeded"),
        (Reply("x", finish="unknown"), TEXT, "succeeded"),
        (Reply("Hello.", tool_calls=(CALL,)), TEXT, "succeeded"),
        (Reply(None, refusal="I can't."), TEXT, "refused"),
        (Reply("text", refusal="I can't."), TEXT, "refused"),
        (Reply("trunc", finish="length"), TEXT, "truncated"),
        (GOOD._replace(finish="length"), TYPED, "truncated"),
        (Reply("", finish="content_filter"), TEXT, "filtered"),
        (Reply(None, finish="length", tool_calls=(CALL,)), TOOLS, "truncated"),
    ],
)
def test_a_reply_ends_an_item(result: Reply, judge: Judge, outcome: str) -> None:
    found = judged(result, judge)
    assert isinstance(found, Answered)
    assert found.outcome == outcome
    assert (found.reason is None) == (outcome == "succeeded"), "what went wrong is told"


def test_tool_calls_are_run_where_tools_are_offered() -> None:
    reply = Reply(None, "tool_calls", tool_calls=(CALL, CALL._replace(id="call_2")))
    assert judged(reply, TOOLS) == CallTools(reply.tool_calls)
    assert judged(reply, TOOLS, turn=2) == CallTools(reply.tool_calls)


def test_the_last_turn_may_not_call_tools() -> None:
    found = judged(Reply(None, "tool_calls", tool_calls=(CALL,)), TOOLS, turn=3)
    assert isinstance(found, Answered)
    assert found.outcome == "exhausted"
    assert "turn 3 of 3" in (found.reason or "")


@pytest.mark.parametrize("reply", [BAD, Reply("no JSON"), Reply(None), Reply("")])
def test_an_output_that_does_not_fit_is_asked_for_again(reply: Reply) -> None:
    found = judged(reply, TYPED)
    assert isinstance(found, AskAgain)
    assert found.feedback.startswith(FEEDBACK)


@pytest.mark.parametrize("reply", [Reply(None), Reply(""), Reply("  \n")])
def test_an_empty_text_is_asked_for_again(reply: Reply) -> None:
    assert isinstance(judged(reply), AskAgain)


@pytest.mark.parametrize(
    ("turn", "output_retries", "outcome"), [(2, 1, "failed"), (10, 0, "exhausted")]
)
def test_a_model_is_not_asked_again_for_ever(turn: int, output_retries: int, outcome: str) -> None:
    """Its retries, or its turns, are used up."""
    found = judged(BAD, TYPED, turn=turn, output_retries=output_retries)
    assert isinstance(found, Answered)
    assert found.outcome == outcome
    assert FEEDBACK not in (found.reason or ""), "people are not told what the model is"
    assert "queue" in (found.reason or "")


def test_a_validator_can_ask_again() -> None:
    def check(value: Any, context: Any) -> None:
        raise ModelRetry(f"{value.queue} is closed, {context} says")

    judge = Judge(TYPED.output, check=check, asks=True)
    found = settle(GOOD, judge, turn=1, attempts=0, output_retries=0, context=lambda: "the context")
    assert found == AskAgain(f"{FEEDBACK}\nbug is closed, the context says")


def test_a_validator_s_bug_costs_its_item_only() -> None:
    def check(value: Any, context: Any) -> None:
        raise KeyError("vip")

    found = judged(GOOD, Judge(TYPED.output, check=check, output_retries=0))
    assert isinstance(found, Answered)
    assert "KeyError" in (found.reason or "")


@pytest.mark.parametrize("error", [ModelRetry("not \ud800"), ValueError("not \ud800")])
def test_half_a_surrogate_pair_of_a_validator_fits_into_the_state(error: Exception) -> None:
    def refuse(value: Any, context: Any) -> None:
        raise error

    judge = Judge(TextMode(), check=refuse)
    again, failed = judged(GOOD, judge), judged(GOOD, judge, output_retries=1)
    assert isinstance(again, AskAgain)
    assert isinstance(failed, Answered)
    assert again.feedback.endswith("not ?")
    assert (failed.reason or "").endswith("not ?")


def test_a_validator_is_not_run_on_what_does_not_parse() -> None:
    def check(value: Any, context: Any) -> None:
        raise AssertionError

    found = judged(BAD, Judge(TYPED.output, check=check))
    assert isinstance(found, AskAgain)
    assert "AssertionError" not in found.feedback


def test_a_context_that_cannot_be_made_is_no_fault_of_the_model() -> None:
    """It would be asked again, and paid again, for nothing."""

    def context() -> None:
        raise ConnectionError("no database")

    judge = Judge(TYPED.output, check=lambda value, context: value, asks=True)
    with pytest.raises(ConnectionError):
        settle(GOOD, judge, turn=1, attempts=0, output_retries=0, context=context)


def test_nothing_is_made_for_validators_that_do_not_ask() -> None:
    def context() -> None:
        raise AssertionError

    judge = Judge(TYPED.output, check=lambda value, context: value)
    found = settle(GOOD, judge, turn=1, attempts=0, output_retries=0, context=context)
    assert isinstance(found, Answered)


@pytest.mark.parametrize("of_validator", [False, True])
def test_whose_bug_it_is_is_told(of_validator: bool) -> None:
    def boom(*_: Any) -> str:
        raise KeyError("boom")

    def fine(text: str) -> str:
        return text

    def bad(text: str) -> str:
        return boom(text)

    output = output_mode(TextOutput(fine if of_validator else bad))
    found = judged(GOOD, Judge(output, check=boom if of_validator else None, output_retries=0))
    assert isinstance(found, Answered)
    whose = "A validator" if of_validator else "The output function"
    assert f"{whose} raised KeyError: 'boom'" in (found.reason or "")


def test_a_rejected_line_is_final_at_once() -> None:
    found = judged(LineError("rejected", "context_length_exceeded", "Too long."))
    assert found == Answered("failed", "context_length_exceeded: Too long.")


def test_a_cancelled_line_is_final_so_that_the_next_plan_asks() -> None:
    found = judged(LineError("never_ran", "batch_cancelled", "Cancelled."))
    assert found == Answered("cancelled", "batch_cancelled: Cancelled.", resumable=True)


def test_a_lost_line_is_final_and_its_turn_can_be_sent_again() -> None:
    found = judged(LineError("lost", "result_lost", "Gone."))
    assert found == Answered("lost", "result_lost: Gone.", resumable=True)


RETRIED: tuple[tuple[LineErrorKind, str, str], ...] = (
    ("retryable", "rate_limit_exceeded", "failed"),
    ("retryable", "line_missing", "failed"),
    ("unreadable", "empty_body", "failed"),
    ("never_ran", "batch_expired", "expired"),
)


@pytest.mark.parametrize(("kind", "code", "outcome"), RETRIED)
def test_a_failure_in_passing_is_sent_again_up_to_a_cap(
    kind: LineErrorKind, code: str, outcome: str
) -> None:
    error = LineError(kind, code, "why")
    again = SendAgain(f"{code}: why", wait=kind != "never_ran")
    assert judged(error, attempts=0) == again
    assert judged(error, attempts=1) == again
    reason = f"{code}: why (after 3 attempts)"
    assert judged(error, attempts=2) == Answered(outcome, reason, resumable=True)  # type: ignore[arg-type]


def test_an_error_without_words_is_told_by_its_code() -> None:
    assert judged(LineError("rejected", "http_400", "")) == Answered("failed", "http_400")


REPLIES = st.builds(
    Reply,
    st.none() | st.text(),
    st.sampled_from(["stop", "length", "tool_calls", "content_filter", "unknown"]),
    st.none() | st.text(),
    st.lists(
        st.builds(
            ToolCall,
            st.uuids().map(str),
            st.text() | st.sampled_from(["final_result_Triage", "n"]),
            st.text() | st.sampled_from(['{"queue": "bug"}', "{}"]),
        )
    ).map(tuple),
)
ERRORS = st.builds(
    LineError,
    st.sampled_from(["rejected", "retryable", "never_ran", "unreadable"]),
    st.text() | st.sampled_from(["batch_expired", "batch_cancelled"]),
    st.text(),
)


@given(
    REPLIES | ERRORS,
    st.sampled_from([TEXT, TYPED, TOOLS, OUTPUT_TOOLS]),
    st.integers(1, 12),
    st.integers(0, 4),
    st.integers(0, 3),
)
def test_whatever_comes_is_settled(
    result: Reply | LineError, judge: Judge, turn: int, attempts: int, output_retries: int
) -> None:
    """Nothing raises, and nothing goes on beyond its bounds."""
    found = judged(result, judge, turn=turn, attempts=attempts, output_retries=output_retries)
    if isinstance(found, AskAgain):
        assert output_retries < judge.output_retries
        assert isinstance(result, Reply)
        answered = [answer.call for answer in found.answers]
        assert answered == [call.id for call in result.tool_calls], "each call has its answer"
    if isinstance(found, SendAgain):
        assert attempts + 1 < judge.retries
    if isinstance(found, AskAgain | CallTools):
        assert turn < judge.max_turns


LONG = "y" * 5_000_000


@pytest.mark.parametrize(
    ("result", "judge"),
    [
        (Reply(None, refusal=LONG), TEXT),
        (LineError("rejected", "bad", LONG), TEXT),
        (LineError("rejected", LONG, ""), TEXT),
        (LineError("lost", "gone", LONG), TEXT),
        (LineError("retryable", "slow", LONG), TEXT),
        (Reply(f'{{"queue": "{LONG}"}}'), Judge(TYPED.output, output_retries=0)),
        (Reply(f'{{"queue": "{LONG}"}}'), Judge(TYPED.output, max_turns=1)),
    ],
)
def test_a_reason_has_an_end_and_says_what_it_lacks(
    result: Reply | LineError, judge: Judge
) -> None:
    settled = judged(result, judge)
    assert isinstance(settled, Answered | SendAgain)
    assert len(settled.reason or "") <= MOST_SAID
    assert (settled.reason or "").endswith(" more characters)")


@pytest.mark.parametrize("one", ['"sales"', f'"{"y" * 90_000}"', f'"{LONG}"', "NaN"])
@pytest.mark.parametrize("many", [2, 200_000])
def test_feedback_has_an_end_and_is_json_to_it(one: str, many: int) -> None:
    many = many if len(one) < 10 else 2
    for judge in (Judge(output_mode([ToolOutput(list[int])])), Judge(output_mode(list[int]))):
        name, wrapped = ("final_result", "response") if judge.output.tools else ("", "response")
        text = f'{{"{wrapped}": [{", ".join([one] * many)}]}}'
        call = (ToolCall("c", name, text),) if name else ()
        settled = judged(Reply(None if name else text, tool_calls=call), judge)
        assert isinstance(settled, AskAgain)
        told = settled.answers[0].content if name else settled.feedback
        array = json.loads(told, parse_constant=pytest.fail)["error"] if name else told
        assert MOST_TOLD // 2 < len(told) <= MOST_TOLD + 200 or len(one) * many < MOST_TOLD
        assert ("more errors" in str(array)) == (len(one) * many > MOST_TOLD)
