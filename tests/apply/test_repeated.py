"""One POST that makes two batches: something between us and the provider sends it twice."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send
from worlds import Fault, World, failure

from batchspec.errors import ExitCode
from batchspec.simulator import Pace
from batchspec.state.events import BatchDoubled

LIST, CANCEL = ("GET", "/batches"), ("POST", "/batches/.*/cancel")
SLOW = Pace(validating=5, in_progress=200, finalizing=2, cancelling=5)
MakeWorld = Callable[..., World]


class Repeating:
    """A gateway that sends each create twice and hands on the last answer."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (scope["method"], scope["path"]) == ("POST", "/v1/batches"):
            whole = b""
            while True:
                message = await receive()
                whole += message.get("body", b"")
                if not message.get("more_body"):
                    break

            async def again() -> Message:
                return {"type": "http.request", "body": whole, "more_body": False}

            async def drop(message: Message) -> None:
                pass

            await self._app(scope, again, drop)
            receive = again
        await self._app(scope, receive, send)


def doubles(world: World) -> list[str]:
    return [event.remote_id for event in world.hook.events if isinstance(event, BatchDoubled)]


def test_failure_03_a_batch_that_a_repeated_post_made_is_cancelled_and_told(
    make_world: MakeWorld,
) -> None:
    world = make_world(pace=SLOW)
    world.wire.app = Repeating(world.app)
    world.job("a", "b")
    assert world.apply().exit_code == ExitCode.DONE
    kept, double = world.remote()
    assert doubles(world) == [double["id"]]
    assert any("doubles" in warning for warning in world.hook.warnings)
    assert (kept["status"], double["status"]) == ("completed", "cancelled")
    assert world.wire.count(*CANCEL) == 1
    assert world.lines == 2, "nothing is paid twice"
    assert world.wire.count(*LIST) == 1
    assert world.apply().exit_code == ExitCode.DONE
    assert len(doubles(world)) == 1


def test_a_double_that_ended_first_is_told(world: World) -> None:
    """It was left over night: what it cost cannot be helped, but somebody hears of it."""
    world.wire.app = Repeating(world.app)
    world.job("a")
    world.apply(detach=True)
    world.clock.advance(86_400)
    assert world.apply().exit_code == ExitCode.DONE
    assert len(doubles(world)) == 1
    assert world.texts() == {"a": "SAY A"}
    with world.open() as project:
        assert project.state.gc().results == 1
    (kept,) = [b for b in world.remote() if b["id"] not in doubles(world)]
    assert world.wire.count("DELETE", f"/files/{kept['output_file_id']}") == 1


@pytest.mark.parametrize("status", [401, 404, 405, 500, None], ids=str)
def test_a_provider_without_a_list_is_no_reason_to_stop(world: World, status: int | None) -> None:
    world.job("a")
    world.wire.faults.append(Fault(*LIST, status=status, body=failure("No."), times=None))
    assert world.apply().exit_code == ExitCode.DONE
    assert world.hook.warnings == []
    assert (world.created, world.texts()) == (1, {"a": "SAY A"})


def test_a_batch_costs_one_list_however_often_it_is_looked_at(make_world: MakeWorld) -> None:
    world = make_world(pace=SLOW)
    world.job("a")
    world.apply()
    assert world.wire.count("GET", "/batches/[^/]*") > 2
    assert world.wire.count(*LIST) == 1


def test_a_long_list_is_not_read_to_its_end(world: World) -> None:
    """The newest page is enough, and the account may have thousands of batches."""
    world.job("a")
    world.wire.faults.append(Fault(*LIST, rewrite=hundred_others, times=None))
    assert world.apply().exit_code == ExitCode.DONE
    assert world.wire.count(*LIST) == 1
    assert doubles(world) == []


def hundred_others(body: bytes) -> bytes:
    page = json.loads(body)
    (own,) = page["data"]
    others = [{**own, "id": f"batch_{n}", "metadata": {"batchspec": "x"}} for n in range(100)]
    return json.dumps({**page, "data": others, "has_more": True}).encode()
