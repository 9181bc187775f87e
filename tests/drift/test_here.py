"""Batches that run in this process: nobody else changes them, and a look would go on with them."""

from pathlib import Path

import pytest

from batchspec.config import LiveSettings, Settings
from batchspec.errors import ExitCode, ProviderError
from batchspec.project import Project
from batchspec.testing.simulated import Recorder

SPEC = """
from batchspec import Job, rows

j = Job(model="laptop:tiny", rows=rows.inline([{"id": "a"}]), prompt="say {id}")
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A project whose batch waits for an endpoint that is away."""
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "m.py").write_text(SPEC)
    url = "http://127.0.0.1:9/v1"
    laptop = LiveSettings(type="live", base_url=url, patience=0, retries=0, timeout=1)
    settings = Settings(providers={"laptop": laptop})
    with Project(tmp_path, settings=settings) as project, pytest.raises(ProviderError):
        project.apply()
    return settings


def test_batches_that_run_here_are_not_looked_at(tmp_path: Path, settings: Settings) -> None:
    with Project(tmp_path, settings=settings) as project:
        plan = project.plan()
        hook = Recorder()
        found = project.refresh(hook=hook)
        with project.reader() as reader:
            assert reader.accounts() == {}
    assert (plan.findings, plan.warnings) == ((), ())
    assert [one.looked for one in found.batches] == [False]
    assert (found.exit_code, hook.warnings) == (ExitCode.IN_PROGRESS, [])
