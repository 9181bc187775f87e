"""Running a scene undisturbed, and again with one life that ends early; what must be the same."""

import json
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from worlds import BASE_URL, World, echo

from batchspec.config.providers import with_built_in
from batchspec.errors import BatchspecError, ProviderError
from batchspec.ids import uuid7
from batchspec.project import Project
from batchspec.providers.openai.client import OpenAIClient
from batchspec.simulator import AppTransport
from batchspec.simulator.clock import SimulatedClock
from batchspec.simulator.faults.lines import LineFault
from batchspec.store import lease
from batchspec.store.verify import verify
from batchspec.testing.clock import VirtualClock
from sweep.points import Killed, Point, Process, Seam, Trouble, in_order

TWO_DAYS = 2 * 86_400.0
_GONE = 999_999_999
"""No process has this number."""
_OPEN = {"validating", "in_progress", "finalizing"}


class SweepWorld(World):
    """A world whose program can be killed, in which everything happens in one order."""

    def __init__(self, root: Path, scene: "Scene") -> None:
        super().__init__(root)
        self._minted = 0
        self.model = scene.model
        for name, options in scene.faults:
            self.faults.add(name, **options)
        openai = self.settings.providers["openai"]
        limits = openai.limits.model_copy(update=dict(scene.limits))
        openai = openai.model_copy(update={"limits": limits})
        self.settings = self.settings.model_copy(
            update={"providers": with_built_in({"openai": openai})}
        )
        self.asked: list[dict[str, Any]] = []

    def _answer(self, body: dict[str, Any]) -> Any:
        self.asked.append(body)
        return super()._answer(body)

    def client(self) -> OpenAIClient:
        transport = AppTransport(Seam(self.wire))
        return OpenAIClient(api_key="test", base_url=BASE_URL, transport=transport, retries=0)

    def open(self, **options: Any) -> Project:
        project = super().open(**options)
        project.mint = self._mint  # type: ignore[method-assign]
        return project

    def _mint(self) -> str:
        self._minted += 1
        return uuid7(int(self.clock.now() * 1000), self._minted.to_bytes(10, "big"))

    def apply(self, **options: Any) -> Any:
        """Plan and apply as a process of its own would."""
        with self.open() as project:
            return project.apply(project.plan(), hook=self.hook, **options)

    def check(self) -> None:
        """Leave it to the end: a process that was killed may have left anything."""

    @property
    def log(self) -> list[str]:
        """What tools noted, a line per run."""
        path = self.root / "log"
        return path.read_text().split("\n")[:-1] if path.exists() else []


Step = Callable[[SweepWorld], object]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What people write and do, one step per process.

    Attributes:
        steps: Each edits the world and applies; it is done again when its process was killed.
        model: Answers by the body alone, so that it does not matter when it is asked.
        faults: Of the server.
        limits: Of the provider, by name.
        most: At how many points the tests kill it; `make fuzz` takes all.
        within: The first and the last point it is killed at; "": to the end. What lies outside is
            the same in another scene, and `make fuzz` takes all.
        once: Whether its tools may run once only, else at least once.
        forgiven: Tells an outcome that may be another one because of a kill.
    """

    name: str
    steps: Sequence[Step]
    model: Callable[[dict[str, Any]], Any] = echo
    faults: Sequence[tuple[str, dict[str, Any]]] = ()
    limits: Sequence[tuple[str, int]] = (("max_requests", 2),)
    most: int = 1_000
    within: tuple[str, str] = ("1 after commit lease #1", "")
    once: bool = False
    forgiven: Callable[[str, SweepWorld], bool] = lambda _item, _world: False


@dataclass(frozen=True)
class Case:
    """One way to disturb a scene.

    Attributes:
        kills: The points it dies at, in order.
        unwinds: Whether lives end as after an exception, else as after SIGKILL.
        pause: Seconds between a death and the next life.
        troubles: Calls that go wrong.
        order: Makes another order of what happens at a time; 0: the usual one.
    """

    scene: str
    kills: tuple[Point, ...] = ()
    unwinds: bool = False
    pause: float = 0.0
    troubles: tuple[tuple[Point, Trouble], ...] = ()
    order: int = 0

    def __str__(self) -> str:
        words = [f"--kill '{point}'" for point in self.kills]
        words += [f"--trouble '{trouble} {point}'" for point, trouble in self.troubles]
        words += ["--unwinds"] * self.unwinds
        words += [f"--pause {self.pause:g}"] * bool(self.pause)
        words += [f"--order {self.order}"] * bool(self.order)
        return f"python tests/sweep/again.py {self.scene} {' '.join(words)}".rstrip()


@dataclass
class End:
    """How a scene ended.

    Attributes:
        outputs: Outcome and text by item.
        bodies: How often the server executed each request.
        problems: What is wrong, a sentence each.
        points: What all lives came by.
        log: What tools noted.
    """

    outputs: dict[str, tuple[str | None, str | None]] = field(default_factory=dict)
    bodies: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    log: list[str] = field(default_factory=list)


def play(scene: Scene, root: Path, case: Case, undisturbed: End | None = None) -> End:
    """Run a scene with what disturbs it; compare its end with the undisturbed one."""
    end = End()
    with ExitStack() as stack:
        world = SweepWorld(root, scene)
        stack.callback(world.close)
        stack.enter_context(in_order(_breathing(case.order)))
        stack.enter_context(_clock_waits_for_all())
        lives = _Lives(world, case, end)
        try:
            for step in scene.steps:
                lives.live(step)
            end.problems += lives.missed()
            _look(world, end)
        except (BatchspecError, Exception) as error:  # noqa: BLE001 - it is what the case found
            end.problems.append(f"it ended with {type(error).__name__}: {error}")
        if undisturbed is not None:
            _compare(scene, world, end, undisturbed)
    return end


def _breathing(order: int) -> Callable[[], int]:
    """Return how long threads take, as numbers that look random."""
    if not order:
        return lambda: 1
    state = [order]

    def breathe() -> int:
        state[0] = (state[0] * 6364136223846793005 + 1442695040888963407) % 2**64
        return (state[0] >> 33) % 8

    return breathe


@contextmanager
def _clock_waits_for_all() -> Iterator[None]:
    """Let the clock of tests jump when nobody else can go on, instead of after real time."""
    waiting = 0

    async def sleep_until(self: VirtualClock, when: float) -> None:
        nonlocal waiting
        loop: Any = anyio.lowlevel.current_token().native_token
        waiting += 1
        try:
            await anyio.lowlevel.checkpoint()
            while len(loop._ready) >= waiting:
                await anyio.lowlevel.checkpoint()
        finally:
            waiting -= 1
        await SimulatedClock.sleep_until(self, when)

    before = VirtualClock.sleep_until
    VirtualClock.sleep_until = sleep_until  # type: ignore[method-assign]
    try:
        yield
    finally:
        VirtualClock.sleep_until = before  # type: ignore[method-assign]


class _Lives:
    """Gives each step a process, and another one for every death."""

    def __init__(self, world: SweepWorld, case: Case, end: End) -> None:
        self._world = world
        self._case = case
        self._end = end
        self._left = list(case.kills)
        self._troubles = dict(case.troubles)
        self._processes: list[Process] = []

    def live(self, step: Step) -> None:
        """Do a step, again if its process dies."""
        while not self._survived(step):
            self._world.clock.advance(self._case.pause)

    def missed(self) -> list[str]:
        """Return what was to happen and did not."""
        struck = {point for process in self._processes for point in process.struck}
        return [f"never came by {p}" for p in (*self._left, *(self._troubles.keys() - struck))]

    def _survived(self, step: Step) -> bool:
        world, case = self._world, self._case
        corpse = world.root / "corpse"
        process = Process(
            world.state,
            life=len(self._processes) + 1,
            dies_at=self._left[0] if self._left else None,
            unwinds=case.unwinds,
            died=(lambda: None) if case.unwinds else lambda: _copy(world.state, corpse),
            troubles=self._troubles,
        )
        self._processes.append(process)
        try:
            with process.alive():
                step(world)
        except ProviderError as error:
            # A command that records nothing without an answer; a person does what it says.
            if not (process.struck and "run the command again" in str(error)):
                raise
            return False
        except BaseException as error:
            if not _is_death(error):
                raise
        self._end.points += process.points
        if not process.dead:
            return True
        self._left.pop(0)
        process.bury()
        if not case.unwinds:
            shutil.rmtree(world.state, ignore_errors=True)
            if corpse.exists():
                corpse.rename(world.state)
        _orphan(world.state)
        return False


def _is_death(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return any(map(_is_death, error.exceptions))
    return isinstance(error, Killed)


def _copy(state: Path, corpse: Path) -> None:
    """Keep the disk as it is now: the database first, for it points at the rest."""
    shutil.rmtree(corpse, ignore_errors=True)
    if not state.exists():
        return
    corpse.mkdir(parents=True)
    for name in ("batchspec.db", "batchspec.db-wal"):
        if (state / name).exists():
            shutil.copyfile(state / name, corpse / name)
    for folder in ("artifacts", "tmp"):
        if (state / folder).exists():
            shutil.copytree(state / folder, corpse / folder)


def _orphan(state: Path) -> None:
    """Let what the process held be that of one which is not there any more."""
    for draft in (state / "tmp").glob("*-*"):
        if draft.is_dir():
            draft.rename(draft.with_name(f"{_GONE}-{draft.name.partition('-')[2]}"))
    if not (state / "batchspec.db").exists():
        return
    with closing(sqlite3.connect(state / "batchspec.db")) as db, db:
        if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'lease'").fetchone():
            gone = (f"{lease.host()}/dead-0", _GONE)
            db.execute("UPDATE lease SET host = ?, pid = ? WHERE holder IS NOT NULL", gone)


# --- what must hold at the end


def _look(world: SweepWorld, end: End) -> None:
    """Write down how it ended, and what is wrong with that whatever happened before."""
    # Whatever is under way at the provider runs, so that what nobody wants counts.
    world.clock.advance(TWO_DAYS)
    remote = world.remote()
    end.bodies = Counter(json.dumps(body, sort_keys=True) for body in world.asked)
    end.log = world.log
    with world.open() as project:  # whoever works next tidies up first
        project.store().acquire(project.mint(), "look")
    with world.open() as project, project.reader() as reader:
        plan = project.plan(whole=False)
        if plan.can_apply:
            end.problems.append(f"a further plan is not empty: {dict(plan.counts)}")
        for address in project.desired.addresses:
            for item in project.results(address):
                end.outputs[f"{address}[{item.key}]"] = (item.outcome, item.text)
        records = {record.remote_id: record for record in reader.batches()}
        unfinished = [r.id for r in records.values() if r.phase not in {"collected", "rejected"}]
        known = {r[0] for r in reader.db.execute("SELECT id FROM artifacts WHERE records > 0")}
    end.problems += [f"batch record {number} is not at its end" for number in unfinished]
    end.problems += [
        f"orphan batch {batch['status']}: no record knows it"
        for batch in remote
        if batch["id"] not in records and batch["status"] not in {"cancelled", "cancelling"}
    ]
    files = world.server.app.state.engine.database.list_files(
        world.clock.now(), purpose="batch", after=None, limit=1000, order="asc"
    )
    end.problems += [
        f"orphan input file {_short(file.filename)}"
        for file in files or ()
        if file.filename.startswith("batchspec-")
    ]
    _look_at_disk(world, end, known)
    end.problems += verify(world.state)


def _look_at_disk(world: SweepWorld, end: End, known: set[int]) -> None:
    left = [path.name for path in (world.state / "tmp").iterdir()]
    end.problems += [f"left in the scratch folder: {_short(name)}" for name in left]
    segments = {int(p.name.partition(".")[0]) for p in (world.state / "artifacts").iterdir()}
    end.problems += [f"segment {n} is on disk only" for n in segments - known]
    end.problems += [f"segment {n} is on record only" for n in known - segments]


def _short(name: str) -> str:
    return "".join("*" if c.isdigit() else c for c in name)[:20]


def _compare(scene: Scene, world: SweepWorld, end: End, undisturbed: End) -> None:
    """Say how an end differs from the undisturbed one."""
    for item in sorted(end.outputs.keys() | undisturbed.outputs.keys()):
        here, there = end.outputs.get(item), undisturbed.outputs.get(item)
        if here != there and not scene.forgiven(item, world):
            end.problems.append(f"{item} is {here} instead of {there}")
    runs = Counter(end.log)
    end.problems += [f"{c} ran {n} times" for c, n in runs.items() if scene.once and n > 1]
    if not scene.once:
        end.problems += [f"{call} never ran" for call in set(undisturbed.log) - runs.keys()]
    # Which line a fault strikes depends on who comes first; how many it strikes does not.
    struck = sum(rule.hit for rule in world.faults.rules() if isinstance(rule.fault, LineFault))
    for body, times in end.bodies.items():
        if times > 1 + struck:
            end.problems.append(f"executed {times} times: {body[-120:]}")
    if end.bodies.total() > len(end.bodies) + struck:
        end.problems.append(f"executed {end.bodies.total()} lines instead of {len(end.bodies)}")
