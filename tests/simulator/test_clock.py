import math
from collections.abc import Callable
from pathlib import Path
from threading import Condition, Event, Thread
from typing import Any

import anyio
import pytest
from anyio import to_thread

from batchspec.simulator import Pace, SimulatedClock, create_app
from batchspec.simulator.clock import LATEST, FollowedClock

from .conftest import START, Simulation, request_line

pytestmark = pytest.mark.anyio
DAY = 86_400.0


class RealTime:
    """Stands in for the machine's clock."""

    def __init__(self, now: float = START) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def test_it_runs_at_its_speed() -> None:
    real = RealTime()
    clock = SimulatedClock(100, speed=1_000, real=real)
    real.now += 2
    assert clock() == clock.now() == 2_100
    clock.speed = 0.5
    real.now += 10
    assert clock() == 2_105
    clock.speed = 0
    real.now += 10
    assert clock() == 2_105
    clock.advance(5)
    assert clock() == 2_110
    clock.set(3_000)
    assert clock() == 3_000


def test_by_default_it_is_the_real_time() -> None:
    real = RealTime()
    clock = SimulatedClock(real=real)
    real.now += 1.5
    assert clock() == START + 1.5


def test_it_goes_on_when_the_machine_is_set_back() -> None:
    real = RealTime()
    clock = SimulatedClock(real=real)
    real.now += 100
    assert clock() == START + 100
    real.now -= 3_600
    assert clock() == START + 100
    real.now += 5
    assert clock() == START + 105


def accelerate(clock: SimulatedClock, speed: float) -> None:
    clock.speed = speed


@pytest.mark.parametrize("move", [SimulatedClock.advance, SimulatedClock.set, accelerate])
@pytest.mark.parametrize("value", [-1, math.nan, math.inf, -math.inf])
def test_what_no_clock_does_is_refused(
    move: Callable[[SimulatedClock, float], None], value: float
) -> None:
    clock = SimulatedClock(START, speed=0)
    with pytest.raises(ValueError, match=r"advances|moment|backwards|speed"):
        move(clock, value)
    assert (clock(), clock.speed) == (START, 0)


def test_time_runs_neither_backwards_nor_beyond_all_dates() -> None:
    clock = SimulatedClock(START, speed=0)
    for late in (lambda: clock.advance(LATEST), lambda: clock.set(LATEST + 1)):
        with pytest.raises(ValueError, match="9999"):
            late()
    with pytest.raises(ValueError, match="backwards"):
        clock.set(START - 1)
    assert clock() == START


def test_it_ends_with_the_last_date_that_can_be_written() -> None:
    real = RealTime()
    clock = SimulatedClock(speed=1e12, real=real)
    real.now += DAY
    assert clock() == LATEST
    with pytest.raises(ValueError, match="9999"):
        SimulatedClock(LATEST + 1)


# --- waiting in threads


@pytest.mark.parametrize("move", ["advance", "set", "speed"])
def test_a_move_wakes_who_waits(move: str) -> None:
    clock, condition = SimulatedClock(START, speed=0), Condition()
    waits, woken = Event(), list[float]()

    def wait() -> None:
        with condition:
            while clock() < START + DAY:
                waits.set()
                clock.wait_until(condition, START + DAY)
            woken.append(clock())

    thread = Thread(target=wait, daemon=True)
    thread.start()
    waits.wait()
    match move:
        case "advance":
            clock.advance(DAY)
        case "set":
            clock.set(START + DAY)
        case _:
            clock.speed = 1e9
    thread.join(30)
    assert woken
    assert woken[0] >= START + DAY


class _Waited(Condition):
    """Counts who waits for it."""

    waits = 0

    def wait(self, timeout: float | None = None) -> bool:
        self.waits += 1
        return timeout is None


@pytest.mark.parametrize(
    "clock", [SimulatedClock(START, speed=0), FollowedClock(RealTime())], ids=["own", "followed"]
)
def test_nobody_waits_for_the_past(clock: SimulatedClock | FollowedClock) -> None:
    condition = _Waited()
    with condition:
        clock.wait_until(condition, START)
        clock.wait_until(condition, -math.inf)
        assert condition.waits == 0
        clock.wait_until(condition, START + 1)
    assert condition.waits == 1


def test_somebody_elses_clock_is_looked_at_again_and_again() -> None:
    real, condition = RealTime(), Condition()
    clock = FollowedClock(real)
    looks = 0
    with condition:
        while clock() < START + DAY:
            clock.wait_until(condition, START + DAY)
            looks += 1
            if looks == 2:
                real.now += DAY
    assert looks == 2


# --- sleeping in tasks


async def test_a_clock_that_stands_still_moves_for_who_sleeps() -> None:
    clock = SimulatedClock(START, speed=0)
    await clock.sleep(DAY)
    assert clock() == START + DAY
    await clock.sleep(-1)
    await clock.sleep_until(START)
    assert clock() == START + DAY


async def test_sleepers_wake_in_the_order_of_their_moments() -> None:
    clock = SimulatedClock(START, speed=0)
    woken: list[tuple[float, float]] = []

    async def sleep(seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((seconds, clock() - START))
        if seconds == 2:
            await clock.sleep(1)
            woken.append((2 + 1, clock() - START))

    async with anyio.create_task_group() as group:
        for seconds in (30, 2, 7, 30):
            group.start_soon(sleep, seconds)
    assert woken == [(2, 2), (3, 3), (7, 7), (30, 30), (30, 30)]


async def test_a_cancelled_sleeper_holds_up_nobody() -> None:
    clock = SimulatedClock(START, speed=0)
    async with anyio.create_task_group() as group:
        group.start_soon(clock.sleep, 10)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await clock.sleep(5)
    assert clock() == START + 10


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_a_move_wakes_who_sleeps_in_whatever_thread_it_is_made(elsewhere: bool) -> None:
    clock = SimulatedClock(START, speed=1e-9)
    async with anyio.create_task_group() as group:
        group.start_soon(clock.sleep, DAY)
        await anyio.wait_all_tasks_blocked()
        if elsewhere:
            await to_thread.run_sync(clock.advance, DAY)
        else:
            clock.advance(DAY)
    assert clock() >= START + DAY


async def test_a_running_clock_is_slept_through() -> None:
    clock = SimulatedClock(START, speed=1e6)
    await clock.sleep(DAY / 24)
    assert clock() >= START + DAY / 24


async def test_who_follows_a_clock_sleeps_until_it_has_moved() -> None:
    moments = iter([START, START, START + DAY])
    await FollowedClock(lambda: next(moments)).sleep(DAY)
    assert next(moments, None) is None


# --- over a directory


def position(tmp_path: Path, clock: SimulatedClock | None, moves: Callable[[Any], None]) -> float:
    """Run an application, and say what its clock showed at the beginning."""
    app = create_app(tmp_path, clock=clock)
    engine = app.state.engine
    began: float = engine.clock()
    moves(engine.clock)
    engine.close()
    return began


def test_time_goes_on_over_a_directory(tmp_path: Path) -> None:
    real = RealTime()
    year_2020 = 1_577_836_800.0
    clock = SimulatedClock(year_2020, speed=0, real=real)
    assert position(tmp_path, clock, lambda clock: clock.advance(DAY)) == year_2020
    # The same command again: it stands where it stood.
    again = SimulatedClock(year_2020, speed=0, real=real)
    assert position(tmp_path, again, lambda _: None) == year_2020 + DAY
    # Without a moment it goes on from there, and the pause counts as it was.
    real.now += 60
    running = SimulatedClock(speed=1_000, real=real)
    assert position(tmp_path, running, lambda _: None) == year_2020 + DAY + 60
    later = SimulatedClock(year_2020 + 9 * DAY, real=real)
    assert position(tmp_path, later, lambda _: None) == year_2020 + 9 * DAY


def test_a_clock_nobody_moved_is_the_real_time_again(tmp_path: Path) -> None:
    real = RealTime()
    position(tmp_path, SimulatedClock(real=real), lambda _: None)
    real.now += 7 * DAY
    assert position(tmp_path, SimulatedClock(real=real), lambda _: None) == START + 7 * DAY


async def test_a_killed_server_remembers_the_time_of_all_it_wrote(
    start: Callable[..., Simulation],
) -> None:
    real = RealTime()
    simulation = start(clock=SimulatedClock(START, speed=1_000, real=real))
    real.now += 10
    batch = await simulation.submit(request_line("a"))
    # What a process that is killed leaves on the disk.
    killed = simulation.engine.database._connection.execute("SELECT position FROM clock").fetchone()
    assert killed == (START + 10_000,)
    again = start(clock=SimulatedClock(START, speed=0, real=real))
    assert again.engine.clock() >= batch.created_at


async def test_an_advance_finishes_a_batch_in_the_background(
    start: Callable[..., Simulation],
) -> None:
    """Nobody asks the server for anything meanwhile: the clock wakes its thread."""
    pace = Pace(validating=600, in_progress=80_000, finalizing=60)
    simulation = start(background=True, pace=pace)
    batch = await simulation.submit(*(request_line(f"r{n}") for n in range(20)))
    simulation.clock.advance(DAY)
    # It ends when nothing is open, perhaps already.
    if (thread := simulation.engine._thread) is not None:
        await to_thread.run_sync(thread.join)
    record = simulation.engine.database.batch(batch.id)
    assert record is not None
    assert (record.status, record.completed_at) == ("completed", START + 80_660)
