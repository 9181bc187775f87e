"""Hooks that are commands: whether the program is there."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from batchspec.spec.hooks import HOOKS, Command, targets
from batchspec.spec.job import Job


def hook_problems(job: Job, root: Path) -> Iterator[tuple[str, str]]:
    """Yield (summary, detail) for commands of hooks that are not there."""
    for kind, target in targets(job).items():
        program = target.program if isinstance(target, Command) else None
        if program is not None and not _is_there(program, root):
            detail = (
                f"There is no program {program!r} that can be run. A name is looked for on PATH, "
                "and a path from the project's folder."
            )
            yield f"command of {HOOKS[kind]} is not found", detail


def _is_there(program: str, root: Path) -> bool:
    if os.sep not in program:
        return shutil.which(program) is not None
    # Where the command runs, a path that is not absolute begins.
    path = root / program
    return path.is_file() and os.access(path, os.X_OK)
