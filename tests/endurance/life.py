"""A watcher's life: weeks in which specs and data change, things go wrong and processes die.

Everything is in one process, under a clock that jumps: the engine as it is, the official SDK, and
the embedded server. Each generation of specs has an engine of its own, as in a process of its own.
"""

import gc
import hashlib
import json
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

import anyio
from fuzz.desires import EchoModel
from fuzz.stroll import PARTS
from fuzz.troubles import TROUBLES, Killed, Reaper
from fuzz.walk import Walk
from starlette.types import Receive, Scope, Send

from batchspec.apply.loop import first_of
from batchspec.config import WatchSettings
from batchspec.errors import BatchspecError, SpecError
from batchspec.ids import RemoteId
from batchspec.plan.consent import Consent
from batchspec.project import Project
from batchspec.project.pending import Pending
from batchspec.project.planfiles import SavedPlan, read_rows
from batchspec.state.events import Event
from batchspec.state.records import BatchRecord, JobProgress
from batchspec.state.watching import ConditionChanged
from batchspec.testing.clock import VirtualClock
from batchspec.watch.engine import Engine
from endurance.disk import FullDisk

HOUR, DAY = 3600.0, 86_400.0
ALL = Consent(approve="all", max_cost=Decimal(10_000))
PRUNING = Consent(approve="all", max_cost=Decimal(10_000), prune=True)
TURNS = Consent()
_LOG = """
log = Job(model="openai:gpt-5-mini", rows=rows.jsonl("data/log.jsonl"), prompt="line {v}")
"""
_WAITS = 0.3
_STUCK = 60.0
"""Real seconds without a sign of progress after which an engine hangs."""
_WINDOW = 24
"""Lines of data that stay; older ones are gone."""
_FINAL = "SELECT COUNT(*) FROM conversations WHERE phase = 'final'"


class Diary:
    """Implements `ports.Hook` by counting, and passes moments of death."""

    def __init__(self, reaper: Reaper) -> None:
        self._reaper = reaper
        self.told: Counter[str] = Counter()
        self.last: list[str] = []

    def event(self, event: Event) -> None:
        self.told[type(event).__name__] += 1
        self._reaper.moment()

    def progress(self, jobs: Sequence[JobProgress], batches: Sequence[BatchRecord]) -> None:
        pass

    def warning(self, message: str) -> None:
        self.told["warning"] += 1
        self.last = [*self.last[-20:], message]


class Elsewhere(Reaper):
    """A provider whose disk is another one."""

    def __init__(self, app: Any, disk: FullDisk) -> None:
        super().__init__(app)
        self._disk = disk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._disk.lifted():
            await super().__call__(scope, receive, send)


class Elsewhen(VirtualClock):
    """A clock whose moves a provider notes on another disk."""

    disk: FullDisk

    def _tell(self) -> None:
        with self.disk.lifted():
            super()._tell()


class Memory(EchoModel):
    """Remembers when each request was answered first, and what was answered twice."""

    def __init__(self) -> None:
        super().__init__()
        self.now: Callable[[], float] = lambda: 0.0
        self.first: dict[str, float] = {}
        self.again: list[float] = []
        """When those were answered first that were answered a second time."""

    def __call__(self, body: dict[str, Any]) -> Any:
        name = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        if name in self.first:
            self.again.append(self.first[name])
        self.first.setdefault(name, self.now())
        return super().__call__(body)


@dataclass(frozen=True, slots=True)
class Day:
    """What was counted at the end of a day."""

    handles: int
    memory: int
    """Bytes that are resident."""
    events: int
    warnings: int
    journal: int
    final: int
    artifacts: int
    """Bytes of bodies on disk."""
    files_there: int
    pending: int


class Life(Walk):
    """One world, its watcher, and what happens around them.

    Args:
        seed: Of everything that happens.

    Attributes:
        consent: Of the generation that runs.
        days: What was counted, a day each.
        happened: What people and the world did so far, the last things of it.
    """

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.random = Random(seed)
        self.consent = TURNS
        self.days: list[Day] = []
        self.happened: list[str] = []
        self.disk = FullDisk()
        self.world.clock.__class__ = Elsewhen
        self.world.clock.disk = self.disk  # type: ignore[attr-defined]
        self.echo = self.world.model = Memory()
        self.echo.now = self.world.clock.now
        self.world.wire = self.world.reaper = Elsewhere(self.world.app, self.disk)
        self.diary = Diary(self.world.reaper)
        watching = WatchSettings(gc_every=DAY, keep=2 * DAY)
        self.world.settings = self.world.settings.model_copy(update={"watch": watching})
        self.pending = Pending(self.world.state)
        self._data = self._root / "data" / "log.jsonl"
        self._data.parent.mkdir()
        self._new_day = True
        self._lines: list[int] = []
        self._written = 0
        self._loads = True
        self._next: Project | None = None
        self._stopped = False
        self._idle = self._leads = False
        self._until = 0.0
        self._hours = 0
        self._filled = -9
        self._derived: set[str] = set()
        """Addresses under which jobs made of answers were at any time."""
        self._allowed: set[str] = set()
        self._journal = 0
        self._began = self.world.clock.now()

    # --- the watcher

    def live(self, days: float) -> None:
        """Let days pass, and see that all is well at the end of each, and of all."""
        end = self._began + days * DAY
        self._grow()
        for kind in (0, 2, 1, 3, 4):
            Walk.add.__wrapped__(self, kind, 3)  # type: ignore[attr-defined]
        self._write()
        while self.world.clock.now() < end:
            self._begin_day()
            try:
                self._generation(self._director)
            except BatchspecError as error:
                self._cannot_begin(error)
        self._settle()

    def _begin_day(self) -> None:
        """Note what may be sent in a day on which nobody agrees to anything."""
        if self._new_day:
            self._new_day = False
            if self._hours:
                self._count()
            sql = "SELECT lower(hex(substr(fingerprint, 1, 8))) FROM conversations"
            self._allowed = {name for (name,) in self._select(sql)}
            for saved in self.pending.approved():
                self._allow(saved)
            self.world.reaper.sent.clear()

    def _cannot_begin(self, error: BatchspecError) -> None:
        """Wait as a watcher does whose engine has ended by itself: only a full disk is a reason."""
        self._note(f"it ended: {error}")
        self._bury()
        assert self._hours - self._filled <= 1, error
        self.world.clock.advance(300.0)
        if self.world.clock.now() > self._began + (self._hours + 1) * HOUR:
            self.disk.empty()

    def _select(self, sql: str) -> list[Any]:
        with self.disk.lifted():
            return super()._rows(sql)

    def _generation(self, director: Callable[[Engine], Any]) -> None:
        """Run an engine until it is replaced, stopped or killed."""
        project, plans = self._candidate(), True
        if project is None:
            project, plans = self.world.open(), False
            project.pin(specs=False)
        self._idle = self._leads = False
        with project:
            engine = Engine(
                leads=self._takes_over,
                project=project,
                consent=self.consent,
                hook=self.diary,
                plans=plans,
                idle=self._rests,
            )
            try:
                anyio.run(self._run, engine, director)
            except Killed:
                self._note("it died")
            except BaseExceptionGroup as errors:
                _, other = errors.split(Killed)
                if other is not None:
                    raise first_of(other) from errors
                self._note("it died")
            finally:
                self.world.reaper.left = None
        self._bury()

    def _bury(self) -> None:
        """Let go of a lease that a full disk kept: a process of its own would be gone by now."""
        file = self.world.state / "batchspec.db"
        if file.exists():
            with self.disk.lifted(), closing(sqlite3.connect(file)) as db, db:
                db.execute("UPDATE lease SET holder = NULL")

    async def _run(self, engine: Engine, director: Callable[[Engine], Any]) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(director, engine)
            await engine.run()
            group.cancel_scope.cancel()

    def _candidate(self) -> Project | None:
        """Load what is on disk, as a fresh interpreter would; None: it does not load."""
        if self._next is not None:
            project, self._next = self._next, None
            return project
        project = self.world.open()
        try:
            project.pin()
        except SpecError:
            project.close()
            return None
        return project

    def _takes_over(self) -> None:
        self._leads = True

    def _rests(self, until: float | None) -> None:
        self._idle, self._until = True, until or float("inf")

    # --- what happens, hour by hour

    async def _director(self, engine: Engine) -> None:
        while True:
            moment = self._began + (self._hours + 1) * HOUR
            await self._wait(engine, moment)
            self._hours += 1
            if self._hours % 24 == 0:
                self._day(engine)
            self._hour(engine)

    async def _wait(self, engine: Engine, moment: float) -> None:
        """Wait for a moment; while the engine is at work it is the engine that moves the clock."""
        clock, seen, since = self.world.clock, 0.0, monotonic()
        while (now := clock.now()) < moment:
            if now != seen:
                seen, since = now, monotonic()
            assert monotonic() - since < _STUCK, f"it hangs: {self.diary.last}"
            # Where replies wait for specs that load, the loop waits for nothing it knows. And a
            # lease that could not be given back, on a full disk, is waited for in real time.
            waits = monotonic() - since > _WAITS and (_at_rest(engine) or not self._leads)
            if waits or (self._idle and self._until > moment):
                await clock.sleep_until(moment if self._leads else min(moment, now + 60.0))
            else:
                await anyio.sleep(0.001)

    def _again(self, engine: Engine) -> None:
        self._idle = False
        engine.replan()

    def _stop(self, engine: Engine) -> None:
        self._idle = False
        engine.drain()

    def _hour(self, engine: Engine) -> None:
        hour, random = self._hours % 24, self.random
        if self.disk.full:
            self._note("there is room again")
            self.disk.empty()
        self._grow()
        deeds: dict[Callable[[Engine], None], float] = {
            self._edits: 0.2,
            self._trouble: 0.2,
            self._dies: 0.08,
            self._stop: 0.03,
            self._webhooks: 0.2,
            self._approve: 0.3,
            self._breaks: 0.05,
            self._spoils: 0.05,
        }
        for deed, chance in deeds.items():
            if random.random() < chance:
                self._note(deed.__name__.strip("_"))
                deed(engine)
        if not self._loads and random.random() < 0.5:
            self._mend(engine)
        if hour == 12 and (self._hours // 24) % 3 == 1:
            self._note("the disk is full")
            self._grow()
            self._filled = self._hours
            self.disk.fill()
        self._again(engine)

    def _day(self, engine: Engine) -> None:
        """Let another day begin: with another consent, and without the troubles of yesterday."""
        self._check_allowed()
        self._new_day = True
        self.world.faults.clear()
        self.consent = self.random.choice([TURNS, ALL, PRUNING, PRUNING])
        self._note(f"{self.consent.approve}, prune={self.consent.prune}")
        self._stop(engine)

    def _grow(self) -> None:
        for _ in range(self.random.randrange(1, 4)):
            self._written += 1
            self._lines.append(self._written)
        self._lines = self._lines[-_WINDOW:]
        text = "".join(json.dumps({"id": f"l{n}", "v": n}) + "\n" for n in self._lines)
        with suppress(OSError):
            self._data.with_suffix(".new").write_text(text)
            self._data.with_suffix(".new").replace(self._data)

    def _spoils(self, _: Engine) -> None:
        """Leave the data half-written, or empty, for an hour."""
        with suppress(OSError):
            text = self.random.choice(["", '{"id": "l1", "v": ', '{"id": "x"}\n{"id": "x"}\n'])
            self._data.write_text(text)

    def _edits(self, engine: Engine) -> None:
        random, job = self.random, self.random.randrange(6)
        done = {
            lambda: Walk.edit.__wrapped__(self, job, random.choice(PARTS), random.randrange(2)): 6,
            lambda: Walk.put_row.__wrapped__(
                self, job, random.randrange(6), random.randrange(6)
            ): 4,
            lambda: Walk.drop_row.__wrapped__(self, job, random.randrange(6)): 2,
            lambda: Walk.rename.__wrapped__(self, job): 1,
            lambda: Walk.move.__wrapped__(self, job, random.choice("mno")): 1,
        }
        random.choices(list(done), list(done.values()))[0]()
        self._write()
        self._load(engine)

    def _load(self, engine: Engine) -> None:
        if self.disk.full:
            return
        if self._next is not None:
            self._next.close()
            self._next = None
        if not self._idle:
            # It may have its specs imported in this moment, which two of one process cannot.
            self._stop(engine)
            return
        project = self._candidate()
        self._loads = project is not None
        if project is None:
            now = self.world.clock.now()
            engine.note(
                ConditionChanged(
                    type="SpecLoaded", status="False", reason="NotLoaded", message="no", at=now
                )
            )
            return
        self._next = project
        self._stop(engine)

    def _breaks(self, engine: Engine) -> None:
        self._loads = False
        self.world.spec("x = (", "broken")
        self._load(engine)

    def _mend(self, engine: Engine) -> None:
        self._write()
        self._load(engine)

    def _write(self) -> None:
        if self.disk.full:
            return
        super()._write()
        self._derived |= {wish.address for wish in self.desires.wishes.values() if wish.upstream}
        self.world.spec(_LOG, "growing")

    def _trouble(self, _: Engine) -> None:
        found = self.random.choice(TROUBLES)
        if found.loses and not self._may_lose():
            return
        self.world.faults.add(found.fault, times=1, **found.options)

    def _may_lose(self) -> bool:
        """Tell whether this is a day on which answers may be lost: every second one."""
        return (self._hours // 24) % 2 == 1

    def _dies(self, _: Engine) -> None:
        self.world.reaper.left = self.random.choice([*range(1, 40), 60, 90])

    def _webhooks(self, engine: Engine) -> None:
        """Say something about batches, twice, and about one that nobody has."""
        found = self.world.app.state.engine.database.list_batches(after=None, limit=3)
        for batch in [*(batch.id for batch in found or ()), "batch_of_others"] * 2:
            engine.look_at(RemoteId(batch))

    def _approve(self, _: Engine) -> None:
        for saved in self.pending:
            # It may be replaced in this moment.
            with suppress(OSError, BatchspecError):
                self._allow(saved)
                self.pending.approve(saved)

    def _allow(self, saved: SavedPlan) -> None:
        self._allowed |= {row.fingerprint[:8].hex() for row in read_rows(saved) if row.fingerprint}

    def _note(self, what: str) -> None:
        told = f"day {self._hours // 24} {self._hours % 24:02}:00 {what}"
        self.happened = [*self.happened[-60:], told]

    # --- what must hold

    def _count(self) -> None:
        """Count what may grow, at the end of a day."""
        with self.disk.lifted():
            self.world.check()
            gc.collect()
            told, self.diary.told = self.diary.told, Counter()
            journal = self._select("SELECT COUNT(*) FROM journal")[0][0]
            statm = Path("/proc/self/statm").read_text().split()
            day = Day(
                handles=sum(1 for _ in Path("/proc/self/fd").iterdir()),
                memory=int(statm[1]) * os.sysconf("SC_PAGE_SIZE"),
                events=told.total() - told["warning"],
                warnings=told["warning"],
                journal=journal - self._journal,
                final=self._select(_FINAL)[0][0],
                artifacts=sum(f.stat().st_size for f in (self.world.state / "artifacts").iterdir()),
                files_there=self._files_there(),
                pending=len(list(self.pending.folder.glob("*"))),
            )
        self._journal = journal
        self.days.append(day)

    def _files_there(self) -> int:
        files: int = self.world.app.state.engine.database.count_files(self.world.clock.now())
        return files

    def _check_allowed(self) -> None:
        """See that nothing was sent that nobody agreed to, but what answers make of agreed jobs."""
        if self.consent.approve == "all":
            return
        for name in self.world.reaper.sent - self._allowed:
            jobs = self._select(
                "SELECT j.address FROM conversations c JOIN items i ON i.conversation = c.id "
                f"JOIN jobs j ON j.id = i.job WHERE c.fingerprint BETWEEN x'{name}' AND x'{name}ff'"
            )
            assert jobs, f"nobody knows {name}"
            assert {job for (job,) in jobs} & self._derived, f"nobody agreed to {name} of {jobs}"

    def _settle(self) -> None:
        """Let all troubles end; what is wanted must come about, and each day have been flat."""
        self.disk.empty()
        self.world.faults.clear()
        self.world.clock.advance(7200.0)
        self._written += 1
        self._grow()
        self._write()
        self.consent = PRUNING
        self._generation(self._until_idle)
        self.world.clock.advance(4 * DAY)
        self._generation(self._until_idle)
        writes, (last,) = self.world.reaper.writes, self._select("SELECT MAX(seq) FROM journal")[0]
        self._generation(self._for_idle_days)
        done = self._select(f"SELECT kind, payload FROM journal WHERE seq > {last}")
        assert not done, f"there was nothing to do, and it was done: {done}"
        assert writes == self.world.reaper.writes
        self.world.check()
        assert not list(self.pending.folder.iterdir()), "something waits for ever"
        self._check_answers()
        self._check_log()
        self._check_paid()
        self._check_flat()

    async def _until_idle(self, engine: Engine) -> None:
        await self._wait_idle()
        engine.drain()

    async def _for_idle_days(self, engine: Engine) -> None:
        await self.world.clock.sleep_until(self.world.clock.now() + 5 * DAY)
        await self._until_idle(engine)

    async def _wait_idle(self) -> None:
        since = monotonic()
        while not self._idle:
            assert monotonic() - since < 2 * _STUCK, f"it hangs: {self.diary.last}"
            await anyio.sleep(0.001)

    def _check_log(self) -> None:
        with self.world.open() as project:
            outcomes = {item.key: item.outcome for item in project.results("growing.log")}
        assert set(outcomes) == {f"l{n}" for n in self._lines}
        assert not set(outcomes.values()) & {None, "expired", "cancelled"}, outcomes

    def _check_paid(self) -> None:
        """See that what was answered twice was answered first when answers may get lost."""
        wrong = [at for at in self.echo.again if not self._lossy_at(at)]
        assert not wrong, f"paid twice, first at {[(at - self._began) / DAY for at in wrong]}"

    def _lossy_at(self, moment: float) -> bool:
        day, rest = divmod(moment - self._began, DAY)
        return day % 2 == 1 or rest > DAY - 4 * HOUR

    def _check_flat(self) -> None:
        """See that nothing grows but what was answered."""
        days = self.days
        if len(days) < 3:
            return
        handles = [day.handles for day in days]
        assert max(handles) <= min(handles) + 4, handles
        assert max(day.events for day in days) < 3000, days
        assert max(day.warnings for day in days) < 600, days
        assert max(day.pending for day in days) <= 8, days
        assert max(day.files_there for day in days) < 1500, days


def _at_rest(engine: Engine) -> bool:
    """Tell whether the loop runs nothing."""
    loop = engine._loop
    return loop is not None and not loop.running
