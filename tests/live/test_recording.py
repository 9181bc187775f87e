"""Recording from a live provider, and replaying offline."""

import json
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from upstream import Rule, UpstreamProcess, until

from batchspec.simulator import Recording

from .conftest import Folder

FILE = "recorded/answers.jsonl"


def recorded(folder: Folder) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder.path / FILE).read_bytes().splitlines()]


def test_one_spec_has_the_same_items_live_replayed_and_through_a_server(
    folder: Folder, server: UpstreamProcess, serve: Callable[..., str], tmp_path: Path
) -> None:
    folder.live(server, record=FILE)
    folder.ask(8)
    assert folder.apply() == 0, folder.said
    live = folder.results()
    assert len(live) == 8
    mode = (folder.path / FILE).stat().st_mode
    assert stat.S_IMODE(mode) == 0o600
    lines = recorded(folder)
    assert [sorted(line) for line in lines] == [
        ["custom_id", "error", "request_hash", "response"]
    ] * 8
    server.kill()
    assert folder.apply("--simulate") == 0
    assert "8 answers were replayed; 0 were in no recording" in folder.said
    assert folder.results("--simulate") == live
    server.start()

    other = Folder(tmp_path / "other")
    other.path.mkdir()
    other.ask(8, model="openai:llama")
    url = serve("--upstream", server.base_url, "--record", "vcr.jsonl", "--pace", "0")
    other.variables = {
        "OPENAI_BASE_URL": url,
        "OPENAI_API_KEY": "simulated",
        "BATCHSPEC_POLL_INTERVAL": "0.1",
    }
    assert other.apply() == 0, other.said
    assert other.results() == live
    # Asked once more, the server needs no upstream.
    server.kill()
    assert other.run("apply", "--auto-approve", "--env", "again") == 0, other.said
    assert other.results("--env", "again") == live
    server.start()


def test_a_request_that_is_not_recorded_is_made_up_and_counted(
    folder: Folder, server: UpstreamProcess
) -> None:
    folder.live(server, record=FILE)
    folder.ask(3)
    assert folder.apply() == 0, folder.said
    folder.ask(5)
    assert folder.apply("--simulate") == 0
    assert "3 answers were replayed; 2 were in no recording and were made up" in folder.said


def test_nothing_is_recorded_twice_though_a_run_dies_in_between(
    folder: Folder, server: UpstreamProcess
) -> None:
    folder.live(server, record=FILE)
    folder.ask(6)
    assert folder.apply() == 0, folder.said
    path = folder.path / FILE
    whole = path.read_bytes()
    # As if it had died while it wrote the fourth line, before the state knew of the batch.
    folder.run("status")
    lines = whole.splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3]) + lines[3][:40])
    again = Folder(folder.path)
    again.variables = {"BATCHSPEC_ENV": "again"}
    assert again.apply() == 0, again.said
    assert sorted(line["custom_id"] for line in recorded(folder)) == sorted(
        json.loads(line)["custom_id"] for line in lines
    )
    assert path.read_bytes().startswith(b"".join(lines[:3]))


def test_what_is_sent_again_is_recorded_once_it_is_answered(
    folder: Folder, server: UpstreamProcess
) -> None:
    server.rules(Rule(match="r1.", status=500, times=1))
    folder.live(server, record=FILE, retries=0)
    folder.ask(3)
    assert folder.apply() == 0, folder.said
    lines = recorded(folder)
    assert len(lines) == 3
    assert {line["response"]["status_code"] for line in lines} == {200}


def test_what_failed_is_replayed_as_it_was_answered_in_the_end(
    folder: Folder, server: UpstreamProcess
) -> None:
    server.rules(
        Rule(match="r0.", status=500),
        Rule(match="r1.", status=404, body='{"error":{"message":"no such model"}}'),
        Rule(match="r2.", body="<html>"),
    )
    folder.live(server, record=FILE, retries=0)
    folder.ask(4)
    assert folder.apply() == 4, folder.said
    assert sorted(line["response"]["status_code"] for line in recorded(folder)) == [200, 404]
    assert folder.apply("--simulate", "--env", "simulation") == 4, folder.said
    assert "2 answers were replayed; 2 were in no recording" in folder.said
    server.reset()
    assert folder.apply("--replace", "m.ask") == 0, folder.said
    assert folder.apply("--simulate", "--replace", "m.ask") == 0, folder.said
    assert "4 answers were replayed; 0 were in no recording" in folder.said
    assert folder.results("--simulate") == folder.results()


def test_a_run_that_is_killed_leaves_a_recording_to_go_on_with(
    folder: Folder, server: UpstreamProcess
) -> None:
    server.rules(Rule(match="r1", hold=True))
    folder.live(server, record=FILE, limits={"max_requests": 2})
    config = folder.path / "batchspec.toml"
    config.write_text(config.read_text().replace('limits = {"max_requests": 2}', ""))
    folder.write(
        "batchspec.toml", config.read_text() + "[providers.laptop.limits]\nmax_requests = 2"
    )
    folder.ask(6)
    process = folder.start("apply", "--auto-approve")
    until(lambda: (folder.path / FILE).exists() and len(recorded(folder)) == 4)
    process.kill()
    assert folder.end(process) == -signal.SIGKILL
    server.reset()
    assert folder.apply() == 0, folder.said
    names = [line["custom_id"] for line in recorded(folder)]
    assert len(names) == len(set(names)) == 6


def test_a_recording_that_is_none_is_told(folder: Folder, server: UpstreamProcess) -> None:
    folder.live(server, record=FILE)
    folder.ask(1)
    folder.write(FILE, "nonsense\n")
    for flags in ([], ["--simulate"]):
        assert folder.apply(*flags) == 1
        assert f"{FILE}:1: this line is not JSON" in folder.said
    assert server.seen["calls"] == 0


def test_a_recording_that_another_process_adds_to_is_told_before_anything_is_asked(
    folder: Folder, server: UpstreamProcess
) -> None:
    folder.live(server, record=FILE)
    folder.ask(3)
    holder = Recording(folder.path / FILE, growing=True)
    holder.claim()
    assert folder.apply() == 1
    assert "providers.laptop.record is not right: another process is recording to" in folder.said
    assert server.seen["calls"] == 0
    assert folder.apply("--simulate") == 0, folder.said
    holder.close()
    assert folder.apply() == 0, folder.said
    assert len(recorded(folder)) == 3
