"""A watcher's life: weeks in which specs and data change, things go wrong and processes die.

Everything is in one process, under a clock that jumps: the engine as it is, the official SDK, and
the embedded server. Each generation of specs has an engine of its own, as in a process of its own.
"""

import gc
import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, suppress
from decimal import Decimal
from random import Random
from typing import Any

import anyio
from fuzz.desires import Wish
from fuzz.stroll import PARTS
from fuzz.troubles import ANY, TROUBLES, Killed, Reaper
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
from endurance import heard
from endurance.disk import FullDisk
from endurance.flatness import KEPT, Day, alive, check_flat, handles, memory
from endurance.payments import DAY, Answer, Payments, Twice
from endurance.stillness import run, stillness

HOUR = 3600.0
ALL = Consent(approve="all", max_cost=Decimal(10_000))
PRUNING = Consent(approve="all", max_cost=Decimal(10_000), prune=True)
TURNS = Consent()
_LOG = """
from endurance import heard

log = Job(
    model="openai:gpt-5-mini",
    rows=rows.jsonl("data/log.jsonl"),
    prompt="line {v}",
    on_item_final=heard.item,
)
"""
_EXPIRES = 5 * DAY
_CLOCKED = """
old = Job(
    model="openai:gpt-5-mini",
    rows=rows.iterable(lambda: [{"id": str(n), "v": n} for n in range(4)]),
    prompt="old {v}",
    expires_after="5d",
    refresh_every="6h",
)
"""
_MOMENT = 0.001
"""Seconds of the loop, which pass when nobody has anything to do."""
_STUCK = 60.0
"""Seconds of the loop, which waits for nothing, after which an engine without progress hangs."""
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
    """A clock whose moves a provider notes on another disk.

    It leaps when nobody has anything left to do, to the next moment that somebody waits for.
    """

    disk: FullDisk

    async def sleep_until(self, when: float) -> None:
        with self._asleep(when):
            while self() < when:
                await anyio.sleep(_MOMENT)
                self._jump(when)

    def _tell(self) -> None:
        with self.disk.lifted():
            super()._tell()


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
        self._still = ExitStack()
        self._still.enter_context(stillness(Random(seed + 1)))
        super().__init__(seed)
        self.random = Random(seed)
        self.consent = TURNS
        self.days: list[Day] = []
        self.happened: list[str] = []
        self.disk = FullDisk()
        self.world.clock.__class__ = Elsewhen
        self.world.clock.disk = self.disk  # type: ignore[attr-defined]
        self.paid = Payments(self.world.faults, self.world.app.state.engine)
        self.echo = self.world.model = self.paid
        self.world.wire = self.world.reaper = Elsewhere(self.world.app, self.disk)
        self.diary = Diary(self.world.reaper)
        watching = WatchSettings(gc_every=DAY, keep=2 * DAY)
        self.world.settings = self.world.settings.model_copy(update={"watch": watching})
        self.pending = Pending(self.world.state)
        self._data = self._root / "data" / "log.jsonl"
        self._data.parent.mkdir()
        self._new_day = self._clocked = True
        self._taken: dict[str, Wish] = {}
        """Jobs that somebody took out for a while."""
        self._long: set[str] = set()
        """Rules of faults that outlast a day."""
        self._troubled = 0.0
        """Until when one of them strikes."""
        heard.items.clear()
        self._lines: list[int] = []
        self._written = 0
        self._loads = True
        self._next: Project | None = None
        self._stopped = False
        self._idle = False
        self._hours = 0
        self._filled = -9
        self._derived: set[str] = set()
        """Addresses under which jobs made of answers were at any time."""
        self._allowed: set[str] = set()
        self._journal = 0
        self._began = self.world.clock.now()

    def close(self) -> None:
        super().close()
        self._still.close()
        gc.collect()  # what a dead process left open is closed here, and not in another test

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
        self._idle = False
        with project:
            engine = Engine(
                project=project,
                consent=self.consent,
                hook=self.diary,
                plans=plans,
                idle=self._rests,
            )
            try:
                run(self._run, engine, director)
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

    def _rests(self, _until: float | None) -> None:
        self._idle = True

    # --- what happens, hour by hour

    async def _director(self, engine: Engine) -> None:
        while True:
            await self.world.clock.sleep_until(self._began + (self._hours + 1) * HOUR)
            self._hours += 1
            if self._hours % 24 == 0:
                self._day(engine)
            self._hour(engine)

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
            self._shrinks: 0.03,
            self._removes: 0.03,
            self._restores: 0.1,
            self._goes_away: 0.008,
            self._refuses: 0.008,
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
        for rule in self.world.faults.rules():
            if rule.id not in self._long:
                self.world.faults.remove(rule.id)
        self.consent = self.random.choice([TURNS, ALL, PRUNING, PRUNING])
        self._note(f"{self.consent.approve}, prune={self.consent.prune}")
        self._stop(engine)

    def _grow(self) -> None:
        for _ in range(self.random.randrange(1, 4)):
            self._written += 1
            self._lines.append(self._written)
        self._lines = self._lines[-_WINDOW:]
        self._put(self._lines)

    def _put(self, lines: Sequence[int]) -> None:
        text = "".join(json.dumps({"id": f"l{n}", "v": n}) + "\n" for n in lines)
        with suppress(OSError):
            self._data.with_suffix(".new").write_text(text)
            self._data.with_suffix(".new").replace(self._data)

    def _spoils(self, _: Engine) -> None:
        """Leave the data half-written, or empty, for an hour."""
        with suppress(OSError):
            text = self.random.choice(["", '{"id": "l1", "v": ', '{"id": "x"}\n{"id": "x"}\n'])
            self._data.write_text(text)

    def _shrinks(self, _: Engine) -> None:
        """Leave two lines of data; the others are back in an hour, and their answers still here."""
        self._put(self._lines[-2:])

    def _removes(self, engine: Engine) -> None:
        """Take a job out, and those made of its answers."""
        known = self.desires.wishes
        roots = [name for name, wish in known.items() if wish.upstream is None]
        if len(roots) > 2 and not self._taken:
            for name in self.desires.with_dependents(self.random.choice(roots)):
                self._taken[name] = known.pop(name)
            self._write()
            self._load(engine)

    def _restores(self, engine: Engine) -> None:
        """Put back what was taken out."""
        if self._taken:
            self.desires.wishes |= self._taken
            self._taken.clear()
            self._write()
            self._load(engine)

    def _goes_away(self, _: Engine) -> None:
        """Let the provider be away for a day."""
        self._for_long("connection_reset", DAY)

    def _refuses(self, _: Engine) -> None:
        """Let the provider refuse the key for hours."""
        self._for_long("denied", self.random.randrange(2, 9) * HOUR)

    def _for_long(self, fault: str, seconds: float) -> None:
        self._long.add(self.world.faults.add(fault, on=ANY, until=seconds))
        self._troubled = max(self._troubled, self.world.clock.now() + seconds)

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
        if self._clocked:
            self.world.spec(_CLOCKED, "clocked")

    def _trouble(self, _: Engine) -> None:
        found = self.random.choice(TROUBLES)
        added = self.world.faults.add(found.fault, times=1, **found.options)
        if found.loses:
            rule = next(rule for rule in self.world.faults.rules() if rule.id == added)
            self.paid.loses(rule.fault.document())

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
            day = Day(
                handles=handles(),
                memory=memory(),
                events=told.total() - told["warning"],
                warnings=told["warning"],
                journal=journal - self._journal,
                final=self._select(_FINAL)[0][0],
                artifacts=sum(f.stat().st_size for f in (self.world.state / "artifacts").iterdir()),
                state=sum(f.stat().st_size for f in self.world.state.glob("batchspec.db*")),
                files_there=len(made := self._files_there()),
                old=sum(self.world.clock.now() - at > KEPT * DAY for at in made),
                pending=len(list(self.pending.folder.glob("*"))),
                alive=alive(),
                troubled=self.world.clock.now() - DAY < self._troubled,
            )
        self._journal = journal
        self.days.append(day)

    def _files_there(self) -> list[float]:
        """Return when the files were made that are at the provider, and not hidden there."""
        rows = self.world.app.state.engine.database.rows("SELECT document FROM files")
        files = [json.loads(document) for (document,) in rows]
        return [
            file["created_at"]
            for file in files
            if not self.paid.hides(file["filename"].removesuffix(".jsonl").rpartition("_")[0])
        ]

    def _check_allowed(self) -> None:
        """See that nothing was sent that nobody agreed to, but what answers make of agreed jobs."""
        if self.consent.approve == "all":
            return
        for name in self.world.reaper.sent - self._allowed:
            jobs = self._select(
                "SELECT j.address FROM conversations c JOIN jobs j ON j.id = c.job "
                f"WHERE c.fingerprint BETWEEN x'{name}' AND x'{name}ff'"
            )
            assert jobs, f"nobody knows {name}"
            assert {job for (job,) in jobs} & self._derived, f"nobody agreed to {name} of {jobs}"

    def _settle(self) -> None:
        """Let all troubles end; what is wanted must come about, and each day have been flat."""
        self.disk.empty()
        self.world.faults.clear()
        self.world.clock.advance(7200.0)
        self.desires.wishes |= self._taken
        self._clocked = False
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
        assert not list(self.pending.folder.glob("*")), "something waits for ever"
        self._check_answers()
        self._check_log()
        self._check_heard()
        self._check_paid()
        check_flat(self.days)

    async def _until_idle(self, engine: Engine) -> None:
        await self._wait_idle()
        engine.drain()

    async def _for_idle_days(self, engine: Engine) -> None:
        await self.world.clock.sleep_until(self.world.clock.now() + 5 * DAY)
        await self._until_idle(engine)

    async def _wait_idle(self) -> None:
        since = anyio.current_time()
        while not self._idle:
            assert anyio.current_time() - since < 2 * _STUCK, f"it hangs: {self.diary.last}"
            await anyio.sleep(0.001)

    def _check_log(self) -> None:
        with self.world.open() as project:
            outcomes = {item.key: item.outcome for item in project.results("growing.log")}
        assert set(outcomes) == {f"l{n}" for n in self._lines}
        assert not set(outcomes.values()) & {None, "expired", "cancelled"}, outcomes

    def _check_paid(self) -> None:
        """See that what was answered twice was answered first where a fault took the answer."""
        found = self.paid.twice(_expired)
        assert not found, "\n".join(["paid twice", *map(self._tell_twice, found)])

    def _tell_twice(self, found: Twice) -> str:
        """Return the story of a request that was paid twice, for people."""
        message = json.dumps(found.body["messages"][-1])
        lines = [f"{found.body['model']}: {message:.300}"]
        for answer in found.answers:
            lines.append(f"  day {self._day_of(answer.at)} {answer.batch}")
            lines.append(f"    there: {self.paid.tell_batch(answer.batch)}")
            sql = f"SELECT id, phase, note FROM batches WHERE remote_id = '{answer.batch}'"
            lines += [f"    here: {row}" for row in self._select(sql)]
        first, last = found.answers[0].at, found.answers[-1].at
        sql = (
            "SELECT at, kind, payload FROM journal "
            f"WHERE at BETWEEN {first - HOUR} AND {last + HOUR} ORDER BY seq"
        )
        for at, kind, payload in self._select(sql):
            lines.append(f"  {self._day_of(at)} {kind} {payload:.200}")
        return "\n".join(lines)

    def _day_of(self, moment: float) -> str:
        return f"{(moment - self._began) / DAY:.4f}"

    def _check_heard(self) -> None:
        """See that hooks were told of every line that became final, and not without end."""
        final = self._select(
            "SELECT i.key FROM items i JOIN conversations c ON c.id = i.conversation "
            "JOIN jobs j ON j.id = i.job WHERE j.address = 'growing.log' AND c.phase = 'final'"
        )
        assert not {key for (key,) in final} - set(heard.items)


def _expired(body: dict[str, Any], one: Answer, following: Answer) -> bool:
    """Tell whether an answer was so old that it was to be asked for again."""
    old = str(body["messages"][-1]["content"]).startswith("old ")
    return old and following.at - one.at >= _EXPIRES
