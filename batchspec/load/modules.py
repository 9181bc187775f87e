"""Finding every `Job` in `specs/*.py`."""

import ast
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, TypeGuard

from batchspec.errors import Diagnostic, Source
from batchspec.ids import JobAddress
from batchspec.load.errors import explain, shortened
from batchspec.load.imports import Imports
from batchspec.spec.collect import collecting
from batchspec.spec.embedding import EmbeddingJob
from batchspec.spec.job import Job
from batchspec.spec.shapes import is_list, is_mapping

_KINDS = {Job.__name__, EmbeddingJob.__name__, Job.from_agent.__name__}


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the spec modules declare; `jobs` lacks those of modules that failed."""

    jobs: Mapping[JobAddress, Job]
    diagnostics: tuple[Diagnostic, ...] = ()
    imports: Callable[[], AbstractContextManager[None]] = nullcontext
    """Makes the modules importable while users' functions run; see `Imports`."""
    folder: str | None = None
    """Of the modules, relative to the project; None: the jobs were given."""
    modules: Mapping[str, ModuleType] = field(default_factory=dict[str, ModuleType])


def load_modules(root: Path, directory: str = "specs") -> Loaded:
    """Import every module of a project's specs, fresh, and collect its jobs.

    A module that fails becomes a diagnostic; the others still load. Modules whose name starts with
    `_` are not loaded by themselves, but the others can import them.

    Args:
        root: The project's folder.
        directory: The folder of the specs in it.
    """
    root = root.resolve()
    folder = root / directory
    imports = Imports(root, directory)
    if not folder.is_dir():
        return Loaded({}, (shortened(_no_folder(folder), root),), imports, directory)
    files = [file for file in sorted(folder.glob("*.py")) if not file.name.startswith("_")]
    found: list[Diagnostic] = []
    modules: dict[str, ModuleType] = {}
    with imports():
        for file in files:
            found += _import(imports, file, modules)
    jobs, doubled = _owned(modules)
    found += doubled
    found += [d for stem, module in modules.items() for d in _held_elsewhere(stem, module, jobs)]
    # A broken module is met again by each module that imports it.
    diagnostics = tuple(dict.fromkeys(shortened(d, root) for d in found))
    return Loaded(jobs, diagnostics, imports, directory, modules)


def _no_folder(folder: Path) -> Diagnostic:
    return Diagnostic(
        summary="there are no specs",
        detail=f"A project keeps its specs in {folder.name}/*.py. `batchspec init` makes one.",
        source=Source(str(folder)),
    )


def _import(imports: Imports, file: Path, modules: dict[str, ModuleType]) -> Iterator[Diagnostic]:
    source = Source(str(file))
    if not file.stem.isidentifier():
        yield Diagnostic(
            summary="spec's file name is not a module name",
            detail="An address is `module.variable`: use letters, digits and _.",
            source=source,
        )
        return
    with collecting() as collected:
        try:
            modules[file.stem] = imports.load(file.stem)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - users' code may raise anything
            collected.extend(explain(error, source, "loading the module"))
        else:
            collected.extend(_declared_twice(file))
    yield from collected


def _declared_twice(file: Path) -> Iterator[Diagnostic]:
    """Yield a diagnostic per variable that two `Job(…)` of one module are assigned to."""
    first: dict[str, int] = {}
    for statement in ast.parse(file.read_bytes()).body:
        for name in _assigned_jobs(statement):
            if name in first:
                yield Diagnostic(
                    summary="job is declared twice",
                    detail=f"{name!r} is already declared in line {first[name]}, and a variable"
                    " holds one job. Rename one of them.",
                    source=Source(str(file), statement.lineno),
                    address=f"{file.stem}.{name}",
                )
            first.setdefault(name, statement.lineno)


def _assigned_jobs(statement: ast.stmt) -> Iterator[str]:
    match statement:
        case ast.Assign(targets=targets, value=ast.Call(func=function)):
            pass
        case ast.AnnAssign(target=target, value=ast.Call(func=function)):
            targets = [target]
        case _:
            return
    called = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if called in _KINDS:
        yield from (target.id for target in targets if isinstance(target, ast.Name))


def _owned(
    modules: Mapping[str, ModuleType],
) -> tuple[dict[JobAddress, Job], list[Diagnostic]]:
    """Give each job its address: the variable in the module whose import made it."""
    places: dict[Job, list[tuple[str, str]]] = {}
    for stem, module in modules.items():
        for name, job in vars(module).items():
            if _is_job(job):
                places.setdefault(job, []).append((stem, name))
    owned: dict[JobAddress, Job] = {}
    found: list[Diagnostic] = []
    for job, names in places.items():
        home = [n for n in names if modules[n[0]].__file__ == job.module_file] or names
        if len(home) > 1:
            found.append(_two_names(job, home))
        stem, name = home[0]
        owned[JobAddress(f"{stem}.{name}")] = job
    return owned, found


def _is_job(value: object) -> TypeGuard[Job]:
    # By its own type: a proxy says of its class what it likes, or raises.
    return issubclass(type(value), Job)


def _jobs_in(value: object) -> list[Job]:
    try:
        held: Any = list(value.values()) if is_mapping(value) else value
        return [job for job in held if _is_job(job)] if is_list(held) else []
    except Exception:  # noqa: BLE001 - users' objects may raise anything, also when looked at
        return []


def _held_elsewhere(
    stem: str, module: ModuleType, jobs: Mapping[JobAddress, Job]
) -> Iterator[Diagnostic]:
    """Warn of jobs in lists and dicts, which a person may believe to be resources."""
    known = set(jobs.values())
    for name, value in vars(module).items():
        lost = [job for job in _jobs_in(value) if job not in known]
        if lost and not name.startswith("__"):
            yield Diagnostic(
                summary="jobs in a collection are not resources",
                detail=f"{stem}.{name} holds {len(lost)} of them. Give each a variable of its own,"
                " or set them with `globals()[name] = Job(…)`.",
                source=lost[0].source,
                severity="warning",
            )


def _two_names(job: Job, names: list[tuple[str, str]]) -> Diagnostic:
    addresses = " and ".join(f"{stem}.{name}" for stem, name in names)
    return Diagnostic(
        summary="job has two names",
        detail=f"It is known as {addresses}; a job has one address. Keep one of the variables.",
        source=job.source,
        address=".".join(names[0]),
    )
