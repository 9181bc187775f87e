"""Full queues, bounds on prompt tokens, files that are too large: everything is sent in the end."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send
from worlds import Fault, World, failure

from batchspec.config import Limits
from batchspec.errors import ExitCode, SpecError
from batchspec.state.events import BatchAbsent, BatchIntended, BatchRejected
from batchspec.state.tokens import prompt_tokens

MakeWorld = Callable[..., World]
LONG = "'say {id} ' + 'word ' * 80"
"""About 100 prompt tokens."""


def limit(world: World, **limits: Any) -> None:
    """Set limits of the provider."""
    openai = world.settings.providers["openai"]
    changed = openai.model_copy(update={"limits": Limits(**limits)})
    world.settings = world.settings.model_copy(update={"providers": {"openai": changed}})


def most_at_once(world: World) -> int:
    """Return the largest sum of estimated prompt tokens that was ever under way."""
    with world.project().reader() as reader:
        sizes = {b.id: prompt_tokens(b.members, b.bytes) for b in reader.batches()}
        most = now = 0
        for _, _, kind, payload in reader.journal():
            event = json.loads(payload)
            if kind == "BatchIntended":
                now += sizes[event["id"]]
            elif kind == "BatchRejected" or (kind == "BatchObserved" and event["ended"]):
                now -= sizes[event["id"]]
            most = max(most, now)
    return most


# --- max_enqueued_tokens


@pytest.mark.parametrize("name", ["gpt-5-mini", "*"])
def test_failure_17_no_more_tokens_are_under_way_than_the_queue_takes(
    make_world: MakeWorld, name: str
) -> None:
    """By estimate, so that nothing is ever refused."""
    world = make_world(enqueued_token_limit={"gpt-5-mini": 1000})
    limit(world, max_enqueued_tokens={name: 600}, max_requests=2)
    world.job(*(f"row {n}" for n in range(20)), prompt=LONG)
    assert world.apply().exit_code == ExitCode.DONE
    assert {batch["status"] for batch in world.remote()} == {"completed"}
    assert world.lines == 20
    assert 400 < most_at_once(world) <= 600


def test_a_small_job_is_not_starved_by_a_large_one(make_world: MakeWorld) -> None:
    world = make_world()
    limit(world, max_enqueued_tokens={"gpt-5-mini": 1000})
    world.job(*(f"row {n}" for n in range(60)), prompt=LONG, name="large")
    world.job(*(f"line {n}" for n in range(3)), prompt=LONG, name="small")
    world.apply()
    with world.project().reader() as reader:
        first, *others = reader.batches()
    assert first.jobs["small.j"] == 3
    assert first.jobs["large.j"] > 3
    assert all(set(batch.jobs) == {"large.j"} for batch in others)
    assert len(others) < 12, "each as full as the cap allows"


def test_two_large_jobs_share_a_queue_equally(make_world: MakeWorld) -> None:
    world = make_world()
    limit(world, max_enqueued_tokens={"gpt-5-mini": 1000})
    for name in ("one", "two"):
        world.job(*(f"{name} {n}" for n in range(20)), prompt=LONG, name=name)
    world.apply()
    with world.project().reader() as reader:
        first, *_ = reader.batches()
    assert abs(first.jobs["one.j"] - first.jobs["two.j"]) <= 1


def test_a_larger_cap_is_in_force_at_once(make_world: MakeWorld) -> None:
    world = make_world()
    limit(world, max_enqueued_tokens={"gpt-5-mini": 600})
    world.job(*(f"row {n}" for n in range(20)), prompt=LONG)
    world.apply(detach=True)
    limit(world, max_enqueued_tokens={"gpt-5-mini": 60_000})
    world.apply(detach=True)
    assert sum(e.members for e in world.hook.events if isinstance(e, BatchIntended)) == 20


@pytest.mark.parametrize(("cap", "fits"), [(130, True), (30, False)])
def test_a_row_that_exceeds_the_cap_alone_is_an_error_of_the_plan(
    world: World, cap: int, fits: bool
) -> None:
    """Of the row, with both numbers, before anything is sent; only where it would be sent."""
    limit(world, max_enqueued_tokens={"gpt-5-mini": cap})
    world.job("a", "b", prompt="lambda row: 'word ' * (80 if row['id'] == 'b' else 1)")
    if fits:
        assert world.apply().exit_code == ExitCode.DONE
        limit(world, max_enqueued_tokens={"gpt-5-mini": 12})
        assert not world.plan().can_apply
        return
    with pytest.raises(SpecError) as raised:
        world.plan()
    (problem,) = raised.value.diagnostics
    assert "Row 'b' makes a request of about 117 prompt tokens" in problem.detail
    assert "max_enqueued_tokens of gpt-5-mini allows 30" in problem.detail
    assert world.created == 0


def test_rows_that_exceed_the_cap_are_summed_up(world: World) -> None:
    """One diagnostic for all of them, with the first as the example."""
    limit(world, max_enqueued_tokens={"gpt-5-mini": 30})
    world.job("a", "b", "c", prompt="lambda row: 'word ' * (1 if row['id'] == 'a' else 80)")
    with pytest.raises(SpecError) as raised:
        world.plan()
    (problem,) = raised.value.diagnostics
    assert "Row 'b' makes" in problem.detail
    assert problem.detail.endswith("So does 1 more row.")


# --- a queue that is full


def test_failure_17_a_refused_batch_waits_until_one_ends(make_world: MakeWorld) -> None:
    """Nothing is configured: the provider says that its queue is full."""
    world = make_world(enqueued_token_limit={"gpt-5-mini": 700})
    limit(world, max_requests=5)
    world.job(*(f"row {n}" for n in range(40)), prompt=LONG)
    assert world.apply().exit_code == ExitCode.DONE
    assert world.lines == 40
    refused = [e for e in world.hook.events if isinstance(e, BatchRejected)]
    assert {e.hold for e in refused} == {"full"}
    after = world.hook.events[world.hook.events.index(refused[-1]) :]
    assert len(refused) < 20, "what waits is not uploaded in vain again and again"
    assert after


def test_the_hold_is_told(make_world: MakeWorld) -> None:
    world = make_world(enqueued_token_limit={"gpt-5-mini": 700})
    limit(world, max_requests=5)
    world.job(*(f"row {n}" for n in range(10)), prompt=LONG)
    told: list[tuple[str, ...]] = []

    def look(event: Any) -> None:
        if isinstance(event, BatchRejected):
            told.append(world.project().status().waiting)

    world.hook.react = look
    world.apply()
    assert any("wait until a batch of it ends" in text for text in told[0])


def test_what_the_cap_holds_back_is_told(world: World) -> None:
    limit(world, max_enqueued_tokens={"gpt-5-mini": 600})
    world.job(*(f"row {n}" for n in range(20)), prompt=LONG)
    world.apply(detach=True)
    (waiting,) = [text for text in world.project().status().waiting if "requests of" in text]
    assert "wait for room: about" in waiting
    assert "of 600 prompt tokens are under way (max_enqueued_tokens)" in waiting


def test_what_waits_for_more_is_told(world: World) -> None:
    limit(world, min_requests=3)
    world.job(*"abc")
    world.apply(detach=True)
    world.job(*"abcd")
    world.apply(detach=True)
    told = world.project().status().waiting
    assert "1 requests of openai:gpt-5-mini wait for more, up to 3 (min_requests)" in told


def test_failure_37_a_create_that_is_throttled_keeps_its_batch_queued(world: World) -> None:
    """Though no quota is reached: it is not created, and created later, with the same file."""
    world.job("a", "b")
    words = failure("Resource exhausted. Please try again later.", "RESOURCE_EXHAUSTED")
    world.wire.faults.append(Fault("POST", "/batches", status=429, body=words, times=3))
    assert world.apply().exit_code == ExitCode.DONE
    assert (world.created, world.wire.count("POST", "/files")) == (1, 1)
    waits = [e.next_at - e.at for e in world.hook.events if isinstance(e, BatchAbsent)]
    assert waits == sorted(waits)
    assert len(waits) == 3


def test_failure_18_a_refused_batch_is_not_counted_as_under_way(make_world: MakeWorld) -> None:
    """The queue holds 5 rows, the cap says 10: those that were refused hold no place of ours."""
    world = make_world(enqueued_token_limit={"gpt-5-mini": 700})
    limit(world, max_requests=5, max_enqueued_tokens={"gpt-5-mini": 1400})
    world.job(*(f"row {n}" for n in range(20)), prompt=LONG)
    assert world.apply().exit_code == ExitCode.DONE
    assert world.lines == 20


# --- a gateway that takes small files only


class Gateway:
    """An ASGI application before another one that answers 413 to large uploads."""

    def __init__(self, app: Any, largest: int, path: str = "/v1/files") -> None:
        self.app, self.largest, self.path = app, largest, path
        self.sizes: list[int] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (scope["method"], scope["path"]) != ("POST", "/v1/files"):
            await self.app(scope, receive, send)
            return
        parts: list[bytes] = []
        while True:
            message = await receive()
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                break
        body = b"".join(parts)
        self.sizes.append(len(body))
        if len(body) > self.largest:
            page = b"<html><head><title>413 Request Entity Too Large</title></head></html>"
            headers = [(b"content-type", b"text/html"), (b"x-should-retry", b"false")]
            await send({"type": "http.response.start", "status": 413, "headers": headers})
            await send({"type": "http.response.body", "body": page})
            return
        whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Message:
            return whole.pop() if whole else await receive()

        await self.app(scope, again, send)


def test_failure_20_a_file_that_is_too_large_is_halved_until_it_passes(world: World) -> None:
    gateway = world.wire.app = Gateway(world.wire.app, largest=4000)
    world.job(*(f"row {n}" for n in range(40)), prompt=LONG)
    assert world.apply().exit_code == ExitCode.DONE
    assert world.lines == 40
    refused = [size for size in gateway.sizes if size > gateway.largest]
    assert 3 <= len(refused) <= 1 + 2 + 4, "23, 11 and 5 thousand bytes, some at the same time"
    assert len([w for w in world.hook.warnings if "refuses an input file of" in w]) == 3


def test_failure_20_the_limit_is_remembered_and_planned_with(world: World) -> None:
    gateway = world.wire.app = Gateway(world.wire.app, largest=4000)
    world.job(*(f"row {n}" for n in range(40)), prompt=LONG)
    world.apply()
    gateway.sizes.clear()
    world.job(*(f"line {n}" for n in range(40)), prompt=LONG)
    planned = world.plan().batches
    world.apply()
    assert max(gateway.sizes) <= gateway.largest
    assert planned > 3
    assert abs(len(gateway.sizes) - planned) <= 1, "lines are not cut"


def test_failure_20_one_request_that_is_too_large_fails_alone(world: World) -> None:
    world.wire.app = Gateway(world.wire.app, largest=4000)
    long = "lambda row: 'say ' + row['id'] + ' word' * (2000 if row['id'] == 'b' else 20)"
    world.job("a", "b", "c", prompt=long)
    assert world.apply().exit_code == ExitCode.FAILED_ITEMS
    assert world.outcomes() == {"a": "succeeded", "b": "failed", "c": "succeeded"}
    assert "413" in (world.items()["b"].reason or "")


def test_failure_20_a_create_that_is_refused_for_its_size_is_halved(world: World) -> None:
    """Some gateways look into the file only then; nothing is left behind there."""
    world.job(*"abcd")
    world.wire.faults.append(
        Fault("POST", "/batches", status=413, body=failure("Request Entity Too Large"))
    )
    assert world.apply().exit_code == ExitCode.DONE
    assert (world.created, world.lines) == (2, 4)
    assert world.wire.count("DELETE", "/files/.*") == 3


def test_a_configured_size_is_kept(world: World) -> None:
    """Then nothing is refused."""
    gateway = world.wire.app = Gateway(world.wire.app, largest=4000)
    limit(world, max_bytes=3500)
    world.job(*(f"row {n}" for n in range(40)), prompt=LONG)
    assert world.apply().exit_code == ExitCode.DONE
    assert max(gateway.sizes) <= gateway.largest
