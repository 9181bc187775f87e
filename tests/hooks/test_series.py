"""Many calls in few threads: each is told of once, and one that hangs costs its own time only."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest
from anyio.from_thread import BlockingPortal

from batchspec.apply.series import Call, Late, Series
from batchspec.apply.threads import Threads

Ended = dict[int, BaseException | None]


def run(
    functions: list[Callable[[], Any]], *, timeout: float = 20, most: int = 8
) -> tuple[Ended, list[int]]:
    """Run functions; returns what each raised, and those whose results wait for a loop."""
    ended, waiting = Ended(), list[int]()

    async def main() -> None:
        async with BlockingPortal() as portal:
            threads = Threads(portal)
            calls = (Call(number, function) for number, function in enumerate(functions))
            series = Series(
                threads,
                calls,
                lambda number, error: ended.update({number: error}),
                lambda number, result: (result.close(), waiting.append(number)),
                timeout,
            )
            with anyio.fail_after(20):
                await series.run(most)
            threads.close()

    anyio.run(main)
    return ended, waiting


def test_quick_calls_share_one_thread() -> None:
    names: list[str] = []
    ended, _ = run([lambda: names.append(threading.current_thread().name)] * 500)
    assert ended == dict.fromkeys(range(500))
    assert len(names) == 500


def test_one_that_waits_for_another_gets_it() -> None:
    met = threading.Barrier(3)
    ended, _ = run([met.wait] * 3)
    assert ended == dict.fromkeys(range(3))


def test_one_that_hangs_is_left_behind_and_the_rest_is_called() -> None:
    never = threading.Event()
    functions: list[Callable[[], Any]] = [lambda: None] * 30
    functions[3] = functions[17] = never.wait
    ended, _ = run(functions, timeout=0.05, most=2)
    assert sorted(ended) == list(range(30))
    late = [number for number, error in ended.items() if isinstance(error, Late)]
    assert sorted(late) == [3, 17]
    never.set()


def test_what_is_raised_is_told_of_its_own_call() -> None:
    def leave() -> None:
        raise SystemExit(3)

    async def later() -> None:
        pass

    ended, waiting = run([leave, later, lambda: None])
    assert isinstance(ended.pop(0), SystemExit)
    assert ended == {2: None}
    assert waiting == [1]


def test_what_goes_wrong_between_calls_is_not_swallowed() -> None:
    def calls() -> Iterator[Call]:
        yield Call(0, lambda: None)
        raise RuntimeError("ours")

    async def main() -> None:
        async with BlockingPortal() as portal:
            threads = Threads(portal)
            await Series(threads, calls(), lambda *_: None, lambda *_: None, 20).run(2)

    with pytest.raises(ExceptionGroup) as caught:
        anyio.run(main)
    assert caught.group_contains(RuntimeError, match="ours")
