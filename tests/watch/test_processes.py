"""`batchspec watch` as people run it: real processes, files that change, real signals."""

import base64
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from threading import Timer
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from acceptance.rig import Server, environment

from batchspec.project.pending import Pending
from tests.watch.rig import LONGEST, SPEC, Watcher, free_port, keys, project, prompts, rows


@pytest.fixture
def root(tmp_path: Path) -> Path:
    project(tmp_path)
    return tmp_path


def test_a_day_of_a_watcher(root: Path) -> None:
    watcher = Watcher(root, "--approve=all")
    watcher.collected()
    assert keys(root) == {"a": "succeeded", "b": "succeeded"}
    # Data grows: the same engine plans it.
    (engine,) = watcher.engines()
    rows(root, "a", "b", "c")
    watcher.collected()
    assert watcher.engines() == [engine]
    # A module changes that a spec imports: a fresh interpreter.
    (root / "shared.py").write_text('PROMPT = "shout {id}"\n')
    watcher.collected()
    assert watcher.engines() != [engine]
    assert all("shout" in prompt for prompt in prompts(root))
    # A spec that does not load changes nothing; the data goes on.
    (root / "specs" / "m.py").write_text(SPEC + "x = (")
    said = watcher.condition("SpecLoaded", "False")
    assert "specs/m.py:5" in said["message"]
    assert len(keys(root)) == 3
    rows(root, "a", "b", "c", "d")
    watcher.collected()
    assert len(keys(root)) == 4
    # An engine that is killed is succeeded by another one.
    (root / "specs" / "m.py").write_text(SPEC)
    watcher.condition("SpecLoaded", "True")
    (engine,) = watcher.engines()
    os.kill(engine, signal.SIGKILL)
    said = watcher.condition("Running", "False")
    assert "was killed by signal 9; it is started again in 1 s" in said["message"]
    rows(root, "a", "b", "c", "d", "e")
    watcher.collected()
    assert keys(root) == dict.fromkeys("abcde", "succeeded")
    watcher.signal(signal.SIGTERM)
    code, complaints = watcher.end()
    assert code == 128 + signal.SIGTERM
    assert "Traceback" not in complaints
    assert watcher.engines() == []


def test_a_configuration_that_names_another_state_is_not_followed(root: Path) -> None:
    """There everything would be paid for again."""
    watcher = Watcher(root, "--approve=all")
    watcher.collected()
    (root / "batchspec.toml").write_text('state = "elsewhere"\n')
    said = watcher.condition("SpecLoaded", "False")
    assert "the state is another one. The configuration says" in said["message"]
    rows(root, "a", "b", "c")
    watcher.collected()
    assert not (root / "elsewhere").exists()
    (root / "batchspec.toml").unlink()
    watcher.condition("SpecLoaded", "True")
    assert len(keys(root)) == 3
    watcher.signal(signal.SIGTERM)
    watcher.end()


def test_consent_is_given_in_another_terminal(root: Path) -> None:
    watcher = Watcher(root)
    said = watcher.condition("Consented", "False")
    (saved,) = Pending(root / "state" / "simulation")
    short = saved.plan.id[:12]
    assert f"batchspec approve {short}`" in said["message"]
    assert "m.j: 2 to submit" in said["message"]
    approve = [sys.executable, "-m", "batchspec.cli", "approve", "--simulate", short]
    subprocess.run(approve, cwd=root, env=environment(), check=True, capture_output=True)
    watcher.collected()
    watcher.condition("Consented", "True")
    status = [sys.executable, "-m", "batchspec.cli", "status", "--simulate", "--json"]
    told = subprocess.run(status, cwd=root, env=environment(), check=True, capture_output=True)
    assert json.loads(told.stdout)["lease"]["watcher"] == watcher.pid
    watcher.signal(signal.SIGINT)
    assert watcher.end()[0] == 128 + signal.SIGINT
    assert keys(root) == {"a": "succeeded", "b": "succeeded"}


def test_a_file_whose_name_is_no_utf_8_ends_nobody(root: Path) -> None:
    spec = """
k = Job(model="openai:gpt-5-mini", rows=rows.files("docs/*.txt"), prompt="say {text}")
"""
    (root / "specs" / "m.py").write_text(SPEC + spec)
    odd = root / "docs" / os.fsdecode(b"\xff\xfe.txt")
    (root / "docs").mkdir()
    for file in (odd, root / "docs" / "a.txt"):
        file.write_text("x")
    watcher = Watcher(root, "--approve=all")
    assert r"\udcff\udcfe.txt" in watcher.condition("Planned", "False")["message"]
    odd.unlink()
    watcher.collected()
    watcher.signal(signal.SIGTERM)
    assert watcher.end()[0] == 128 + signal.SIGTERM
    assert not [line for line in watcher.lines if "another one takes its place" in str(line)]


def test_a_watcher_that_is_killed_leaves_no_engine_and_the_next_one_goes_on(root: Path) -> None:
    first = Watcher(root, "--approve=all")
    first.collected()
    first.signal(signal.SIGKILL)
    first.end()
    rows(root, "a", "b", "c")
    second = Watcher(root, "--approve=all")
    second.collected()
    assert len(keys(root)) == 3
    second.signal(signal.SIGTERM)
    assert second.end()[0] == 128 + signal.SIGTERM


def test_a_standby_an_engine_that_hangs_and_a_drain_are_told_over_http(root: Path) -> None:
    variables = {"BATCHSPEC_HEALTH_TIMEOUT": "3"}
    first = Watcher(root, "--approve=all", **variables)
    first.collected()
    port = free_port()
    second = Watcher(root, "--approve=all", f"--listen={port}", **variables)
    assert second.told(port, "/readyz", lambda checks: checks["lease"]["ok"] is False)[0] == 503
    assert second.told(port, "/livez", lambda checks: "engine" in checks)[0] == 200
    first.signal(signal.SIGTERM)
    first.end()
    assert second.told(port, "/readyz", lambda checks: checks["lease"]["ok"])[0] == 200
    (engine,) = second.engines()
    os.kill(engine, signal.SIGSTOP)
    assert second.told(port, "/livez", lambda checks: not checks["engine"]["ok"])[0] == 503
    os.kill(engine, signal.SIGCONT)
    assert second.told(port, "/livez", lambda checks: checks["engine"]["ok"])[0] == 200
    second.signal(signal.SIGTERM)
    assert second.end()[0] == 128 + signal.SIGTERM


def test_lines_say_what_they_belong_to(root: Path) -> None:
    watcher = Watcher(root, "--approve=all")
    granted = watcher.wait_for(lambda line: line["type"] == "plan_granted")
    watcher.collected()
    line = watcher.lines[-1]
    assert line["plan"] == granted["plan"] == granted["event"]["plan"]
    assert line["batch"] == line["event"]["id"]
    assert line["reconcile"] == granted["reconcile"]
    watcher.condition("Converged", "True")
    assert watcher.lines[-1]["job"] == "m.j"
    assert (watcher.lines[0]["type"], watcher.lines[0]["format_version"]) == ("version", "1")
    watcher.signal(signal.SIGTERM)
    watcher.end()
    assert not [line for line in watcher.lines if "format_version" in line and "job" in line]
    types = {line["type"] for line in watcher.lines} - {"condition_changed", "plan_granted"}
    rows(root, "a", "b", "z")
    command = [sys.executable, "-m", "batchspec.cli", "apply", "--simulate"]
    applied = subprocess.run(
        [*command, "--auto-approve", "--json"],
        check=True,
        cwd=root,
        env=environment(),
        capture_output=True,
    )
    lines = [json.loads(text) for text in applied.stdout.splitlines()]
    assert {"batch_collected", "batch_submitted"} <= types
    assert types - {"watch_began", "log"} <= {line["type"] for line in lines}
    (collected,) = [one for one in lines if one["type"] == "batch_collected"]
    assert collected.keys() == line.keys()


def test_a_state_that_cannot_be_written_is_told_at_once(root: Path) -> None:
    (root / "state").write_text("a file, where a folder is to be")
    code, said = Watcher(root).end()
    assert code == 1
    assert "cannot be made: Not a directory" in said
    assert "Traceback" not in said


def test_people_read_lines_with_the_time_and_the_round(root: Path) -> None:
    command = [sys.executable, "-m", "batchspec.cli", "watch", "--simulate", "--approve=all"]
    process = subprocess.Popen(
        command, cwd=root, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    timer = Timer(LONGEST, process.kill)
    timer.start()
    assert process.stderr is not None
    lines: list[str] = []
    for line in process.stderr:
        lines.append(line.decode())
        if "collected" in lines[-1]:
            break
    process.send_signal(signal.SIGTERM)
    out, rest = process.communicate()
    timer.cancel()
    assert f"Watching {root}, environment simulation: changes are submitted" in lines[0]
    assert any(line.endswith("Specs loaded: 1 job.\n") for line in lines)
    assert "Stopped." in rest.decode().splitlines()[-1]
    assert "Warning" not in "".join([*lines, rest.decode()])
    form = r"\d{4}-\d\d-\d\dT[\d:.]+Z [0-9a-f]{8} Batch batch_\w+ collected: 2 items final.\n"
    assert re.fullmatch(form, lines[-1]), lines
    assert not out


def test_a_webhook_wakes_it_long_before_it_would_have_looked(root: Path, tmp_path: Path) -> None:
    port = free_port()
    secret = {"OPENAI_WEBHOOK_SECRET": "whsec_" + base64.b64encode(b"k" * 24).decode()}
    url = f"http://127.0.0.1:{port}/webhooks/openai"
    server = Server(tmp_path / "server", ("--webhook", url, "--pace", "0.05"), secret)
    provider = f"http://127.0.0.1:{server.start()}/v1"
    watcher = Watcher(
        root,
        "--approve=all",
        "--max-cost=1",
        f"--listen={port}",
        OPENAI_BASE_URL=provider,
        OPENAI_API_KEY="test",
        BATCHSPEC_POLL_INTERVAL="600",
        **secret,
    )
    watcher.collected()
    with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as answer:
        assert json.load(answer)["ok"]
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        served = answer.read().decode()
        assert 'batchspec_events_total{kind="BatchCollected"} 1.0' in served
        assert 'batchspec_webhooks_total{provider="openai",result="accepted"} 1.0' in served
        assert 'batchspec_engines_total{what="started"} 1.0' in served
        assert "batchspec_leads 1.0" in served
    forged = Request(url, b'{"type": "batch.completed", "data": {"id": "batch_1"}}')
    with pytest.raises(HTTPError, match="400"):
        urlopen(forged, timeout=10)
    watcher.wait_for(lambda line: "A webhook of openai was refused" in line["@message"])
    watcher.signal(signal.SIGTERM)
    assert watcher.end()[0] == 128 + signal.SIGTERM
    server.stop()


def test_a_secret_that_can_be_none_is_told_before_anything_is_watched(root: Path) -> None:
    watcher = Watcher(root, "--listen=0", OPENAI_WEBHOOK_SECRET="whsec_no base64")
    code, said = watcher.end()
    assert code == 1
    assert "OPENAI_WEBHOOK_SECRET holds no secret of a webhook" in said
    assert "no base64" not in said
