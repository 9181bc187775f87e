"""From spec modules to the desired state, or to everything that is wrong with them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal, cast

from batchspec.desired.expand import Expander
from batchspec.desired.graph import Desired, DesiredJob, cycles, in_order
from batchspec.errors import Diagnostic, SpecError
from batchspec.ids import JobAddress, group_of
from batchspec.load.derived import derived_problems
from batchspec.load.errors import place, relative, shortened
from batchspec.load.fields import template_problems, unfinished
from batchspec.load.hooks import hook_problems
from batchspec.load.judges import judges_of, with_rows
from batchspec.load.judges import problems as judge_problems
from batchspec.load.members import told_once
from batchspec.load.modules import Loaded, load_modules
from batchspec.load.policy import Sources, code_of, policy_of
from batchspec.load.rows import read_rows
from batchspec.load.worker import importable
from batchspec.messages import Contract
from batchspec.spec.choice import choice_problems
from batchspec.spec.job import Job
from batchspec.spec.model import parse_model
from batchspec.spec.output import NativeMode, OutputMode, ToolMode, output_mode
from batchspec.spec.rows import Collect, DerivedSource, OutputsOf
from batchspec.spec.settings import endpoint_problems
from batchspec.spec.suggest import did_you_mean
from batchspec.spec.tool import Tool, refusals
from batchspec.spec.unjson import unjson
from batchspec.spec.variants import members

MAX_DIAGNOSTICS = 20
"""Per job; a mistake in a column would otherwise be told ten million times."""


def load_project(
    root: Path,
    *,
    providers: Mapping[str, str],
    directory: str = "specs",
    jobs: Mapping[str, Job] | None = None,
) -> Desired:
    """Load a project's specs; no row but the first of each job is read.

    Args:
        root: The project's folder.
        providers: From a provider's name to the endpoint its requests go to.
        directory: The folder of the specs in it.
        jobs: By address, instead of what the specs declare.

    Raises:
        SpecError: Something is wrong; all problems are told at once.
    """
    root = root.resolve()
    if jobs is None:
        loaded = load_modules(root, directory)
    else:
        loaded = Loaded({JobAddress(address): job for address, job in jobs.items()})
    with loaded.imports():
        builder = _Builder(root, loaded, providers)
        built = builder.build()
    found = told_once(shortened(d, root) for d in [*loaded.diagnostics, *builder.found])
    errors = [d for d in found if d.severity == "error"]
    if errors:
        with loaded.imports():
            blamed = {group_of(JobAddress(error.address or "")) for error in errors}
            sound = [job for job in built if group_of(job.address) not in blamed]
            told = [problem for job in sound for problem in check_rows(job, root)]
        raise SpecError(sorted(told_once([*errors, *told]), key=place))
    warnings = tuple(d for d in found if d.severity == "warning")
    disabled = builder.disabled()
    with loaded.imports():
        paused = _paused(_Builder(root, loaded, providers))
    written = tuple(job.address for job in built)
    return Desired(
        in_order(built), warnings, disabled, loaded.imports, loaded.folder, paused, written
    )


def _paused(builder: "_Builder") -> tuple[DesiredJob, ...]:
    """Put the jobs together that are not enabled; one with problems is left out, untold."""
    found: list[DesiredJob] = []
    for address, job in builder.jobs.items():
        if job.valid:
            builder.found.clear()
            desired = list(builder.members(address, job, enabled=False))
            if not builder.found:
                found += desired
    return tuple(found)


def check_rows(
    desired: DesiredJob, root: Path, limit: int = MAX_DIAGNOSTICS
) -> Iterator[Diagnostic]:
    """Read every row of a job and yield what is wrong with it, at most `limit` and a summary.

    Rows made of other jobs' answers are not known yet and not checked. Keys are not compared.
    """
    if isinstance(desired.rows, DerivedSource):
        return
    rows = Expander(desired).expand(read_rows(desired.rows, root))
    problems = (row for row in rows if isinstance(row, Diagnostic))
    yield from limited((shortened(p, root.resolve()) for p in problems), desired, limit)


def limited(
    problems: Iterable[Diagnostic], desired: DesiredJob, limit: int = MAX_DIAGNOSTICS
) -> Iterator[Diagnostic]:
    """Yield the first problems of a job as they are, and the number of the rest."""
    remaining = iter(problems)
    yield from islice(remaining, limit)
    more = sum(1 for _ in remaining)
    if more:
        yield Diagnostic(
            summary=f"… and {more:_} more",
            detail=f"Only the first {limit} problems of a job are shown.",
            source=desired.source,
            address=desired.address,
        )


@dataclass
class _Builder:
    """Collects problems while the jobs are put together."""

    root: Path
    loaded: Loaded
    providers: Mapping[str, str]
    found: list[Diagnostic] = field(default_factory=list[Diagnostic])
    sources: Sources = field(default_factory=Sources)

    def __post_init__(self) -> None:
        self._addresses = {job: address for address, job in self.loaded.jobs.items()}
        self._judges = judges_of(self.loaded.jobs)
        self.jobs = with_rows(self.loaded.jobs)

    def build(self) -> list[DesiredJob]:
        self.found += judge_problems(self.loaded.jobs)
        blamed = {problem.address for problem in self.found}
        jobs = {a: j for a, j in self.jobs.items() if j.valid and j.enabled and a not in blamed}
        built = [made for a, job in jobs.items() for made in self.members(a, job)]
        sources = {job.address: job.source for job in built}
        self.found += cycles({job.address: job.depends_on for job in built}, sources)
        return built

    def members(
        self, address: JobAddress, job: Job, *, enabled: bool = True
    ) -> Iterator[DesiredJob]:
        """Put a job together for each of its variants and samples that are enabled, or are not."""
        made: tuple[Job, DesiredJob] | None = None
        for of, each in members(address, job):
            if (job.enabled and each.enabled) is not enabled:
                continue
            if made is None or made[0] is not each:
                made = each, self.job(of.address, each)
            yield replace(made[1], address=of.address)

    def disabled(self) -> tuple[JobAddress, ...]:
        """Return the addresses of what is not enabled; of a whole job, its own as well."""
        found: list[JobAddress] = []
        for address, job in self.jobs.items():
            if not job.enabled:
                found.append(address)
            if job.valid:
                each = members(address, job)
                found += [of.address for of, one in each if not (job.enabled and one.enabled)]
        return tuple(dict.fromkeys(found))

    def job(self, address: JobAddress, job: Job) -> DesiredJob:
        """Put one job together, and note its problems."""
        tools = self._tools(address, job)
        output = self._output(address, job)
        name = parse_model(job.model)
        if name.provider not in self.providers:
            hint = did_you_mean(name.provider, self.providers)
            self._tell(
                address,
                "provider is not known",
                f"{name.provider!r} is not among the providers of batchspec.toml. {hint}",
            )
        output = output or output_mode(None)
        self._output_tools(address, output, tools)
        if told := unfinished(job.row_type):
            self._tell(address, "row_type is not finished", told)
        asked = Contract(
            provider=name.provider,
            endpoint=job.endpoint or self.providers.get(name.provider, ""),
            model=name.model,
            tools=(*(tool.contract for tool in tools.values()), *output.tools),
            output=output.contract,
            settings=_settings(job, output),
            json_mode=output.json_mode,
            later_tool_choice=output.tool_choice,
            triggers=job.triggers or {},
        )
        contract = self._sendable(address, asked)
        names = {tool.name for tool in contract.tools} | {cast("Any", t).name for t in job.tools}
        for problem in choice_problems(contract.settings.get("tool_choice"), names):
            self._tell(address, "tool choice is not possible", problem)
        for problem in endpoint_problems(contract.endpoint, contract.settings):
            self._tell(address, "setting does not fit the endpoint", problem)
        desired = DesiredJob(
            address=address,
            job=job,
            contract=contract,
            output=output,
            tools=tools,
            depends_on=self._needs(address, job),
            judges=self._judged_by(address),
            source=relative(job.source, self.root),
            root=f"{self.root}/",
        )
        self._templates(desired)
        for summary, detail in job.doubts():
            self._tell(address, summary, detail, severity="warning")
        digest, payload = policy_of(desired, self.sources)
        pure = dict(self._pure(address, tools))
        return replace(desired, policy=digest, policy_payload=payload, pure=pure)

    def _sendable(self, address: JobAddress, contract: Contract) -> Contract:
        told = unjson(contract.to_json(), "request")
        if told is None:
            return contract
        self._tell(address, "request is not JSON", told)
        return replace(contract, tools=(), output=None)  # settings were looked at before

    def _pure(
        self, address: JobAddress, tools: Mapping[str, Tool[..., Any]]
    ) -> Iterator[tuple[str, bytes]]:
        """Yield the code of pure tools, but of those whose answers cannot be kept."""
        for name, tool in tools.items():
            if not tool.pure:
                continue
            code = code_of(tool, self.sources)
            if not code.unsaid:
                yield name, code.fingerprint
                continue
            self._tell(
                address,
                f"answers of the pure tool {name!r} are not kept",
                f"It uses an object of type {', '.join(code.unsaid)}, and nobody can tell whether"
                " that changed: equal calls run each time. Give it plain values, dataclasses or"
                " Pydantic models, or drop `pure=True`.",
                severity="warning",
            )

    def _tools(self, address: JobAddress, job: Job) -> dict[str, Tool[..., Any]]:
        tools: dict[str, Tool[..., Any]] = {}
        # Job turns functions into tools.
        for tool in cast("Sequence[Tool[..., Any]]", job.tools):
            problems = [*tool.problems(), *_elsewhere(tool)]
            self.found += [replace(problem, address=address) for problem in problems]
            if tool.name in tools:
                other = tools[tool.name].source
                self._tell(
                    address,
                    "tool name is not unique",
                    f"Two tools are called {tool.name!r} ({other} and {tool.source});"
                    " set `@tool(name=…)`.",
                )
            elif not problems:
                tools[tool.name] = tool
        return tools

    def _output(self, address: JobAddress, job: Job) -> OutputMode | None:
        try:
            mode = job.mode()
            problems = mode.problems
            # Schemas are made late: here is where a type that has none is told.
            _ = mode.instructions, mode.tools, mode.contract
        except Exception as error:  # noqa: BLE001 - pydantic has many ways to say no
            self._tell(
                address,
                "output type has no JSON schema",
                f"{type(error).__name__}: {str(error).partition(chr(10))[0].rstrip('.')}.",
            )
            return None
        for problem in problems:
            self._tell(
                address,
                "output type does not fit strict mode",
                f"{problem}. Or write `{_loose(mode)}`, which only asks for the schema.",
            )
        return mode

    def _output_tools(
        self, address: JobAddress, output: OutputMode, tools: Mapping[str, Tool[..., Any]]
    ) -> None:
        """Note what a provider would refuse in the names and descriptions of output tools."""
        names = [tool.name for tool in output.tools]
        for tool in output.tools:
            if tool.name in tools or names.count(tool.name) > 1:
                self._tell(
                    address,
                    "tool name is not unique",
                    f"An output tool is called {tool.name!r}, as another tool is; set"
                    " `ToolOutput(…, name=…)`.",
                )
            for summary, detail in refusals(tool):
                self._tell(address, f"output {summary}", detail.replace("@tool(", "ToolOutput(…, "))

    def _needs(self, address: JobAddress, job: Job) -> tuple[JobAddress, ...]:
        if not isinstance(job.rows, OutputsOf | Collect):
            return ()
        other = job.rows.job
        known = self.jobs
        if isinstance(other, Job):
            upstream = self._addresses.get(other)
            if upstream is None:
                self._tell(
                    address,
                    "upstream job is not a resource",
                    f"The job made at {relative(other.source, self.root)} is not held by a"
                    " module-level variable of a spec.",
                )
                return ()
        elif (upstream := JobAddress(other)) not in known:
            detail = f"There is no job {other!r}. {did_you_mean(other, known)}"
            self._tell(address, "upstream job is not known", detail)
            return ()
        if not known[upstream].enabled:
            self._tell(
                address,
                "upstream job is not enabled",
                f"Its rows are made of answers of {upstream}, which has `enabled=False`.",
            )
        if not known[upstream].valid:
            return (upstream,)
        return tuple(of.address for of, _ in members(upstream, known[upstream]))

    def _judged_by(self, address: JobAddress) -> tuple[JobAddress, ...]:
        judge = self._judges.get(group_of(address))
        if judge is None or not self.jobs[judge].valid or not self.jobs[judge].enabled:
            return ()
        return tuple(of.address for of, _ in members(judge, self.jobs[judge]))

    def _templates(self, desired: DesiredJob) -> None:
        job, many = desired.job, len(desired.depends_on) > 1
        for summary, detail in (
            *template_problems(job, self.root, many=many),
            *derived_problems(job, self.root, self._upstream, many=many),
            *hook_problems(job, self.root),
        ):
            self._tell(desired.address, summary, detail)

    def _upstream(self, job: Job) -> Job | None:
        """Return the job whose answers a job's rows are made of."""
        other = job.rows.job if isinstance(job.rows, DerivedSource) else None
        found = other if isinstance(other, Job) else self.loaded.jobs.get(JobAddress(other or ""))
        return found if found is not None and found.valid else None

    def _tell(
        self,
        address: JobAddress,
        summary: str,
        detail: str,
        severity: Literal["error", "warning"] = "error",
    ) -> None:
        source = self.loaded.jobs[group_of(address)].source
        self.found.append(
            Diagnostic(
                summary=summary, detail=detail, source=source, address=address, severity=severity
            )
        )


def _elsewhere(tool: Tool[..., Any]) -> Iterator[Diagnostic]:
    """Yield why a tool cannot run in a process of its own, where it is to."""
    if tool.executor == "process" and not importable(tool):
        yield Diagnostic(
            summary=f"tool {tool.name!r} cannot run in a process of its own",
            detail="Another process finds it by its name: define it with `def` at the top level of"
            ' a module that can be imported, or drop `executor="process"`.',
            source=tool.source,
        )


def _settings(job: Job, output: OutputMode) -> dict[str, Any]:
    """Return the body parameters of a job, with those its output mode needs."""
    settings = job.body()
    if output.tool_choice is not None:
        settings.setdefault("tool_choice", output.tool_choice)
    return settings


def _loose(mode: OutputMode) -> str:
    """Return how a person writes an output that the provider need not enforce."""
    kind = mode.marker.type if isinstance(mode, NativeMode) else None
    word = "ToolOutput" if isinstance(mode, ToolMode) else "NativeOutput"
    name = getattr(kind, "__name__", None) or ("…" if kind is None else str(kind))
    return f"{word}({name}, strict=False)"
