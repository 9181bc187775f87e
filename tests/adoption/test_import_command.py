"""`batchspec import` on the command line, with a batch somebody made at the embedded server."""

import json
from pathlib import Path
from typing import Any

import anyio
import httpx2
import openai
import pytest
from cli.conftest import Run, run  # noqa: F401 - a fixture

from adoption.handmade import ENDPOINT, line
from batchspec.errors import ExitCode
from batchspec.simulator import AppTransport, SimulatedClock, create_app

SPEC = """
from batchspec import Job, rows
j = Job(model="openai:gpt-5-mini", rows=rows.inline([{"id": "a"}, {"id": "b"}]), prompt="say {id}")
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "m.py").write_text(SPEC)
    return tmp_path


def by_hand(root: Path, *lines: dict[str, Any]) -> str:
    """Make a batch at the server that `--simulate` runs."""
    app = create_app(root / "state" / "simulation" / "simulator", clock=SimulatedClock(speed=1))

    async def make() -> str:
        http = httpx2.AsyncClient(transport=AppTransport(app))
        async with openai.AsyncOpenAI(
            api_key="mine", base_url="http://simulator/v1", http_client=http
        ) as client:
            data = b"\n".join(json.dumps(x).encode() for x in lines)
            file = await client.files.create(file=("mine.jsonl", data), purpose="batch")
            batch = await client.batches.create(
                input_file_id=file.id, endpoint=ENDPOINT, completion_window="24h"
            )
            return batch.id

    try:
        return anyio.run(make)
    finally:
        app.state.engine.close()


def test_it_says_what_matched_and_what_comes_next(run: Run, project: Path) -> None:  # noqa: F811
    batch = by_hand(project, line("a", "say a"), line("b", "say b", seed=3), line("c", "say c"))
    asked = run("import", "m.j", batch, "--simulate")
    assert (asked.code, "`--match custom-id`" in asked.err) == (ExitCode.REFUSED, True)
    done = run("import", "m.j", batch, "--simulate", "--match", "request")
    assert done.code == ExitCode.DONE
    assert f"Imported batch {batch}: 1 request of m.j." in done.out
    assert "1 line for no row (such as 'c')" in done.out
    assert "1 row of 2 without a line in it" in done.out
    assert "Next: batchspec plan --simulate" in done.out
    assert "line 'b' for row 'b': body.seed is 3 in the batch, absent in the job" in done.err
    again = run("import", "m.j", batch, "--simulate")
    assert (again.code, again.out) == (
        ExitCode.DONE,
        f"Batch {batch} is in the state already, with 1 request of m.j; nothing was done.\n",
    )
    planned = run("plan", "--simulate")
    assert "because the rows are not on record yet: 1 row to submit" in planned.out
    assert "continue" in planned.out
    assert "1 to submit" in planned.out


def test_json(run: Run, project: Path) -> None:  # noqa: F811
    batch = by_hand(project, line("a", "say a"), line("b", "say b", seed=3))
    command = ("import", "m.j", batch, "--simulate", "--match", "request", "--json")
    told = json.loads(run(*command).out)
    assert told | {"status": None} == {
        "format_version": "1",
        "address": "m.j",
        "batch": batch,
        "already": False,
        "members": 1,
        "lines": 2,
        "answered": 0,
        "under_way": 0,
        "unmatched": 0,
        "unread": 0,
        "rows": 2,
        "rows_without_line": 1,
        "other_requests": 0,
        "mismatches": 1,
        "status": None,
        "example": {
            "custom_id": "b",
            "key": "b",
            "path": "body.seed",
            "job": "absent",
            "batch": "3",
        },
    }
    again = json.loads(run(*command).out)
    assert (again["already"], again["members"], again["lines"]) == (True, 1, None)
    assert run("apply", "--simulate", "--auto-approve").code == ExitCode.DONE
    listed = run("batches", "--all", "--simulate").out
    (row,) = [text for text in listed.splitlines() if batch in text]
    assert "2/2" in row, "of the batch's own lines, not of those that are ours"
    refused = run("import", "m.j", "batch_x", "--simulate", "--json")
    assert refused.code == ExitCode.ERROR
    assert "knows no batch" in json.loads(refused.out)["error"]["message"]


def test_endings(run: Run, project: Path) -> None:  # noqa: F811
    unknown = run("import", "m.k", "batch_x", "--simulate")
    assert (unknown.code, "There is no job 'm.k'" in unknown.err) == (ExitCode.USAGE, True)
    batch = by_hand(project, line("z", "say z"))
    nothing = run("import", "m.j", batch, "--simulate")
    assert nothing.code == ExitCode.REFUSED
    assert "1 for no row (such as 'z')" in nothing.err
    assert run("plan", "--simulate").out.count("2 to submit") == 2
