"""`batches`, `history` and `state`, as people and programs see them."""

import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from batchspec.errors import ExitCode

Run = Callable[..., Any]
JOB, ITEM = "hello.greet", 'hello.greet["en"]'


@pytest.fixture
def here(run: Run) -> Callable[..., Any]:
    """Run a command in a small project that was applied."""
    assert run("init").code == 0
    assert run("apply", "--simulate", "--auto-approve").code == 0
    return lambda *arguments: run(*arguments, "--simulate")


def _keys(here: Run) -> list[str]:
    items = json.loads(here("state", "list", JOB, "--json").out)["items"]
    return [item["key"] for item in items]


def test_lists_can_be_piped(here: Run) -> None:
    """One address a line; items say their phase and outcome."""
    assert here("state", "list").out == f"{JOB}\n"
    first = here("state", "list", JOB).out.splitlines()[0]
    assert first == f'{JOB}["{_keys(here)[0]}"]  final  succeeded'
    assert here("state", "list", "--items").out == here("state", "list", JOB).out
    assert here("state", "list", "hello.*").out == f"{JOB}\n"
    assert json.loads(here("state", "list", "--json").out)["jobs"] == [JOB]
    assert here("state", "list", f'{JOB}["{_keys(here)[1]}"]').out.count("\n") == 1


def test_details_for_people_and_programs(here: Run) -> None:
    item = f'{JOB}["{_keys(here)[0]}"]'
    told = here("state", "show", item).out
    shown = json.loads(here("state", "show", item, "--json").out)
    assert shown["fingerprint"] in told
    assert shown["outcome"] == "succeeded"
    assert shown["bodies"]["request"]["file"].endswith(".jsonl.zst")
    assert json.loads(here("state", "show", JOB, "--json").out)["contract"] == shown["contract"]


def test_batches_open_and_done(here: Run) -> None:
    assert here("batches").out == "No batch is open. All: --all\n"
    every = here("batches", "--all").out
    (batch,) = json.loads(here("batches", "--all", "--json").out)["batches"]
    assert batch["remote_id"] in every
    assert batch["model"] == "gpt-5-mini"
    assert here("batches", JOB, "--all").out.splitlines()[0].split()[0] == "batch"


def test_history_leaves_out_what_is_no_news(here: Run) -> None:
    lines = here("history").out.splitlines()
    events = json.loads(here("history", "--json").out)["events"]
    assert "rows agreed to" in lines[0]
    assert any(line.endswith("5 items final.") for line in lines)
    assert [event["seq"] for event in events] == sorted(event["seq"] for event in events)
    assert {"PlanAgreed", "BatchCollected"} <= {event["type"] for event in events}
    assert here("history", "--last", "1").out.splitlines() == lines[-1:]
    assert json.loads(here("history", "--json", "--last", "2").out)["events"] == events[-2:]


def test_changes_by_hand_are_told(here: Run) -> None:
    assert here("state", "mv", JOB, "hello.hi").out == f"Moved {JOB} to hello.hi.\n"
    assert here("state", "rm", "hello.hi").out == "Forgot hello.hi: 5 items.\n"
    assert here("state", "list").out == ""
    told = here("history").out.splitlines()[-2:]
    assert f"{JOB} is hello.hi now." in told[0]
    assert "hello.hi: 5 items forgotten." in told[1]


def test_mistakes_have_their_exit_code_and_a_hint(here: Run) -> None:
    for command in (("state", "show"), ("batches",), ("history",), ("state", "rm")):
        ended = here(*command, "hello.gret")
        assert ended.code == ExitCode.USAGE
        assert f"Did you mean '{JOB}'?" in ended.err
    wrong = here("state", "show", "hello.gret", "--json")
    assert json.loads(wrong.out)["error"]["exit_code"] == ExitCode.USAGE


@pytest.mark.parametrize(
    "command", ["batches", "history", "state list", "state show a.b", "state rm a.b", "unlock x"]
)
def test_without_a_state_they_say_so(run: Run, command: str) -> None:
    ended = run(*command.split())
    assert ended.code == ExitCode.ERROR
    assert "There is no state at" in ended.err


def test_a_state_goes_from_one_place_to_another(here: Run, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "state.tar.zst"
    pulled = here("state", "pull", "-o", str(file))
    assert (pulled.code, pulled.out) == (0, "")
    assert file.stat().st_mode & 0o077 == 0
    assert here("state", "push", str(file)).out.startswith("The state is that very copy already")
    elsewhere = ("--simulate", "--project", str(tmp_path / "other"))
    (tmp_path / "other").mkdir()
    pushed = run("state", "push", str(file), "--json", *elsewhere)
    assert json.loads(pushed.out)["changed"]
    assert run("state", "list", *elsewhere).out == f"{JOB}\n"
    assert here("state", "rm", JOB).code == 0
    refused = here("state", "push", str(file))
    assert (refused.code, "--force" in refused.err) == (ExitCode.REFUSED, True)
    forced = here("state", "push", str(file), "--force")
    (kept,) = re.findall(r"is kept in (\S+); `state push FILE --force` puts it back", forced.out)
    assert here("state", "list").out == f"{JOB}\n"
    assert here("state", "push", kept, "--force").code == 0
    assert here("state", "list").out == ""
    mixed = run("state", "push", str(file), "--force")
    assert (mixed.code, "never mix" in mixed.err) == (ExitCode.REFUSED, True)


@pytest.mark.usefixtures("here")
def test_a_state_can_be_piped(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "batchspec.cli", "state", "pull", "--simulate"]
    piped = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    assert piped.stdout.startswith(b"\x28\xb5\x2f\xfd"), "Zstandard"
    assert piped.stderr == b""


@pytest.mark.damages_state
def test_verify_tells_what_is_broken(here: Run, tmp_path: Path) -> None:
    assert here("state", "verify").out == "The state is sound.\n"
    assert json.loads(here("state", "verify", "--json").out) == {
        "format_version": "1",
        "sound": True,
        "problems": [],
    }
    path = tmp_path / "state" / "simulation" / "batchspec.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript("UPDATE conversations SET phase = 'odd' WHERE id = 1")
    broken = here("state", "verify")
    assert broken.code == ExitCode.ERROR
    assert "- conversation 1 is in an unknown phase" in broken.out
    told = json.loads(here("state", "verify", "--json").out)
    assert not told["sound"]
    assert told["problems"]


def test_every_field_of_a_listed_batch_is_told(here: Run) -> None:
    (batch,) = json.loads(here("batches", "--all", "--json").out)["batches"]
    text = (Path(__file__).parents[2] / "docs" / "commands.md").read_text(encoding="utf-8")
    row = next(li for li in text.partition("| `batches --json`")[2].splitlines()[1:])
    assert set(re.findall(r"`(\w+)`", row)) == set(batch)
