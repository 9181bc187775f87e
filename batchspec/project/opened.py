"""An opened project: configuration, specs, state, providers."""

import os
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

from batchspec.apply.clock import SystemClock
from batchspec.apply.pacing import Rate
from batchspec.config import Settings, load_settings
from batchspec.desired.derive import told
from batchspec.desired.graph import Desired, DesiredJob
from batchspec.errors import Diagnostic, SpecError, StalePlanError, StateError, UsageError
from batchspec.fingerprint import VERSION, fingerprint
from batchspec.ids import JobAddress, group_of, names, parse_address, uuid7
from batchspec.load.build import load_project
from batchspec.plan.changes import Plan
from batchspec.plan.estimate import Lengths
from batchspec.ports import (
    Clock,
    Provider,
    Wire,
)
from batchspec.project import wiring
from batchspec.project.beating import beating
from batchspec.project.checking import render_item, validate
from batchspec.project.planning import (
    Planner,
)
from batchspec.project.values import Graph, Rendered, Validation
from batchspec.spec.job import Job
from batchspec.spec.rows import DerivedSource
from batchspec.store.reader import StateReader
from batchspec.store.sqlite import StateStore
from batchspec.store.waiting import Patience
from batchspec.telemetry.otel import Telemetry


class OpenedProject:
    """A folder with specs, and the state of one environment: what everything else needs.

    Args:
        root: The folder that holds `specs/`.
        environment: Which state to use; None: what the configuration says.
        simulate: Use environment `simulation`, with every provider served in this process.
        settings: The configuration; None: read it from the folder and the environment.
        clock: Tells the time.
        jobs: By address; they are used instead of what `specs/` declares, which is not loaded.
    """

    def __init__(  # noqa: PLR0913 - one keyword per way in which projects differ
        self,
        root: str | Path = ".",
        *,
        environment: str | None = None,
        simulate: bool = False,
        settings: Settings | None = None,
        clock: Clock | None = None,
        jobs: Mapping[str, Job] | None = None,
    ) -> None:
        self.root = Path(root).resolve()
        self.settings = settings or load_settings(self.root, env=environment)
        self.simulated = simulate
        self.environment = wiring.SIMULATION if simulate else environment or self.settings.env
        self.directory = self.root / self.settings.state / self.environment
        self.clock = clock or SystemClock()
        self.jobs = jobs
        self.prices = wiring.price_list(self.settings)
        self.providers: dict[str, Provider] = wiring.make_providers(self.settings)
        self.lengths = Lengths(
            assumed=self.settings.assumed_output_tokens,
            longest=self.settings.longest_output_tokens,
        )
        """Of replies, where a job sets no bound."""
        self.warnings: list[Diagnostic] = []
        """What went wrong without stopping anything, since the project was opened."""
        self.patience = Patience(self.settings.lock_timeout)
        """How a command waits that needs the state to itself."""
        self.rates: dict[str, Rate] = {}
        """Of calls to providers that are to keep to one, by provider."""
        self.telemetry: Telemetry | None = None
        """What sends traces and metrics, once something is to be sent."""
        self._stack = ExitStack()
        self._store: StateStore | None = None
        self._desired: Desired | None = None
        self._draft: tuple[Plan, Planner] | None = None
        self._pinned = False

    # --- specs ---------------------------------------------------------------------------------

    def load(self) -> Desired:
        """Load the specs anew, unless they are pinned.

        Raises:
            SpecError: Something is wrong with them; every problem is told.
        """
        if self._pinned and self._desired is not None:
            return self._desired
        self._desired = load_project(
            self.root,
            providers=wiring.endpoints(self.settings),
            directory=self.settings.specs,
            jobs=self.jobs,
        )
        return self._desired

    def pin(self, *, specs: bool = True) -> Desired:
        """Load the specs once and for all: whatever becomes of the files, these stay in force.

        Args:
            specs: Whether they are loaded; without, it is as if there were no job.

        Raises:
            SpecError: Something is wrong with them; nothing is pinned.
        """
        self._pinned = False
        self._desired = self.load() if specs else Desired(jobs=())
        self._pinned = True
        return self._desired

    def load_or_nothing(self) -> SpecError | None:
        """Load the specs anew; where they are wrong, go on as if there were no job, and say why."""
        try:
            self.load()
        except SpecError as error:
            self._desired = Desired(jobs=())
            return error
        return None

    @property
    def desired(self) -> Desired:
        """Return the specs as loaded last."""
        return self.load() if self._desired is None else self._desired

    def validate(self) -> Validation:
        """Check specs and every row; sends nothing and changes no state."""
        try:
            desired = self.load()
        except SpecError as error:
            return Validation((), error.diagnostics)
        with desired.imports():
            return validate(desired, self.root)

    def render(self, address: str) -> Rendered:
        """Return the exact request of one item, or of a job's first row.

        Raises:
            UsageError: There is no such job or row.
            SpecError: The row cannot be rendered.
        """
        job_address, key = parse_address(address)
        # Of variants the first is shown, which is the baseline.
        found = [one for one in self.desired.written if names(address, one)]
        job = self._job(found[0] if found and job_address not in found else job_address)
        provider = self.providers[job.contract.provider]
        with self.desired.imports():
            return render_item(job, key, self.root, provider, self.desired, self._reader_or_none())

    def _job(self, address: JobAddress) -> DesiredJob:
        try:
            return self.desired[address]
        except KeyError:
            if several := [one for one in self.desired.addresses if group_of(one) == address]:
                told = f"{address!r} has variants or samples; name one of them:"
                raise UsageError(f"{told} {', '.join(several)}.") from None
            known = ", ".join(self.desired.addresses) or "none"
            raise UsageError(f"There is no job {address!r}. Jobs are: {known}.") from None

    def graph(self) -> Graph:
        """Return the jobs and what their rows are made of; variants are one job."""
        edges = dict.fromkeys(
            (group_of(up), group_of(job.address), told(job.rows))
            for job in self.desired.jobs
            if isinstance(job.rows, DerivedSource)
            for up in job.depends_on
        )
        return Graph(tuple(dict.fromkeys(map(group_of, self.desired.addresses))), tuple(edges))

    # --- state ---------------------------------------------------------------------------------

    def store(self) -> StateStore:
        """Return the state for writing, made when missing."""
        if self._store is None:
            self._store = StateStore(self.directory, self.clock.now, self.patience)
            self._stack.callback(self._store.close)
            self._store.initialise(self.mint())
            self._renew_fingerprints(self._store)
        return self._store

    def _renew_fingerprints(self, store: StateStore) -> None:
        """Fingerprint what is recorded by the algorithm of this version, so that it is known."""
        known = store.fingerprints()
        if known > VERSION:
            raise StateError(
                f"{store.path} has fingerprints of a newer batchspec (algorithm {known}, this one "
                f"knows {VERSION}). Upgrade batchspec; the state was not changed."
            )
        if known < VERSION:
            store.acquire(self.mint(), "fingerprinting")
            try:
                store.refingerprint(fingerprint, VERSION)
            finally:
                store.release()

    @contextmanager
    def leased(self, operation: str) -> Generator[StateStore]:
        """Hold the lease on the state, with heartbeats, waiting as long as `lock_timeout` says.

        Args:
            operation: What for, as others read it (`state mv`).

        Raises:
            LockedError: Another process holds it.
        """
        store = self.store()
        store.acquire(self.mint(), operation)
        try:
            with beating(store):
                yield store
        finally:
            store.release()

    def reader(self) -> StateReader:
        """Open the state for reading; raises `StateError` when there is none yet."""
        return StateReader(self.directory)

    def _reader_or_none(self) -> StateReader | None:
        try:
            return self._stack.enter_context(self.reader())
        except StateError:
            return None

    @property
    def wires(self) -> Mapping[str, Wire]:
        """Return the codecs of the replies on record, by endpoint; all providers speak the same."""
        return wiring.WIRES

    def mint(self) -> str:
        """Make a new id."""
        return uuid7(int(self.clock.now() * 1000), os.urandom(10))

    def discard(self) -> None:
        if self._draft is not None:
            self._draft[1].draft.discard()
            self._draft = None

    def planner_of(self, plan: Plan) -> Planner:
        """Return what made a plan.

        Raises:
            StalePlanError: Another plan was made since.
        """
        if self._draft is None or self._draft[0].id != plan.id:
            raise StalePlanError("This plan was applied or replaced already. Make a new one.")
        return self._draft[1]

    def take_draft(self, plan: Plan) -> Planner | None:
        """Hand over what made the plan last made, if it is this one; it can be taken once."""
        if self._draft is None or self._draft[0].id != plan.id:
            return None
        _, planner = self._draft
        if not planner.draft.whole:
            return None
        self._draft = None
        return planner

    def closes(self, close: Callable[[], None]) -> None:
        """Have something closed with the project."""
        self._stack.callback(close)

    def close(self) -> None:
        """Release everything that is open."""
        self.discard()
        self._stack.close()
        self._store = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
