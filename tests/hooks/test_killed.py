"""A process that is killed among its hooks: the next one tells the rest, and leaves nothing out."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

SPEC = """
import json, os, pathlib, signal
from batchspec import Job, RunContext, rows

TOLD = pathlib.Path("told.jsonl")

def item(ctx: RunContext, item):
    with TOLD.open("a") as file:
        file.write(json.dumps([item.key, ctx.call_id]) + "\\n")
    if len(TOLD.read_text().splitlines()) == 70:
        os.kill(os.getpid(), signal.SIGKILL)

def final(job):
    pathlib.Path("final").write_text(str(job.items))

j = Job(
    model="openai:gpt-5-mini",
    rows=rows.inline([{"id": f"k{n}"} for n in range(120)]),
    prompt="say {id}",
    on_item_final=item,
    on_job_final=final,
)
"""


def apply(folder: Path) -> int:
    command = [sys.executable, "-m", "batchspec", "apply", "--simulate", "--auto-approve"]
    environment = {**os.environ, "BATCHSPEC_SIMULATOR__SPEED": "1000"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
    return done.returncode


def test_a_crash_tells_some_again_and_leaves_none_out(tmp_path: Path) -> None:
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "m.py").write_text(SPEC)
    assert apply(tmp_path) == -signal.SIGKILL
    first = (tmp_path / "told.jsonl").read_text().count("\n")
    assert first < 120
    assert not (tmp_path / "final").exists()
    # Everything is answered by now; what is left is to tell it.
    assert apply(tmp_path) == 0
    told = [json.loads(line) for line in (tmp_path / "told.jsonl").read_text().splitlines()]
    assert {key for key, _ in told} == {f"k{n}" for n in range(120)}
    # What was told twice has the same name both times.
    assert len({name for _, name in told}) == 120
    assert len(told) > 120
    assert (tmp_path / "final").read_text() == "120"
