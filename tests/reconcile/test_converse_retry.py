from hypothesis import given
from hypothesis import strategies as st

from batchspec.providers.openai.wire import ChatCompletionsWire
from batchspec.reconcile.converse import after_feedback, after_tools
from batchspec.reconcile.retry import backoff, poll_wait

WIRE = ChatCompletionsWire()
ASKED = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
REPLY = {"role": "assistant", "content": None, "tool_calls": [{"id": "a"}, {"id": "b"}]}
FIRST, CAP = st.floats(0.1, 30), st.floats(30, 600)


def test_every_tool_call_is_answered_in_its_order_after_the_reply() -> None:
    answers = [WIRE.tool_answer("a", "1"), WIRE.tool_answer("b", '{"error": "no"}')]
    turn = after_tools(ASKED, [REPLY], answers)
    assert turn == [
        *ASKED,
        REPLY,
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "tool", "tool_call_id": "b", "content": '{"error": "no"}'},
    ]


def test_feedback_is_a_user_s_message_after_the_reply() -> None:
    reply = {"role": "assistant", "content": "x"}
    turn = after_feedback(ASKED, [reply], "Try again.")
    assert turn == [*ASKED, reply, {"role": "user", "content": "Try again."}]


def test_the_conversation_so_far_is_not_touched() -> None:
    before = [*ASKED]
    after_tools(before, [REPLY], [WIRE.tool_answer("a", "1")])
    after_feedback(before, [REPLY], "f")
    assert before == ASKED


@given(st.integers(1, 10_000), FIRST, CAP, st.text())
def test_backoff_grows_from_first_to_cap_with_a_spread_of_a_fifth(
    failures: int, first: float, cap: float, name: str
) -> None:
    wait = backoff(failures, first=first, cap=cap, name=name)
    assert first <= wait <= cap * 1.2
    assert wait <= backoff(failures + 1, first=first, cap=cap, name=name)


@given(st.floats(-100, 1e6), FIRST, CAP, st.text())
def test_the_end_of_a_batch_is_seen_at_most_about_a_tenth_late(
    age: float, first: float, cap: float, name: str
) -> None:
    wait = poll_wait(age, first=first, cap=cap, name=name)
    assert first <= wait <= cap * 1.2
    assert wait <= max(first, age / 10) * 1.2


def test_equal_waits_are_spread_by_name_and_not_by_dice() -> None:
    waits = {backoff(1, first=10, cap=10, name=f"batch-{n}") for n in range(50)}
    assert len(waits) > 25
    assert backoff(1, first=10, cap=10, name="x") == backoff(1, first=10, cap=10, name="x")


def test_backoff_doubles() -> None:
    assert [backoff(n, first=1, cap=9) for n in (1, 2, 3, 4, 5)] == [1, 2, 4, 8, 9]
