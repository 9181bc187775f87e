"""`cancel`: nothing more is sent, what was answered by then is kept and paid once."""

from collections.abc import Callable
from typing import Any

import pytest
from worlds import Fault, World

from adoption.handmade import by_hand, line
from batchspec.errors import ExitCode, RefusedError, UsageError
from batchspec.plan.changes import Kind
from batchspec.project.stopping import CancelResult
from batchspec.simulator import Pace
from batchspec.state.events import BatchCollected, CallFailed, CancelWanted, InputUploaded
from batchspec.state.stopped import CANCELLED


def cancelled(world: World, *addresses: str, **options: Any) -> CancelResult:
    """Cancel as a process of its own would, and check the state afterwards."""
    try:
        with world.open() as project:
            return project.cancel(*addresses, hook=world.hook, **options)
    finally:
        world.check()


def reasons(world: World) -> list[tuple[Kind, str, int]]:
    return [(r.kind, r.code, r.rows) for job in world.plan().jobs for r in job.reasons]


def interrupted(world: World, kind: type) -> None:
    """Apply, and die after the first event of a kind."""

    def die(event: Any) -> None:
        assert not isinstance(event, kind)

    world.hook.react = die
    with pytest.raises(AssertionError):
        world.apply()
    world.hook.react = lambda event: None


def test_a_batch_at_the_provider(world: World) -> None:
    world.job("a", "b")
    world.apply(detach=True)
    result = cancelled(world, "m.j")
    assert (result.exit_code, result.stop.requests) == (ExitCode.DONE, 2)
    assert [b.fate for b in result.stop.batches] == ["cancel"]
    assert [b["status"] for b in world.remote()] == ["cancelled"]
    assert world.outcomes() == {"a": "cancelled", "b": "cancelled"}
    assert (world.created, world.lines) == (1, 0)
    assert reasons(world) == [(Kind.RESUBMIT, "CANCELLED", 2)]
    world.apply()
    assert world.texts() == {"a": "SAY A", "b": "SAY B"}
    assert world.lines == 2


def test_failure_15_a_cancelled_batch_has_paid_results(world: World) -> None:
    """They are read and kept; only what did not run is proposed again."""
    world.server.pace = Pace(validating=5, in_progress=100, finalizing=2, cancelling=5)
    world.job("a", "b", "c", "d")
    world.apply(detach=True)
    world.clock.advance(60)
    cancelled(world, "m.j")
    texts = {key: text for key, text in world.texts().items() if text}
    assert 0 < len(texts) < 4
    assert world.lines == len(texts)
    assert all(text == f"SAY {key.upper()}" for key, text in texts.items())
    assert sum(item.cost or 0 for item in world.items().values()) > 0
    assert reasons(world) == [(Kind.RESUBMIT, "CANCELLED", 4 - len(texts))]
    world.apply()
    assert world.lines == 4


def test_failure_14_a_cancelled_batch_without_any_file(world: World) -> None:
    """Its rows end; nobody waits for ever."""
    world.job("a")
    world.apply(detach=True)
    gone = {"output_file_id": None, "error_file_id": None}
    world.wire.faults.append(
        Fault("GET", "/batches/.*", rewrite=_changing(gone, when="cancelled"), times=None)
    )
    cancelled(world, "m.j")
    assert world.outcomes() == {"a": "cancelled"}


def _changing(changes: dict[str, Any], when: str) -> Callable[[bytes], bytes]:
    import json  # noqa: PLC0415

    def change(body: bytes) -> bytes:
        data = json.loads(body)
        return json.dumps(data | changes).encode() if data["status"] == when else body

    return change


def test_a_batch_that_completes_all_the_same(world: World) -> None:
    world.server.pace = Pace(validating=0, in_progress=0, finalizing=100, cancelling=5)
    world.job("a")
    world.apply(detach=True)
    world.clock.advance(200)
    result = cancelled(world, "m.j")
    assert result.exit_code == ExitCode.DONE
    assert world.texts() == {"a": "SAY A"}
    assert not world.plan().can_apply


def test_a_batch_that_is_shared_runs_on(world: World) -> None:
    world.job("a", "b")
    world.job("c", name="n")
    world.apply(detach=True)
    assert world.created == 1
    result = cancelled(world, "m.j")
    assert [(b.fate, b.mine, b.members) for b in result.stop.batches] == [("shared", 2, 3)]
    assert result.exit_code == ExitCode.DONE
    world.apply()
    assert world.texts("n.j") == {"c": "SAY C"}
    # They were answered all the same, and are paid for.
    assert world.texts("m.j") == {"a": "SAY A", "b": "SAY B"}
    assert world.lines == 3


def test_rows_of_a_shared_batch_are_not_sent_again_by_themselves(world: World) -> None:
    world.job("a")
    world.job("c", name="n")
    world.apply(detach=True)
    cancelled(world, "m.j")
    world.server.cancel_batches()
    world.apply()
    assert world.outcomes("m.j") == {"a": "cancelled"}
    assert (Kind.RESUBMIT, "CANCELLED", 1) in reasons(world)


def test_one_item(world: World) -> None:
    world.job("a", "b")
    world.apply(detach=True)
    result = cancelled(world, 'm.j["a"]')
    assert [(b.fate, b.mine) for b in result.stop.batches] == [("shared", 1)]
    assert result.stop.jobs[0].batched == 1


def test_patterns_and_everything(world: World) -> None:
    world.job("a")
    world.job("b", name="n")
    world.apply(detach=True)
    with world.open() as project:
        assert {job.job for job in project.stoppable("*.j").jobs} == {"m.j", "n.j"}
    cancelled(world)
    assert world.outcomes("m.j") == {"a": "cancelled"}
    assert world.outcomes("n.j") == {"b": "cancelled"}


def test_rows_that_were_not_sent(world: World) -> None:
    world.job("a")
    interrupted(world, InputUploaded)
    result = cancelled(world, "m.j")
    assert world.created == 0
    assert result.stop.jobs[0].pending == 1
    assert world.outcomes() == {"a": "cancelled"}
    assert world.items()["a"].reason == "It was cancelled by a person."
    assert reasons(world) == [(Kind.RESUBMIT, "CANCELLED", 1)]


def test_rows_whose_creation_got_no_answer(world: World) -> None:
    world.job("a")
    world.wire.faults.append(Fault("POST", "/batches", after=True))
    interrupted(world, CallFailed)
    cancelled(world, "m.j")
    assert [b["status"] for b in world.remote()] == ["cancelled"]
    assert world.outcomes() == {"a": "cancelled"}


def test_a_later_turn_that_never_reached_the_provider_goes_on_as_that_turn(world: World) -> None:
    """Its first turn is paid: neither a lost creation nor a cancellation makes it begin again."""
    world.spec("""
        @tool
        def count(word: str) -> int:
            return len(word)

        j = Job(model='openai:gpt-5-mini', rows=rows.inline([{'id': 'a'}]), prompt='say {id}',
                tools=[count])
    """)

    def model(body: dict[str, Any]) -> Any:
        if len(body["messages"]) > 1:
            return "four"
        call = {"name": "count", "arguments": '{"word": "five"}'}
        return {"role": "assistant", "tool_calls": [{"id": "call_1", **call}]}

    world.model = model
    interrupted(world, BatchCollected)
    world.wire.faults.append(Fault("POST", "/batches"))
    interrupted(world, CallFailed)
    cancelled(world, "m.j")
    assert (world.outcomes(), world.created) == ({"a": "cancelled"}, 1)
    world.apply()
    assert (world.texts(), world.lines) == ({"a": "four"}, 2)


def test_conversations_that_wait_for_tools(world: World) -> None:
    def model(body: dict[str, Any]) -> Any:
        call = {"name": "count", "arguments": '{"word": "five"}'}
        calls = [{"id": "call_1", "type": "function", "function": call}]
        return {"role": "assistant", "content": None, "tool_calls": calls}

    world.model = model
    world.spec(
        """
        @tool
        def count(word: str) -> int:
            \"\"\"Count letters.\"\"\"
            return len(word)
        j = Job(model='openai:gpt-5-mini', rows=rows.inline([{'id': 'a'}]), prompt='say {id}',
                tools=[count])
        """
    )
    interrupted(world, BatchCollected)
    result = cancelled(world, "m.j")
    assert result.stop.jobs[0].tools == 1
    assert world.outcomes() == {"a": "cancelled"}
    assert world.lines == 1
    world.model = lambda body: "four"
    world.apply()
    assert (world.texts(), world.lines) == ({"a": "four"}, 2)


def test_answers_others_want_go_on(world: World) -> None:
    world.job("a")
    world.job("a", name="n")
    world.apply(detach=True)
    result = cancelled(world, "m.j")
    assert (result.stop.requests, result.stop.jobs[0].shared) == (0, 1)
    world.apply()
    assert world.texts("m.j") == {"a": "SAY A"}


def test_everything_of_nothing(world: World) -> None:
    world.job("a")
    world.apply()
    world.remove("m")
    world.spec("other = 1")
    world.apply()
    assert cancelled(world).stop.jobs == ()


def test_what_is_final_stays(world: World) -> None:
    world.job("a")
    world.apply()
    result = cancelled(world, "m.j")
    assert result.stop.requests == 0
    assert world.texts() == {"a": "SAY A"}


def test_the_old_answer_comes_back(world: World) -> None:
    world.job("a")
    world.apply()
    world.model = lambda body: "new"
    world.apply(replace=["m.j"], detach=True)
    cancelled(world, "m.j")
    assert world.texts() == {"a": "SAY A"}


def test_a_protected_job(world: World) -> None:
    world.job("a", protect="True")
    world.apply(detach=True)
    with pytest.raises(RefusedError, match=r"m\.j is protected; nothing was stopped"):
        cancelled(world, "m.j")
    world.remove("m")
    with pytest.raises(RefusedError):
        cancelled(world)


def test_nobody_of_that_name(world: World) -> None:
    world.job("a")
    world.apply(detach=True)
    with pytest.raises(UsageError, match=r"No job 'm\.k' is on record"):
        cancelled(world, "m.k")
    with pytest.raises(UsageError, match="no item with the key 'z'"):
        cancelled(world, 'm.j["z"]')


def test_detached(world: World) -> None:
    world.job("a")
    world.apply(detach=True)
    result = cancelled(world, "m.j", detach=True)
    assert (result.exit_code, result.open_batches) == (ExitCode.IN_PROGRESS, 1)
    assert [b["status"] for b in world.remote()] == ["cancelling"]
    assert reasons(world) == [(Kind.CONTINUE, "BATCH_IN_PROGRESS", 1)]
    world.apply()
    assert world.outcomes() == {"a": "cancelled"}
    assert world.created == 1


def test_a_batch_made_by_hand_runs_on(world: World) -> None:
    world.job("a")
    batch = by_hand(world, line("a", "say a"))
    with world.open() as project:
        project.import_batch("m.j", batch)
    result = cancelled(world, "m.j")
    assert [b.fate for b in result.stop.batches] == ["imported"]
    assert [b["status"] for b in world.remote()] == ["validating"]


def test_specs_that_do_not_load_stop_nobody_from_stopping(world: World) -> None:
    world.job("a")
    world.apply(detach=True)
    world.spec("this is no Python")
    result = cancelled(world, "m.j")
    assert any("specs cannot be loaded" in warning for warning in world.hook.warnings)
    assert [b["status"] for b in world.remote()] == ["cancelled"]
    assert result.open_batches == 1
    world.job("a")
    world.apply()
    assert world.outcomes() == {"a": "cancelled"}


def test_interrupted_between_the_intent_and_the_call(world: World) -> None:
    world.job("a")
    world.apply(detach=True)

    def stop(event: Any) -> None:
        assert not isinstance(event, CancelWanted)

    world.hook.react = stop
    with pytest.raises(AssertionError):
        cancelled(world, "m.j")
    world.hook.react = lambda event: None
    assert [b["status"] for b in world.remote()] == ["validating"]
    world.apply()
    assert [b["status"] for b in world.remote()] == ["cancelled"]
    assert world.outcomes() == {"a": "cancelled"}


def test_what_a_shared_batch_gives_back_ends(world: World) -> None:
    """The answer was not accepted and would be asked for again; it was cancelled meanwhile."""
    world.job("a", output_validators="[check]", output_retries="3")
    spec = world.root / "specs" / "m.py"
    check = "def check(value):\n    raise ModelRetry('another one')\nj = "
    spec.write_text(spec.read_text().replace("j = ", check))
    world.job("c", name="n")
    world.apply(detach=True)
    assert cancelled(world, "m.j").stop.batches[0].fate == "shared"
    world.apply()
    assert world.outcomes("m.j") == {"a": "cancelled"}
    assert world.items("m.j")["a"].reason == "It was cancelled by a person."
    assert world.texts("n.j") == {"c": "SAY C"}
    assert (world.created, world.lines) == (1, 2)
    assert (Kind.RESUBMIT, "CANCELLED", 1) in reasons(world)


def test_rows_that_are_sent_again_are_not_cancelled_any_more(world: World) -> None:
    world.job("a", output_validators="[check]")
    spec = world.root / "specs" / "m.py"
    check = """
def check(value):
    if value != "YES":
        raise ModelRetry("say yes")
    return value
j = """
    spec.write_text(spec.read_text().replace("j = ", check))
    world.apply(detach=True)
    cancelled(world, "m.j")
    world.model = lambda body: "YES" if len(body["messages"]) > 1 else "NO"
    world.apply()
    assert (world.texts(), world.lines) == ({"a": "YES"}, 2)


def test_a_row_another_job_wants_after_all_is_sent_again(world: World) -> None:
    """The cancelled batch gives back what both share; what nobody else wants stays cancelled."""
    world.job("a", "b")
    world.apply(detach=True)
    cancelled(world, "m.j", detach=True)
    world.job("a", name="n")
    result = world.apply()
    assert world.outcomes("n.j") == {"a": "succeeded"}
    assert world.outcomes() == {"a": "succeeded", "b": "cancelled"}
    assert world.items()["b"].reason == CANCELLED
    assert world.lines == 1
    assert result.exit_code == ExitCode.FAILED_ITEMS, "of what was cancelled"
