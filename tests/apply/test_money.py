"""Nothing is paid twice: lost answers, dead networks, odd batches, changed specs."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from worlds import PACE, Fault, World, failure, rewriting_json

from batchspec.errors import ExitCode, ProviderError
from batchspec.plan.changes import Kind
from batchspec.simulator import HTTPFailure, Pace
from batchspec.state.events import BatchCollected, BatchSubmitted, Event

CREATE, LIST, BATCH = ("POST", "/batches"), ("GET", "/batches"), ("GET", "/batches/batch_.*")
UPLOAD, CONTENT = ("POST", "/files"), ("GET", "/files/.*/content")
MakeWorld = Callable[..., World]


def counts(world: World, **options: Any) -> dict[Kind, int]:
    return {kind: n for kind, n in world.plan(**options).counts.items() if n}


# --- specs that change


def test_a_second_apply_sends_nothing(world: World) -> None:
    world.job("a", "b")
    world.apply()
    before = len(world.wire.calls)
    assert world.apply().nothing
    assert (world.created, len(world.wire.calls)) == (1, before)


def test_one_changed_row_is_sent_again_alone(world: World) -> None:
    world.job("a", "b", prompt="lambda row: 'say ' + row['id']")
    world.apply()
    world.job("a", "b", prompt="lambda row: 'say ' + row['id'] + '!' * (row['id'] == 'b')")
    assert counts(world) == {Kind.KEEP: 1, Kind.RESUBMIT: 1}
    world.apply()
    assert world.texts() == {"a": "SAY A", "b": "SAY B!"}
    assert world.lines == 3


def test_the_old_answer_is_readable_until_the_new_one_is_in(world: World) -> None:
    world.job("a")
    world.apply()
    seen: list[tuple[bool, str | None]] = []

    def model(body: dict[str, Any]) -> str:
        item = world.items()["a"]
        seen.append((item.previous, item.text))
        return "new"

    world.model = model
    world.job("a", prompt="'tell {id}'")
    world.apply()
    assert seen == [(True, "SAY A")]
    assert world.texts() == {"a": "new"}


def test_a_new_row_is_sent_alone(world: World) -> None:
    world.job("a")
    world.apply()
    world.job("a", "b")
    assert counts(world) == {Kind.KEEP: 1, Kind.SUBMIT: 1}
    world.apply()
    assert world.lines == 2


@pytest.mark.parametrize("moved", [{"variable": "k"}, {"name": "other"}])
def test_renaming_a_job_costs_nothing(world: World, moved: dict[str, str]) -> None:
    """Its variable, or its file."""
    world.job("a", "b")
    world.apply()
    world.remove("m")
    world.job("a", "b", **moved)
    assert counts(world) == {Kind.REUSE: 2}
    world.apply()
    address = f"{moved.get('name', 'm')}.{moved.get('variable', 'j')}"
    assert world.texts(address) == {"a": "SAY A", "b": "SAY B"}
    assert world.created == 1


def test_a_job_renamed_in_flight_is_served_by_its_new_self(world: World) -> None:
    """Its tools are run and its types are checked, though the batch was sent under the old name."""
    spec = """
        from pydantic import BaseModel

        class Sum(BaseModel):
            total: int

        @tool
        def add(x: int, y: int) -> int:
            return x + y

        {name} = Job(model="openai:gpt-5-mini", rows=rows.inline([{{"id": "a"}}]), prompt="do",
                     tools=[add], output=Sum)
    """

    def model(body: dict[str, Any]) -> Any:
        if len(body["messages"]) == 1:
            call = {"name": "add", "arguments": {"x": 2, "y": 3}}
            return {"role": "assistant", "tool_calls": [call]}
        return {"total": int(body["messages"][-1]["content"])}

    world.model = model
    world.spec(spec.format(name="before"))
    world.apply(detach=True)
    world.spec(spec.format(name="after"))
    assert world.apply().exit_code == ExitCode.DONE
    assert world.items("m.after")["a"].output.total == 5
    assert world.created == 2


def test_reordered_rows_cost_nothing(world: World) -> None:
    world.job("a", "b", "c")
    world.apply()
    world.job("c", "a", "b")
    assert not world.plan().can_apply


def test_a_job_stays_known_when_another_one_is_removed(world: World) -> None:
    """Also the one whose items were recorded first."""
    world.job("a", "b")
    world.job("c", "d", name="n")
    world.apply()
    world.remove("m")
    world.apply()
    assert counts(world) == {Kind.KEEP: 2}
    assert not world.plan().can_apply


def test_a_job_that_is_switched_off_in_flight_holds_up_no_neighbour(world: World) -> None:
    """Its members are in the same batch: they are judged by its own rules, which are there."""
    spec = """
        def loud(value: str) -> str:
            if not value.endswith("A"):
                raise ModelRetry("no")
            return value

        one = Job(model="openai:gpt-5-mini", rows=rows.inline([{{"id": "a"}}]), prompt="one {{id}}")
        two = Job(model="openai:gpt-5-mini", rows=rows.inline([{{"id": "a"}}, {{"id": "b"}}]),
                  prompt="two {{id}}", output_validators=[loud], output_retries=0, enabled={on})
    """
    world.spec(spec.format(on=True))
    world.apply(detach=True)
    world.spec(spec.format(on=False))
    world.apply()
    assert world.texts("m.one") == {"a": "ONE A"}
    assert world.outcomes("m.two") == {"a": "succeeded", "b": "failed"}
    assert not world.plan().can_apply
    assert world.created == 1


def test_equal_requests_are_paid_once(world: World) -> None:
    """Within a job and between jobs."""
    world.spec("""
        one = Job(model="openai:gpt-5-mini", rows=rows.inline([{"id": "a"}, {"id": "b"}]),
                  prompt=lambda row: "the same")
        two = Job(model="openai:gpt-5-mini", rows=rows.inline([{"id": "z"}]), prompt="the same")
    """)
    world.apply()
    assert world.texts("m.one") == {"a": "THE SAME", "b": "THE SAME"}
    assert world.texts("m.two") == {"z": "THE SAME"}
    assert world.lines == 1


def test_a_row_that_went_and_came_back_is_not_paid_again(world: World) -> None:
    world.job("a", "b")
    world.apply()
    world.job("a")
    assert counts(world) == {Kind.KEEP: 1, Kind.FORGET: 1}
    world.apply()
    assert world.texts() == {"a": "SAY A"}
    world.job("a", "b")
    assert counts(world) == {Kind.KEEP: 1, Kind.REUSE: 1}
    world.apply()
    assert world.texts() == {"a": "SAY A", "b": "SAY B"}
    assert world.lines == 2


def test_rows_removed_in_flight_come_back_and_are_kept(world: World) -> None:
    """They are paid for, and can be reused."""
    world.job("a", "b")
    world.apply(detach=True)
    world.job("a")
    world.apply()
    world.job("a", "b")
    assert counts(world) == {Kind.KEEP: 1, Kind.REUSE: 1}
    world.apply()
    assert world.texts() == {"a": "SAY A", "b": "SAY B"}
    assert world.lines == 2


def test_an_answer_can_be_asked_for_anew(world: World) -> None:
    answers = iter(["first", "second"])
    world.model = lambda _: next(answers)
    world.job("a")
    world.apply()
    assert counts(world, replace=["m.j"]) == {Kind.RESUBMIT: 1}
    world.apply(replace=["m.j"])
    assert world.texts() == {"a": "second"}
    assert world.items()["a"].usage.output_tokens > 2, "both are paid"


def test_giving_up_on_a_new_answer_brings_the_old_one_back(world: World) -> None:
    """The row changes before the anew asked for answer is even sent."""
    world.job("a")
    world.apply()
    world.wire.faults.append(Fault(*UPLOAD, status=401, body=failure("Incorrect API key.")))
    with pytest.raises(ProviderError):
        world.apply(replace=["m.j"])
    world.job("a", prompt="'tell {id}'")
    world.wire.faults.append(Fault(*UPLOAD, status=401, body=failure("Incorrect API key.")))
    with pytest.raises(ProviderError):
        world.apply()
    item = world.items()["a"]
    assert (item.previous, item.outcome, item.text) == (True, "succeeded", "SAY A")
    assert world.apply().exit_code == ExitCode.DONE
    assert world.texts() == {"a": "TELL A"}


# --- answers that are lost


@pytest.mark.parametrize("status", [None, 500, 502, 503, 408, 409], ids=str)
def test_a_lost_answer_to_create_is_found_again(world: World, status: int | None) -> None:
    world.job("a", "b")
    world.wire.faults.append(Fault(*CREATE, status=status, body={}, after=True))
    assert world.apply().exit_code == ExitCode.DONE
    assert (world.created, world.wire.count(*CREATE)) == (1, 1)
    assert [e.adopted for e in world.hook.events if isinstance(e, BatchSubmitted)] == [True]


@pytest.mark.parametrize("status", [None, 500], ids=str)
def test_a_create_that_never_arrived_is_sent_again_after_a_while(
    world: World, status: int | None
) -> None:
    """Not before the list had time to show it."""
    world.job("a")
    world.wire.faults.append(Fault(*CREATE, status=status, body={}))
    started = world.clock.now()
    assert world.apply().exit_code == ExitCode.DONE
    assert (world.created, world.wire.count(*CREATE)) == (1, 2)
    assert world.remote()[0]["created_at"] - started >= world.settings.adopt_grace


def test_a_list_that_lags_is_asked_until_it_shows_the_batch(world: World) -> None:
    world.job("a")
    empty = {"data": [], "first_id": None, "last_id": None, "has_more": False}
    world.wire.faults += [
        Fault(*CREATE, after=True),
        Fault(*LIST, rewrite=rewriting_json(**empty), times=2),
    ]
    assert world.apply().exit_code == ExitCode.DONE
    assert (world.created, world.wire.count(*CREATE)) == (1, 1)


def test_while_listing_fails_nothing_is_paid_again(world: World) -> None:
    world.job("a")
    world.wire.faults += [
        Fault(*CREATE, after=True),
        Fault(*LIST, status=503, body={}, times=8),
    ]
    assert world.apply().exit_code == ExitCode.DONE
    assert (world.created, world.wire.count(*CREATE)) == (1, 1)


def test_what_is_not_known_is_in_the_plan(world: World) -> None:
    world.job("a", "b")
    world.wire.faults += [
        Fault(*CREATE, after=True),
        Fault(*LIST, status=401, body=failure("Incorrect API key.")),
    ]
    with pytest.raises(ProviderError, match="refused the key"):
        world.apply()
    (plan,) = world.plan().jobs
    unknown = next(reason for reason in plan.reasons if reason.kind is Kind.UNKNOWN)
    assert (unknown.rows, plan.requests) == (2, 0)
    assert world.apply().exit_code == ExitCode.DONE
    assert world.created == 1


def test_an_upload_that_fails_is_repeated(world: World) -> None:
    world.job("a")
    world.wire.faults.append(Fault(*UPLOAD, status=429, body=failure("Slow down.")))
    assert world.apply().exit_code == ExitCode.DONE
    assert (world.created, world.wire.count(*UPLOAD)) == (1, 2)


def test_a_full_account_is_waited_for(world: World) -> None:
    world.job("a")
    world.wire.faults.append(
        Fault(*CREATE, status=429, body=failure("Slow."), headers={"retry-after": "120"}, times=3)
    )
    started = world.clock.now()
    assert world.apply().exit_code == ExitCode.DONE
    assert (world.created, world.wire.count(*CREATE), world.wire.count(*UPLOAD)) == (1, 4, 1)
    assert world.remote()[0]["created_at"] - started >= 360


def test_a_file_that_stays_invisible_is_uploaded_anew(world: World) -> None:
    world.job("a")
    lost = failure("Cannot find file file-1, or organization o does not have access to it.")
    world.wire.faults.append(Fault(*CREATE, status=400, body=lost, times=5))
    assert world.apply().exit_code == ExitCode.DONE
    assert (world.created, world.wire.count(*UPLOAD)) == (1, 2)


# --- batches that end oddly


def test_a_batch_cancelled_by_somebody_else_is_sent_again_by_the_next_plan(
    make_world: MakeWorld,
) -> None:
    """It is cancelled long before its first request is answered."""
    world = make_world(pace=Pace(validating=5, in_progress=20_000, finalizing=2, cancelling=5))
    world.job("a", "b")
    world.apply(detach=True)
    world.server.cancel_batches()
    result = world.apply()
    assert result.exit_code == ExitCode.FAILED_ITEMS
    assert world.outcomes() == {"a": "cancelled", "b": "cancelled"}
    (plan,) = world.plan().jobs
    assert [(r.kind, r.code, r.rows) for r in plan.reasons] == [
        (Kind.RESUBMIT, "BATCH_CANCELLED_REMOTELY", 2)
    ]
    assert world.apply().exit_code == ExitCode.DONE
    assert world.texts() == {"a": "SAY A", "b": "SAY B"}


def test_failure_13_an_expired_batch_keeps_what_it_has_and_the_rest_goes_again(
    make_world: MakeWorld,
) -> None:
    """The first batch is too slow for its window, the second is not."""
    world = make_world(pace=SLOW)
    world.hook.react = lambda event: faster(world, event)
    keys = [str(n) for n in range(10)]
    world.job(*keys)
    assert world.apply().exit_code == ExitCode.DONE
    assert world.texts() == {key: f"SAY {key}" for key in keys}
    assert world.lines == 10, "no row is paid twice"
    done = [(b["status"], b["request_counts"]["completed"]) for b in world.remote()]
    assert done == [("completed", 4), ("expired", 6)]


SLOW = Pace(validating=1, in_progress=300, finalizing=1, window=200)


def faster(world: World, event: Event) -> None:
    if isinstance(event, BatchCollected):
        world.server.pace = PACE


def test_failure_14_a_row_that_expires_again_and_again_is_left_to_the_next_plan(
    make_world: MakeWorld,
) -> None:
    world = make_world(pace=Pace(validating=1, in_progress=9000, finalizing=1, window=50))
    world.job("a")
    assert world.apply().failed == 1
    assert world.outcomes() == {"a": "expired"}
    assert world.plan().jobs[0].reasons[0].code == "BATCH_EXPIRED"
    assert world.lines == 0


def test_late_files_of_an_expired_batch_are_waited_for(make_world: MakeWorld) -> None:
    """Terminal, with counts, but the file ids are not there on the first looks."""
    world = make_world(pace=SLOW)
    world.hook.react = lambda event: faster(world, event)
    world.job("a", "b", "c", "d")

    def late(body: bytes) -> bytes:
        batch = json.loads(body)
        if batch["status"] == "expired":
            late.seen += 1  # type: ignore[attr-defined]
            if late.seen <= 2:  # type: ignore[attr-defined]
                batch.update(output_file_id=None, error_file_id=None)
        return json.dumps(batch).encode()

    late.seen = 0  # type: ignore[attr-defined]
    world.wire.faults.append(Fault(*BATCH, rewrite=late, times=None))
    assert world.apply().exit_code == ExitCode.DONE
    assert world.lines == 4, "no row is paid twice"


def lines_of(change: Callable[[list[bytes]], list[bytes]]) -> Callable[[bytes], bytes]:
    """Return a rewrite of a result file by its lines."""
    return lambda body: b"\n".join(change(body.split(b"\n")[:-1])) + b"\n"


def test_lines_that_are_missing_go_again(world: World) -> None:
    world.job("a", "b", "c")
    world.wire.faults.append(Fault(*CONTENT, rewrite=lines_of(lambda lines: lines[:1])))
    assert world.apply().exit_code == ExitCode.DONE
    assert (world.created, world.lines) == (2, 5)


def test_a_missing_line_is_capped(world: World) -> None:
    world.job("a", "b")
    world.wire.faults.append(
        Fault(*CONTENT, times=None, rewrite=lambda body: b"" if body.count(b"\n") == 1 else
              body.split(b"\n")[0] + b"\n")
    )  # fmt: skip
    assert world.apply().failed == 1
    reasons = [item.reason for item in world.items().values() if item.outcome == "failed"]
    assert "neither result file has a line" in (reasons[0] or "")


def test_odd_lines_do_not_spoil_their_batch(world: World) -> None:
    """Doubled, unknown, unreadable and blank lines, and CRLF, in one file."""

    def odd(lines: list[bytes]) -> list[bytes]:
        strange = json.dumps({"custom_id": "x", "response": None, "error": {"code": "c"}}).encode()
        return [lines[0] + b"\r", b"", strange, b"{broken", lines[0], b"\xff\xfe", *lines[1:]]

    world.job("a", "b")
    world.wire.faults.append(Fault(*CONTENT, rewrite=lines_of(odd)))
    assert world.apply().exit_code == ExitCode.DONE
    assert world.created == 1
    collected = next(e for e in world.hook.events if isinstance(e, BatchCollected))
    assert (collected.final, collected.unmatched) == (2, 4)


def test_of_doubled_lines_the_answer_counts(world: World) -> None:
    """Even when an error came first."""

    def doubled(lines: list[bytes]) -> list[bytes]:
        wrong = json.loads(lines[0])
        wrong["response"] = {"status_code": 500, "body": {"error": {"message": "Sorry."}}}
        return [json.dumps(wrong).encode(), *lines]

    world.job("a", "b")
    world.wire.faults.append(Fault(*CONTENT, rewrite=lines_of(doubled)))
    assert world.apply().exit_code == ExitCode.DONE
    assert world.created == 1


def test_usage_without_sense_does_not_stop_a_batch(world: World) -> None:
    def odd(lines: list[bytes]) -> list[bytes]:
        line = json.loads(lines[0])
        line["response"]["body"]["usage"] = {"prompt_tokens": "many", "completion_tokens": -1}
        return [json.dumps(line).encode(), *lines[1:]]

    world.job("a", "b")
    world.wire.faults.append(Fault(*CONTENT, rewrite=lines_of(odd)))
    assert world.apply().exit_code == ExitCode.DONE


def test_a_download_that_breaks_is_repeated(world: World) -> None:
    world.job("a")
    world.wire.faults.append(Fault(*CONTENT, status=503, body={}, times=2))
    assert world.apply().exit_code == ExitCode.DONE
    assert (world.created, world.wire.count(*CONTENT)) == (1, 3)


def test_a_status_nobody_knows_is_looked_at_again(world: World) -> None:
    world.job("a")
    world.wire.faults.append(Fault(*BATCH, rewrite=rewriting_json(status="paused"), times=3))
    assert world.apply().exit_code == ExitCode.DONE
    assert world.created == 1


def test_a_full_queue_holds_a_lane_and_goes_on(make_world: MakeWorld) -> None:
    """Batches of one row each, and room for one at a time."""
    world = make_world(enqueued_token_limit=12)
    limits = world.settings.providers["openai"].limits.model_copy(update={"max_requests": 1})
    openai = world.settings.providers["openai"].model_copy(update={"limits": limits})
    world.settings = world.settings.model_copy(update={"providers": {"openai": openai}})
    world.job("a", "b")
    assert world.apply().exit_code == ExitCode.DONE
    statuses = [batch["status"] for batch in world.remote()]
    assert statuses.count("completed") == 2
    assert statuses.count("failed") >= 1
    assert world.lines == 2


def test_bad_lines_of_a_batch_are_final_and_the_rest_goes_again(world: World) -> None:
    """The whole batch fails validation, at no cost."""
    world.job("a", "b", "c")
    errors = [
        {"code": "invalid_request", "line": 2, "message": "Bad row.", "param": "body.messages"}
    ]
    world.wire.faults.append(
        Fault(
            *BATCH,
            rewrite=rewriting_json(
                status="failed", errors={"object": "list", "data": errors}, request_counts=None
            ),
        )
    )
    assert world.apply().exit_code == ExitCode.FAILED_ITEMS
    assert world.outcomes() == {"a": "succeeded", "b": "failed", "c": "succeeded"}
    assert world.items()["b"].reason == "invalid_request: Bad row."


def test_a_batch_refused_as_a_whole_stops_with_a_sentence(world: World) -> None:
    """Its rows wait for the next apply."""
    world.job("a", "b")
    errors = [{"code": "billing_hard_limit_reached", "line": None, "message": "Pay first."}]
    failed = rewriting_json(status="failed", errors={"data": errors}, request_counts=None)
    world.wire.faults.append(Fault(*BATCH, rewrite=failed))
    with pytest.raises(ProviderError, match="Pay first"):
        world.apply()
    assert world.apply().exit_code == ExitCode.DONE


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_stops_with_a_sentence_and_nothing_is_lost(world: World, status: int) -> None:
    world.job("a")
    world.wire.faults.append(Fault(*CREATE, status=status, body=failure("Incorrect API key.")))
    with pytest.raises(ProviderError, match="refused the key"):
        world.apply()
    assert world.created == 0
    assert world.apply().exit_code == ExitCode.DONE
    assert world.created == 1


def test_a_look_that_fails_is_repeated(world: World) -> None:
    world.job("a")
    world.wire.faults.append(Fault(*BATCH, status=500, body={}, times=4))
    assert world.apply().exit_code == ExitCode.DONE
    assert world.created == 1


def test_a_host_that_does_not_answer_stops_with_a_sentence(world: World) -> None:
    """After some tries, of which people hear; and the state goes on from there."""
    world.job("a")
    world.wire.faults.append(Fault(*UPLOAD, status=502, body=b"<html>", times=5))
    began = world.clock()
    with pytest.raises(ProviderError, match="cannot be reached") as raised:
        world.apply()
    assert "\n" not in str(raised.value)
    assert 30 < world.clock() - began < 120
    assert world.apply().exit_code == ExitCode.DONE
    assert world.created == 1


def test_a_host_that_comes_late_is_waited_for(world: World) -> None:
    """What goes wrong with the first calls of a run is no worse than with later ones."""
    world.job("a")
    world.wire.faults.append(Fault(*UPLOAD, status=503, body=failure("Overloaded"), times=4))
    assert world.apply().exit_code == ExitCode.DONE
    assert world.created == 1


def test_detach_sends_and_returns_and_the_next_apply_collects(world: World) -> None:
    world.job("a", "b")
    result = world.apply(detach=True)
    assert (result.exit_code, world.created) == (ExitCode.IN_PROGRESS, 1)
    assert world.wire.count(*BATCH) == 0, "it does not wait"
    assert counts(world) == {Kind.CONTINUE: 2}
    assert world.apply().exit_code == ExitCode.DONE
    assert world.created == 1


def test_rows_beyond_a_batch_s_limit_make_further_batches(world: World) -> None:
    limits = world.settings.providers["openai"].limits.model_copy(update={"max_requests": 3})
    openai = world.settings.providers["openai"].model_copy(update={"limits": limits})
    world.settings = world.settings.model_copy(update={"providers": {"openai": openai}})
    keys = [str(n) for n in range(8)]
    world.job(*keys)
    assert world.plan().batches == 3
    assert world.apply().exit_code == ExitCode.DONE
    assert sorted(b["request_counts"]["total"] for b in world.remote()) == [2, 3, 3]
    assert world.texts() == {key: f"SAY {key}" for key in keys}


def test_input_files_are_deleted_once_their_batch_is_collected(world: World) -> None:
    world.job("a")
    world.apply()
    assert world.wire.count("DELETE", "/files/.*") == 1


def test_a_model_error_is_not_a_crash(world: World) -> None:
    """Whatever a model's server raises is an error line."""

    def model(body: dict[str, Any]) -> str:
        raise HTTPFailure(404, "The model 'x' does not exist", code="model_not_found")

    world.model = model
    world.job("a")
    assert world.apply().failed == 1
