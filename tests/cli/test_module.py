"""`python -m batchspec`: what a script sees of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from batchspec.errors import ExitCode

SPEC = """
from batchspec import Job, rows
j = Job(model="openai:gpt-5-mini", rows=rows.inline([{"id": "a"}]), prompt="x")
"""


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["plann"], 64, "There is no command"),
        (["apply", "--auto-approve", "--env", "simulation"], ExitCode.ERROR, "Use `--simulate`"),
        (["apply", "--auto-approve", "--simulate"], ExitCode.DONE, ""),
    ],
    ids=["unknown command", "the environment of simulations", "simulated"],
)
def test_the_exit_code_is_that_of_the_command(
    tmp_path: Path, arguments: list[str], code: int, told: str
) -> None:
    """A real key is set and no endpoint is there: nothing may be sent where answers are made up."""
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "m.py").write_text(SPEC)
    (tmp_path / "batchspec.toml").write_text("[simulator]\npace = 0\n")
    source = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "batchspec", *arguments],
        cwd=tmp_path,
        env=os.environ
        | {
            "PYTHONPATH": str(source),
            "OPENAI_API_KEY": "k",
            "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, told in done.stderr) == (code, True)
