"""Failures seen in the wild, by the numbers of docs/reliability.md: files, batches and lines."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from worlds import Fault, World, failure, rewriting_json

from batchspec.errors import ExitCode, ProviderError, SpecError
from batchspec.plan.changes import Kind
from batchspec.simulator import HTTPFailure, Pace
from batchspec.state.events import BatchSubmitted, Event

CREATE, BATCH = ("POST", "/batches"), ("GET", "/batches/batch_.*")
UPLOAD, CONTENT = ("POST", "/files"), ("GET", "/files/.*/content")
MakeWorld = Callable[..., World]


def changing_batches(change: Callable[[dict[str, Any]], None]) -> Fault:
    """Return a fault that changes what is told of every batch, as long as `change` likes to."""

    def rewrite(body: bytes) -> bytes:
        batch = json.loads(body)
        change(batch)
        return json.dumps(batch).encode()

    return Fault(*BATCH, rewrite=rewrite, times=None)


def test_failure_04_a_file_that_is_not_visible_yet_is_waited_for(world: World) -> None:
    """A create refused with 400 is final for any other reason; nothing is uploaded anew."""
    world.job("a", "b")
    told = failure("Cannot find file file-1, or organization o does not have access to it.")
    world.wire.faults.append(Fault(*CREATE, status=400, body=told, times=2))
    assert world.apply().exit_code == ExitCode.DONE
    assert (world.created, world.lines, world.wire.count(*UPLOAD)) == (1, 2, 1)


def test_failure_04_a_file_that_validation_cannot_find_costs_another_upload(world: World) -> None:
    """The batch was made and failed; its rows go again, and nothing was charged."""
    world.job("a")
    errors = {"data": [{"code": "invalid_file", "line": None, "message": "Cannot find file f."}]}
    failed = rewriting_json(status="failed", errors=errors, request_counts=None)
    world.wire.faults.append(Fault(*BATCH, rewrite=failed))
    assert world.apply().exit_code == ExitCode.DONE
    assert world.wire.count(*UPLOAD) == 2
    assert world.texts() == {"a": "SAY A"}


def test_failure_05_completed_without_its_output_is_looked_at_again(world: World) -> None:
    """Taken at its word, every row would count as unanswered and be paid twice."""
    world.job("a", "b")
    looks = []

    def late(batch: dict[str, Any]) -> None:
        if batch["status"] == "completed":
            looks.append(batch["id"])
            if len(looks) <= 3:
                batch["output_file_id"] = None

    world.wire.faults.append(changing_batches(late))
    assert world.apply().exit_code == ExitCode.DONE
    assert (len(looks), world.created, world.lines) == (4, 1, 2)


def test_failure_06_a_batch_whose_lines_all_failed_has_errors_only(world: World) -> None:
    """Its output stays null for ever; each row ends with the provider's own words."""

    def model(_: dict[str, Any]) -> Any:
        raise HTTPFailure(400, "No such voice.", code="bad")

    world.model = model
    world.job("a", "b")
    assert world.apply().exit_code == ExitCode.FAILED_ITEMS
    (batch,) = world.remote()
    assert (batch["output_file_id"], bool(batch["error_file_id"])) == (None, True)
    assert world.outcomes() == {"a": "failed", "b": "failed"}
    assert "No such voice." in str(world.items()["a"].reason)


def test_failure_07_an_error_file_without_a_name_is_none(world: World) -> None:
    world.job("a")

    def nameless(batch: dict[str, Any]) -> None:
        batch["error_file_id"] = ""

    world.wire.faults.append(changing_batches(nameless))
    assert world.apply().exit_code == ExitCode.DONE
    assert world.wire.count(*CONTENT) == 1
    assert world.texts() == {"a": "SAY A"}


def test_failure_12_lines_of_one_batch_have_custom_ids_of_their_own(world: World) -> None:
    """Rows with equal keys are refused, rows with equal requests share a line."""
    world.job("a", "b", "c")
    world.job("x", "y", prompt="lambda row: 'the same'", name="n")
    sent: list[bytes] = []
    world.wire.faults.append(Fault(*CONTENT, rewrite=lambda body: sent.append(body) or body))
    world.apply()
    names = [json.loads(line)["custom_id"] for line in sent[0].splitlines()]
    assert len(names) == len(set(names)) == 4
    world.job("a", "a", name="o")
    with pytest.raises(SpecError, match="key is not unique"):
        world.plan()


@pytest.mark.parametrize(
    ("code", "line"),
    [("invalid_json_line", 2), ("invalid_url", 2), ("invalid_request", 2), ("model_mismatch", 2)],
)
def test_failure_16_validation_names_a_line_and_the_line_a_row(
    world: World, code: str, line: int
) -> None:
    """A batch that was made fails as a whole; the rows that were right go again, free."""
    world.job("a", "b", "c")
    errors = {"data": [{"code": code, "line": line, "message": "Not so.", "param": None}]}
    failed = rewriting_json(status="failed", errors=errors, request_counts=None)
    world.wire.faults.append(Fault(*BATCH, rewrite=failed))
    assert world.apply().exit_code == ExitCode.FAILED_ITEMS
    assert world.outcomes() == {"a": "succeeded", "b": "failed", "c": "succeeded"}
    assert world.items()["b"].reason == f"{code}: Not so."


@pytest.mark.parametrize("code", ["empty_file", "too_many_tasks", "mismatched_model"])
def test_failure_16_without_a_line_a_person_is_asked(world: World, code: str) -> None:
    world.job("a", "b")
    errors = {"data": [{"code": code, "line": None, "message": "Not so.", "param": None}]}
    failed = rewriting_json(status="failed", errors=errors, request_counts=None)
    world.wire.faults.append(Fault(*BATCH, rewrite=failed))
    with pytest.raises(ProviderError, match=f"{code}: Not so"):
        world.apply()
    assert world.outcomes() == {"a": None, "b": None}, "they wait"
    assert world.apply().exit_code == ExitCode.DONE


def limited(world: World, **limits: int) -> None:
    """Configure limits of the provider."""
    openai = world.settings.providers["openai"]
    openai = openai.model_copy(update={"limits": openai.limits.model_copy(update=limits)})
    world.settings = world.settings.model_copy(update={"providers": {"openai": openai}})


def test_failure_19_a_model_that_takes_no_batches_costs_the_first_few_rows_only(
    world: World,
) -> None:
    """Every line is refused; what was not sent waits, and goes once the model answers."""
    limited(world, canary=2)
    told = world.model

    def refuse(_: dict[str, Any]) -> Any:
        raise HTTPFailure(400, "This model is not supported in batches.", code="unsupported")

    world.model = refuse
    world.job("a", "b", "c", "d", "e")
    with pytest.raises(ProviderError, match="none of the first 2 requests, so the other 3"):
        world.apply()
    assert world.outcomes() == {"a": "failed", "b": "failed", "c": None, "d": None, "e": None}
    world.model = told
    assert world.apply().exit_code == ExitCode.FAILED_ITEMS
    assert [batch["request_counts"]["total"] for batch in world.remote()] == [1, 2, 2]


def test_failure_19_a_model_that_answered_is_known_for_good(world: World) -> None:
    limited(world, canary=1)
    world.job("a", "b", "c")
    (note,) = world.plan().notes
    assert note.startswith("1 of 3 requests of openai:gpt-5-mini go first")
    assert world.apply().exit_code == ExitCode.DONE
    assert [batch["request_counts"]["total"] for batch in world.remote()] == [2, 1]
    world.job("a", "b", "c", "d", "e")
    assert world.plan().notes == ()
    world.apply()
    assert world.remote()[0]["request_counts"]["total"] == 2


@pytest.mark.parametrize(
    ("status", "headers"), [(500, {}), (502, {}), (429, {"retry-after": "7"}), (None, {})]
)
def test_failure_22_a_look_that_fails_changes_nothing(
    world: World, status: int | None, headers: dict[str, str]
) -> None:
    world.job("a")
    world.wire.faults.append(Fault(*BATCH, status=status, body={}, headers=headers, times=4))
    assert world.apply().exit_code == ExitCode.DONE
    assert (world.created, world.lines) == (1, 1)
    assert world.hook.names().count("BatchRejected") == 0


@pytest.mark.parametrize(
    "change",
    [
        {"output": "list[int]"},
        {"model": "'openai:gpt-5'"},
        {"settings": "{'temperature': 0}"},
        {"instructions": "'Be brief.'"},
        {"tools": "[lookup]"},
    ],
)
def test_failure_26_whatever_the_model_sees_is_in_the_fingerprint(
    world: World, change: dict[str, str]
) -> None:
    """An answer to another request is never taken for the answer to this one."""
    tool = "\n@tool\ndef lookup(n: int) -> int:\n    return n\n"
    given = {"model": "'openai:gpt-5-mini'", "prompt": "'say {id}'"}

    def spec(**more: str) -> str:
        arguments = {"rows": "rows.inline([{'id': 'a'}])", **given, **more}
        return f"j = Job({', '.join(f'{k}={v}' for k, v in arguments.items())})\n"

    world.spec(tool + spec())
    world.apply()
    world.spec(tool + spec(**change))
    (plan,) = world.plan().jobs
    assert plan.counts == {Kind.RESUBMIT: 1}
    assert plan.reasons[0].difference is not None


def test_failure_33_a_batch_far_older_than_a_day_is_still_waited_for(
    make_world: MakeWorld,
) -> None:
    """The provider ends a batch, no clock of ours: two weeks, and paid once."""
    world = make_world(pace=Pace(in_progress=14 * 86_400.0, window=30 * 86_400.0))
    world.job("a", "b")
    started = world.clock.now()
    assert world.apply().exit_code == ExitCode.DONE
    assert world.clock.now() - started >= 14 * 86_400
    assert (world.created, world.lines) == (1, 2)


def test_failure_33_other_jobs_do_not_wait_for_it(make_world: MakeWorld) -> None:
    """It can be left to the provider; the next apply finds it."""
    world = make_world(pace=Pace(in_progress=3 * 86_400.0, window=30 * 86_400.0))
    world.job("a")
    submitted: list[Event] = []
    world.hook.react = lambda e: submitted.append(e) if isinstance(e, BatchSubmitted) else None
    assert world.apply(detach=True).exit_code == ExitCode.IN_PROGRESS
    world.clock.set(world.clock.now() + 5 * 86_400)
    assert world.apply().exit_code == ExitCode.DONE
    assert (len(submitted), world.created) == (1, 1)


def test_failure_38_turns_are_bounded_and_told_beforehand(world: World) -> None:
    """A model that calls one tool per turn ends with an outcome that says so."""
    world.spec("""
        @tool
        def look(page: int) -> str:
            return f"page {page}"

        j = Job(model="openai:gpt-5-mini", rows=rows.inline([{"id": "a"}]), prompt="read",
                tools=[look], max_turns=4)
    """)
    world.model = lambda body: {
        "role": "assistant",
        "tool_calls": [{"name": "look", "arguments": {"page": len(body["messages"])}}],
    }
    (plan,) = world.plan().jobs
    assert plan.max_turns == 4
    assert plan.estimate.cost_at_most is not None
    assert plan.estimate.cost is not None
    assert plan.estimate.cost_at_most > 4 * plan.estimate.cost
    assert world.apply().exit_code == ExitCode.FAILED_ITEMS
    item = world.items()["a"]
    assert (item.outcome, item.turns, world.created) == ("exhausted", 4, 4)
