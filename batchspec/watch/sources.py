"""Which files a project's plans depend on."""

from collections.abc import Iterator
from pathlib import Path

from batchspec.desired.graph import Desired
from batchspec.load.imports import Imports
from batchspec.project import Project
from batchspec.spec.rows import Csv, Files, Jsonl, Parquet, RowSource
from batchspec.watch.protocol import Watched

_CONFIGURATION = ("batchspec.toml", "pyproject.toml")


def watched(project: Project, desired: Desired | None) -> Watched:
    """Return the files that specs and rows are read from.

    Args:
        project: Whose.
        desired: What its specs say; None: they do not load.
    """
    root = project.root
    code = {_named(root / name) for name in _CONFIGURATION}
    code.add(_named(root / project.settings.specs / "*.py"))
    data: set[str] = set()
    read: dict[str, str] = {}
    if desired is not None:
        if isinstance(desired.imports, Imports):
            read = desired.imports.read()
            code |= {_named(file) for file in desired.imports.files()}
        for job in (*desired.jobs, *desired.paused):
            data |= {_named(path) for path in _paths(job.rows, root)}
    return Watched(
        code=tuple(sorted(code)),
        data=tuple(sorted(data)),
        attached=() if desired is None else attached(desired),
        read=read,
    )


def attached(desired: Desired) -> tuple[str, ...]:
    """Return globs of the files that prompts were found to point at so far."""
    found = (one for job in (*desired.jobs, *desired.paused) for one in job.attached.patterns())
    return tuple(sorted({_named(Path(one).absolute()) for one in found}))


def _named(path: Path) -> str:
    """Return a path as a text; one that is no UTF-8 as a glob that matches it."""
    return str(path).encode("utf-8", "replace").decode()


def _paths(rows: RowSource, root: Path) -> Iterator[Path]:
    match rows:
        case Jsonl() | Csv():
            yield root / rows.path
        case Parquet():
            yield root / rows.file
        case Files():
            yield root / rows.pattern
        case _:
            return
