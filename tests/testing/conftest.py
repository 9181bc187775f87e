"""Runs of pytest in processes of their own, with the plugin as users get it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

RunPytest = Callable[..., str]
"""Writes files given by keyword, runs pytest with the arguments over them, returns what it says.

The last line is its exit code.
"""


def run_in(folder: Path, files: dict[str, str], *arguments: str) -> str:
    """Write files and run pytest over them in a process that has keys and settings."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text), encoding="utf-8")
    clean = {n: v for n, v in os.environ.items() if not n.startswith(("PYTEST", "COV"))}
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        env=clean | {"OPENAI_API_KEY": "sk-secret", "BATCHSPEC_ENV": "prod", "COLUMNS": "120"},
        capture_output=True,
        text=True,
        check=False,
    )
    return f"{ended.stdout}{ended.stderr}\nexit code {ended.returncode}"


@pytest.fixture
def run_pytest(tmp_path: Path) -> RunPytest:
    def run(*arguments: str, **files: str) -> str:
        return run_in(tmp_path, files, *arguments)

    return run
