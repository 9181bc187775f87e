"""A project in a test: the real path, with an embedded server, scripted answers and a clock."""

import signal
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from operator import methodcaller
from pathlib import Path
from typing import Any, Self, TypeVar

import anyio

from batchspec.apply.loop import first_of
from batchspec.config import Settings, load_settings
from batchspec.errors import BatchspecError, StateError, UsageError
from batchspec.ids import JobAddress, RowKey, answer_key, group_of, member
from batchspec.plan.changes import Plan
from batchspec.ports import Hook
from batchspec.project import Item, Project
from batchspec.providers.openai.client import OpenAIClient
from batchspec.results.turns import Turn
from batchspec.simulator import AppTransport, Faults
from batchspec.spec.job import Job
from batchspec.spec.output import OutputMode, output_mode
from batchspec.spec.suggest import did_you_mean
from batchspec.state.events import Event
from batchspec.state.records import BatchRecord, JobProgress
from batchspec.store.reader import StateReader
from batchspec.testing.answers import ScriptedModel, ScriptError
from batchspec.testing.clock import VirtualClock
from batchspec.testing.given import Rows, known_options, with_rows
from batchspec.testing.run import Run, RunItem
from batchspec.testing.server import Server

T = TypeVar("T")
hides_mistakes = methodcaller("errisinstance", (ScriptError, TypeError, BatchspecError))
"""What pytest asks for frames it need not show: the mistake is in what the test handed over."""
BASE_URL = "http://simulator/v1"


class Recorder:
    """Implements `ports.Hook` by keeping what it is told."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.warnings: list[str] = []

    def event(self, event: Event) -> None:
        """Keep an event."""
        self.events.append(event)

    def progress(self, jobs: Sequence[JobProgress], batches: Sequence[BatchRecord]) -> None:
        """Ignore how far it is."""

    def warning(self, message: str) -> None:
        """Keep a warning."""
        self.warnings.append(message)


class SimulatedProject:
    """A project whose provider is an embedded server and whose time is a clock that jumps.

    Everything else is as it will be: plan, apply, the official SDK, the state on disk. Each call
    opens the project anew, as a process of its own would.

    Args:
        root: The project's folder; nothing is written into it.
        directory: For state and server; may be used again after `close`.
        jobs: By address, instead of what the project's specs declare.
        rows: By job, instead of the job's own.
        settings: The configuration; None: that of the folder.
        server: Options of the server, see `simulator.create_app`.

    Attributes:
        clock: Of the project and of the server.
        server: The provider, and what it saw.
        faults: What goes wrong at the provider; rules can be added and removed at any time.
        settings: The configuration.
        runs: Every apply that ended, oldest first.
    """

    def __init__(
        self,
        root: str | Path,
        directory: str | Path,
        *,
        jobs: Mapping[str, Job] | None = None,
        rows: Mapping[Job, Rows] | None = None,
        settings: Settings | None = None,
        **server: Any,
    ) -> None:
        __tracebackhide__ = hides_mistakes
        self.root, self.directory = Path(root).resolve(), Path(directory).resolve()
        self.jobs = jobs
        self._given = jobs and with_rows(jobs, rows or {})
        configured = settings or load_settings(self.root)
        self.settings = configured.model_copy(update={"state": str(self.directory / "state")})
        self.clock = VirtualClock()
        self.runs: list[Run] = []
        self._stack = ExitStack()
        self._reader: StateReader | None = None
        self._model = ScriptedModel(self._owners, self._mode)
        self._modes: Mapping[str, OutputMode] = {}
        self.server = Server(self.directory / "provider", self._model, self.clock, **server)
        self.faults: Faults = self.server.app.state.engine.faults
        self._stack.callback(self.server.close)

    # --- what the model says

    def answer(self, job: Job | str, answers: Any) -> None:
        """Say what the model answers to a job's requests; without a word answers are made up.

        Args:
            job: The job, or its address.
            answers: By key (`...` for every other row), a function of the `Request`, a `script` or
                one answer for every row, or None to have them made up.
        """
        self._model.give(self.address_of(job), answers)

    def address_of(self, job: Job | str) -> str:
        """Return the address of a job of this project.

        Raises:
            UsageError: It is not in this project.
        """
        jobs = self._jobs()
        for address, known in jobs.items():
            if job in {address, known} or (self.jobs is None and _same(job, known)):
                return address
        if isinstance(job, str) and group_of(JobAddress(job)) in jobs:
            return job  # of a variant
        if isinstance(job, str):
            raise UsageError(f"There is no job {job!r}. {did_you_mean(job, jobs)}")
        raise UsageError(f"The job made at {job.source} is not in this project.")

    def _jobs(self) -> Mapping[str, Job]:
        if self.jobs is not None:
            return self.jobs
        with self.open() as project:
            return {desired.address: desired.job for desired in project.load()}

    def _mode(self, address: str) -> OutputMode:
        if not self._modes:
            with self.open() as project:
                self._modes = {desired.address: desired.output for desired in project.load()}
        return self._modes.get(address) or output_mode(None)

    def _owners(self, fingerprint: bytes) -> Sequence[tuple[JobAddress, RowKey]]:
        if self._reader is None:
            with self.open() as project:
                self._reader = project.reader()
            self._stack.callback(self._reader.close)
        return self._reader.owners(fingerprint)

    # --- what people do

    def open(self, **options: Any) -> Project:
        """Open the project as a new process would; close it, or use it as a context.

        Args:
            options: Of `Project`, for example another environment.
        """
        project = Project(
            self.root, settings=self.settings, clock=self.clock, jobs=self._given, **options
        )
        client = self.client()
        for name, provider in project.providers.items():
            project.providers[name] = replace(provider, client=client, live=client)
        return project

    def client(self) -> OpenAIClient:
        """Return what calls the server, through the official SDK."""
        # The SDK's own patience takes real time; ours takes the clock's.
        return OpenAIClient(
            api_key="simulated",
            base_url=BASE_URL,
            transport=AppTransport(self.server.app),
            retries=0,
        )

    def plan(self, **options: Any) -> Plan:
        """Make a plan that is not applied; see `Project.plan` for the options."""
        with self.open() as project:
            return project.plan(**options)

    def apply(
        self,
        *,
        targets: Sequence[str] = (),
        replace: Sequence[str] = (),
        refresh: bool = True,
        hook: Hook | None = None,
        **options: Any,
    ) -> Run:
        """Plan, agree, and wait in the clock's time until every job is final.

        Args:
            targets: Addresses or globs; only these jobs are planned.
            replace: Jobs whose items are to be answered anew.
            refresh: Whether the plan looks at the open batches first.
            hook: Is told what happens.
            options: Of `Project.apply`, for example `detach=True`.

        Raises:
            ScriptError: The answers that were given do not fit what was asked.
            BatchspecError: What `Project.plan` and `Project.apply` raise.
            KeyboardInterrupt: Somebody stopped the tests; what was recorded stays.
        """
        __tracebackhide__ = hides_mistakes
        known_options("apply", options, self.apply, Project.apply)
        self._modes = {}  # the specs may have changed
        recorder = hook or Recorder()
        with self.open() as project:
            plan = project.plan(targets=targets, replace=replace, refresh=refresh)
            before = {batch.id for batch in self._batches(project)}
            result = _told_alone(lambda: project.apply(plan, hook=recorder, **options))
            if result.signal is not None:
                # The loop took it as a wish to stop in good order; it was meant for the tests.
                signal.raise_signal(result.signal)
            batches = [batch for batch in self._batches(project) if batch.id not in before]
            jobs = dict.fromkeys(map(group_of, project.desired.addresses))
            items = [item for job in jobs for item in self._items(project, job)]
        warnings = tuple(recorder.warnings) if isinstance(recorder, Recorder) else ()
        run = Run(
            items=tuple(items),
            plan=plan,
            result=result,
            batches=tuple(batches),
            warnings=warnings,
            project=self,
        )
        self.runs.append(run)
        self._check(run, whole=result.done and not targets)
        return run

    def _check(self, run: Run, *, whole: bool) -> None:
        """Refuse answers that do not fit; what was not used can only be told at the end."""
        __tracebackhide__ = True
        outcomes: dict[str, dict[str, str | None]] = {a: {} for a in self._jobs()}
        for item in run.items:
            of = member(item.job)
            for name in {of.address, of._replace(sample=1).address, of.group}:
                outcomes.setdefault(name, {})[item.key] = item.outcome
        cause = self._model.cause
        if cause is not None and not isinstance(cause, Exception):
            raise cause  # the test's own word, as `pytest.fail`
        problems = self._model.misfits(outcomes) if whole else self._model.problems
        if problems:
            told = "\n".join(["The answers do not fit.", *problems])
            raise ScriptError(told) from cause

    def _batches(self, project: Project) -> Sequence[BatchRecord]:
        with project.reader() as reader:
            return reader.batches()

    def _items(self, project: Project, address: str) -> list[RunItem]:
        try:
            found: list[Item] = list(project.results(address))
        except (UsageError, StateError):  # nothing of it is on record
            return []
        imports = project.desired.imports
        return [RunItem(item, self._conversation, imports) for item in found]

    def _conversation(self, address: str) -> tuple[Turn, ...]:
        with self.open() as project:
            return project.turns(address)

    def items(self, job: Job | str) -> dict[str, RunItem]:
        """Return the items of a job by key (`key,variant,sample` of several), as they are now."""
        with self.open() as project:
            found = self._items(project, self.address_of(job))
        several = len({item.job for item in found}) > 1
        return {answer_key(i.key, member(i.job)) if several else i.key: i for i in found}

    def told(self) -> str:
        """Return every run for people."""
        return "\n\n".join(run.told() for run in self.runs)

    def close(self) -> None:
        """Let go of the server and of the state."""
        self._stack.close()
        self._reader = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _same(job: Job | str, known: Job) -> bool:
    """Tell whether a job the test imported is one that the project loaded for itself."""
    return isinstance(job, Job) and (job.source, job.module_file) == (
        known.source,
        known.module_file,
    )


def _told_alone(function: Callable[[], T]) -> T:
    """Run a blocking function; what it raises comes without the groups and frames around it."""
    __tracebackhide__ = True
    try:
        return _outside_a_loop(function)
    except BatchspecError as error:
        raised: BaseException = error.with_traceback(None)
    except BaseExceptionGroup as errors:
        raised = first_of(errors)
    raise raised from None


def _outside_a_loop(function: Callable[[], T]) -> T:
    """Run a blocking function in a thread of its own where an event loop runs in this one."""
    try:
        anyio.get_current_task()
    except RuntimeError:
        loop = False
    else:
        loop = True
    if not loop:  # and outside of the handler, which what is raised would show
        return function()
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(function).result()
