"""Providers that answer late, in another order, or nonsense: nothing paid twice, nothing stuck."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from worlds import START, Fault, World, failure, rewriting_json

from batchspec.errors import ExitCode, ProviderError
from batchspec.simulator import Pace
from batchspec.state.events import BatchRejected, BatchSubmitted

CREATE, LIST, BATCH = ("POST", "/batches"), ("GET", "/batches"), ("GET", "/batches/batch_.*")
UPLOAD, CONTENT = ("POST", "/files"), ("GET", "/files/.*/content")
CANCEL = ("POST", "/batches/.*/cancel")
SLOW = Pace(validating=100, in_progress=500, finalizing=5, cancelling=5)
MakeWorld = Callable[..., World]


def listing(change: Callable[[list[dict[str, Any]]], object], times: int | None = None) -> Fault:
    """Change the entries of the list of batches."""

    def rewrite(body: bytes) -> bytes:
        page = json.loads(body)
        change(page["data"])
        return json.dumps({**page, "has_more": False}).encode()

    return Fault(*LIST, rewrite=rewrite, times=times)


def answering(**changes: Any) -> Fault:
    """Change the response of a line."""

    def rewrite(body: bytes) -> bytes:
        line = json.loads(body)
        line["response"].update(changes)
        return json.dumps(line).encode() + b"\n"

    return Fault(*CONTENT, rewrite=rewrite)


# --- doubles


def test_a_double_found_after_a_second_create_gives_way_to_the_oldest(world: World) -> None:
    """The list was silent for longer than the grace period."""
    world.server.pace = SLOW
    world.job("a")
    world.wire.faults += [Fault(*CREATE, after=True), listing(list.clear, times=4)]
    assert world.apply().exit_code == ExitCode.DONE
    young, old = world.remote()
    assert (old["status"], young["status"]) == ("completed", "cancelled")
    (submitted,) = [e for e in world.hook.events if isinstance(e, BatchSubmitted)]
    assert (submitted.remote_id, submitted.adopted) == (old["id"], True)
    assert [f"Batch {young['id']} doubles {old['id']}" in w for w in world.hook.warnings] == [True]
    assert world.lines == 1


def test_a_double_that_the_list_shows_later_still_is_cancelled(world: World) -> None:
    world.server.pace = SLOW
    world.job("a")
    world.wire.faults += [Fault(*CREATE, after=True), listing(list.clear, times=6)]
    assert world.apply().exit_code == ExitCode.DONE
    young, old = world.remote()
    assert (old["status"], young["status"]) == ("cancelled", "completed")
    assert (world.lines, len(world.hook.warnings), world.wire.count(*CANCEL)) == (1, 1, 1)


def test_a_look_for_doubles_that_fails_costs_nothing(world: World) -> None:
    world.job("a")
    world.wire.faults += [
        Fault(*CREATE, status=429, body=failure("Slow down.")),
        Fault(*LIST, status=503, body={}, times=None),
    ]
    assert world.apply().exit_code == ExitCode.DONE
    assert (world.created, world.texts()) == (1, {"a": "SAY A"})
    assert "could not be looked for" in world.hook.warnings[0]


def test_a_first_create_looks_for_no_doubles(world: World) -> None:
    """Only the first look at the batch does, once."""
    world.job("a")
    world.apply(detach=True)
    assert world.wire.count(*LIST) == 0


def test_a_lost_batch_is_found_in_a_list_that_begins_with_the_oldest(world: World) -> None:
    world.job("a")
    world.apply()
    world.clock.advance(50_000)
    world.job("a", "b")
    world.wire.faults += [Fault(*CREATE, after=True), listing(list.reverse)]
    world.apply()
    assert (world.created, world.lines) == (2, 2)


def test_a_lost_batch_is_found_though_our_clock_runs_ahead(world: World) -> None:
    def behind(batches: list[dict[str, Any]]) -> None:
        for batch in batches:
            batch["created_at"] -= 3600

    world.job("a")
    world.wire.faults += [Fault(*CREATE, after=True), listing(behind)]
    world.apply()
    assert (world.created, world.lines) == (1, 1)


@pytest.mark.parametrize("changes", [{"metadata": "x"}, {"created_at": "yesterday"}])
def test_a_lost_batch_is_found_in_a_list_of_nonsense(world: World, changes: dict[str, Any]) -> None:
    def spoil(batches: list[Any]) -> None:
        for batch in batches:
            batch.update(changes)
        batches.insert(0, {"id": None, "metadata": ["a"]})

    world.job("a")
    world.wire.faults += [Fault(*CREATE, after=True), listing(spoil)]
    world.apply()
    assert (world.created, world.lines) == (1, 1)


# --- refusals


def test_a_failed_batch_with_results_is_read(world: World) -> None:
    def fail(body: bytes) -> bytes:
        batch = json.loads(body)
        if batch["status"] == "completed":
            batch["status"] = "failed"
            batch["errors"] = {"data": [{"code": "server_error", "message": "Internal."}]}
        return json.dumps(batch).encode()

    world.job("a", "b")
    world.wire.faults.append(Fault(*BATCH, rewrite=fail, times=None))
    assert world.apply().exit_code == ExitCode.DONE
    assert (world.created, world.lines) == (1, 2)


def test_one_request_that_no_queue_can_take_stops_the_run(make_world: MakeWorld) -> None:
    world = make_world(enqueued_token_limit=2)
    world.job("a")
    with pytest.raises(ProviderError, match="Enqueued token limit"):
        world.apply()
    assert world.created == 6
    assert world.clock.now() - START < 3600
    assert world.outcomes() == {"a": None}


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_rows_whose_upload_is_refused_are_put_together_anew(world: World, status: int) -> None:
    """Otherwise smaller batches, set because of the refusal, would not take effect."""
    world.job(*"abcdef")
    world.wire.faults.append(Fault(*UPLOAD, status=status, body=failure("Too large.")))
    with pytest.raises(ProviderError, match=r"Too large\."):
        world.apply()
    assert isinstance(world.hook.events[-1], BatchRejected)
    assert not list(world.state.glob("**/batchspec-*.jsonl"))
    provider = world.settings.providers["openai"]
    limits = provider.limits.model_copy(update={"max_requests": 2})
    world.settings = world.settings.model_copy(
        update={"providers": {"openai": provider.model_copy(update={"limits": limits})}}
    )
    assert world.apply().exit_code == ExitCode.DONE
    assert [batch["request_counts"]["total"] for batch in world.remote()] == [2, 2, 2]


def test_a_key_that_a_provider_repeats_is_not_kept(world: World) -> None:
    world.job("a")
    words = failure("Incorrect key sk-live-ABCDEF.")
    world.wire.faults.append(Fault(*UPLOAD, status=401, body=words))
    with pytest.raises(ProviderError, match="Incorrect key sk-…") as raised:
        world.apply()
    assert "ABCDEF" not in str(raised.value)
    files = [path for path in world.state.rglob("*") if path.is_file()]
    assert files
    assert not any(b"ABCDEF" in path.read_bytes() for path in files)


# --- answers


@pytest.mark.parametrize(
    "changes",
    [
        {"errors": "boom", "metadata": "x"},
        {"request_counts": {"total": 2**70, "completed": 0, "failed": 0}},
        {"request_counts": {"total": 1.5, "completed": "y"}},
        {"status": ["a"]},
        {"output_file_id": 7, "status": "in_progress"},
    ],
)
def test_a_batch_told_as_nonsense_is_looked_at_again(world: World, changes: dict[str, Any]) -> None:
    world.job("a", "b")
    world.wire.faults.append(Fault(*BATCH, rewrite=rewriting_json(**changes)))
    assert world.apply().exit_code == ExitCode.DONE
    assert (world.created, world.lines) == (1, 2)


def test_a_status_written_as_text_is_no_reason_to_pay_again(world: World) -> None:
    world.job("a")
    world.wire.faults.append(answering(status_code="200"))
    world.apply()
    assert (world.lines, world.texts()) == (1, {"a": "SAY A"})


def test_an_empty_reply_goes_back_as_an_empty_text(world: World) -> None:
    """Null is refused, and the item would be lost with it."""
    seen: list[Any] = []

    def model(body: dict[str, Any]) -> Any:
        seen.append(body["messages"])
        return {"n": 1} if len(seen) > 1 else {"role": "assistant", "content": None}

    world.model = model
    world.spec("""
        from pydantic import BaseModel

        class T(BaseModel):
            n: int

        j = Job(model="openai:gpt-5-mini", rows=rows.inline([{"id": "a"}]), prompt="do", output=T)
    """)
    assert world.apply().exit_code == ExitCode.DONE
    assert seen[1][1] == {"role": "assistant", "content": ""}
