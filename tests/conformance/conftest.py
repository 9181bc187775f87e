"""Runs the suite as people do: pytest in a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Run:
    """What a run of the suite said."""

    code: int
    said: str
    report: dict[str, Any]

    def ids(self, outcome: str) -> set[str]:
        return {check["id"] for check in self.report["checks"] if check["outcome"] == outcome}

    def failures(self) -> dict[str, str]:
        """Return details by id, to be compared with nothing."""
        return {c["id"]: c["detail"] for c in self.report["checks"] if c["outcome"] == "failed"}


Suite = Callable[..., Run]


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    """Runs the suite with some options."""

    def run(*options: str, **variables: str) -> Run:
        report = tmp_path / "report.json"
        command = [sys.executable, "-m", "pytest", "--pyargs", "batchspec.conformance"]
        done = subprocess.run(
            [*command, "-p", "no:cacheprovider", "--report", str(report), *options],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        said = done.stdout + done.stderr
        return Run(done.returncode, said, json.loads(report.read_text()) if report.exists() else {})

    return run
