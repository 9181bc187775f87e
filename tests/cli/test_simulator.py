"""`batchspec simulator serve` and `clock`, as processes of their own."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from batchspec.errors import ExitCode

Run = Callable[..., Any]
Process = subprocess.Popen[str]
Serve = Callable[..., tuple[Process, dict[str, Any]]]
TOKEN = "a-token-of-more-than-sixteen"


@pytest.fixture
def serve(start: Callable[..., Process]) -> Serve:
    """Starts servers, and reads what they announce for programs."""

    def begin(*options: str, **environment: str) -> tuple[Process, dict[str, Any]]:
        process = start("simulator", "serve", "--port", "0", "--json", *options, **environment)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()
        return process, json.loads(line)

    return begin


def stop(process: Process, number: signal.Signals = signal.SIGTERM) -> tuple[str, str]:
    process.send_signal(number)
    return process.communicate(timeout=60)


def refused(start: Callable[..., Process], *options: str, **environment: str) -> tuple[int, str]:
    """Return how a server that is not to start ends, and what it says."""
    process = start("simulator", "serve", *options, **environment)
    out, err = process.communicate(timeout=60)
    assert out == ""
    assert "Traceback" not in err
    return process.returncode, err


# --- announcing and ending


def test_programs_are_told_where_it_listens(serve: Serve, tmp_path: Path) -> None:
    process, told = serve()
    port = told["base_url"].removeprefix("http://127.0.0.1:").removesuffix("/v1")
    assert told == {
        "format_version": "1",
        "base_url": f"http://127.0.0.1:{port}/v1",
        "admin_url": f"http://127.0.0.1:{port}/admin",
        "pid": process.pid,
        "directory": str(tmp_path / "state" / "simulator"),
        "admin_token_file": None,
    }
    assert httpx2.get(told["admin_url"] + "/state").json()["files"] == 0
    # Nothing else is said until the end.
    assert stop(process) == ("", "Stopped. Nothing that was recorded is lost.\n")
    assert process.returncode == ExitCode.TERMINATED


def test_people_are_told_in_words(start: Callable[..., Process]) -> None:
    process = start("simulator", "serve", "--port", "0")
    assert process.stderr is not None
    line = process.stderr.readline()
    assert line.startswith("listening on http://127.0.0.1:")
    out, err = stop(process, signal.SIGINT)
    assert (out, process.returncode) == ("", ExitCode.INTERRUPTED)
    assert err.strip() == "Stopped. Nothing that was recorded is lost."


ASK = """
import sys, openai
client = openai.OpenAI(base_url=sys.argv[1], api_key="any", max_retries=0)
messages = [{"role": "user", "content": "Hello"}]
print(client.chat.completions.create(model="any", messages=messages).choices[0].message.content)
"""


def test_an_open_answer_ends_before_the_server_does(serve: Serve, tmp_path: Path) -> None:
    """The answer waits for a pipe, so that the signal comes first."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    model = "def answer(body):\n    return open('pipe').read()\n"
    (tmp_path / "slow.py").write_text(model)
    process, told = serve("--answers", "slow.py:answer")
    with subprocess.Popen(
        [sys.executable, "-c", ASK, told["base_url"]], stdout=subprocess.PIPE, text=True
    ) as client:
        # Opening returns once the model has begun to read.
        with pipe.open("w") as answer:
            process.send_signal(signal.SIGTERM)
            answer.write("at last")
        assert client.communicate(timeout=60)[0] == "at last\n"
    assert process.wait(60) == ExitCode.TERMINATED


# --- what cannot be


def test_a_port_that_is_taken_is_named(start: Callable[..., Process], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, err = refused(start, "--port", port)
    assert code == ExitCode.ERROR
    assert f"Port {port} of 127.0.0.1 is in use." in err
    assert "--port" in err
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host", ""])
def test_an_address_that_is_not_here_is_named(start: Callable[..., Process], host: str) -> None:
    code, err = refused(start, "--host", host)
    assert code == ExitCode.ERROR
    assert f"listen on {host}, port 8765" in err


def test_a_second_server_over_a_directory_is_told_of_the_first(
    serve: Serve, start: Callable[..., Process]
) -> None:
    process, told = serve("--directory", "d")
    code, err = refused(start, "--port", "0", "--directory", "d")
    assert code == ExitCode.LOCKED
    assert f"d is being served by process {told['pid']}." in err
    # The lock dies with the process, whatever it dies of.
    process.kill()
    process.wait()
    serve("--directory", "d")


@pytest.mark.parametrize("kind", ["file", "below a file", "database"])
def test_a_directory_that_cannot_be_used_is_named(
    start: Callable[..., Process], tmp_path: Path, kind: str
) -> None:
    (tmp_path / "f").write_text("")
    directory = {"file": "f", "below a file": "f/d", "database": "d"}[kind]
    if kind == "database":
        (tmp_path / "d").mkdir()
        (tmp_path / "d" / "simulator.db").write_text("no database at all" * 100)
    code, err = refused(start, "--port", "0", "--directory", directory)
    assert code == ExitCode.ERROR
    assert f"{directory} cannot be used: " in err
    assert "--directory" in err


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--start-at", "soon", "'soon' is no moment"),
        ("--start-at", "0001-01-01", "is no moment between 1970 and 9999"),
        ("--speed", "-1", "-1.0 is not in the range"),
        ("--speed", "inf", "inf is no factor"),
        ("--pace", "nan", "nan is no factor"),
        ("--port", "65536", "65536 is not in the range"),
        ("--webhook", "http://localhost/", "set OPENAI_WEBHOOK_SECRET"),
        ("--scenario", "perfect-storms", "no scenario"),
        ("--answers", "nowhere.txt", "path/to/file.jsonl"),
    ],
)
def test_an_option_that_is_not_right_is_named(
    start: Callable[..., Process], option: str, value: str, told: str
) -> None:
    code, err = refused(start, "--port", "0", option, value)
    assert code == ExitCode.USAGE
    assert option in err
    assert told in err


def test_a_webhook_that_is_not_right_is_named(start: Callable[..., Process]) -> None:
    secret = "whsec_n!t-base64"
    for url in ("localhost", "http://localhost/"):
        code, err = refused(start, "--webhook", url, OPENAI_WEBHOOK_SECRET=secret)
        assert code == ExitCode.USAGE
        assert "--webhook" in err
        assert secret not in err


# --- beyond this machine


def test_elsewhere_it_warns_and_keeps_the_administration_to_itself(
    serve: Serve, tmp_path: Path
) -> None:
    process, told = serve("--host", "0.0.0.0")
    path = Path(told["admin_token_file"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    token = path.read_text().strip()
    admin = told["admin_url"].replace("0.0.0.0", "127.0.0.1")
    assert httpx2.get(admin + "/clock").status_code == 401
    given = {"authorization": f"Bearer {token}"}
    assert httpx2.get(admin + "/clock", headers=given).status_code == 200
    out, err = stop(process)
    assert err.startswith(
        "warning: listening on 0.0.0.0: everyone who reaches this machine can read and run batches."
    )
    assert "state/simulator/admin-token" in err
    assert token not in out + err
    assert tmp_path / "state" / "simulator" / "admin-token" == path


def test_the_token_can_come_from_the_environment(
    serve: Serve, start: Callable[..., Process]
) -> None:
    name = "BATCHSPEC_SIMULATOR_ADMIN_TOKEN"
    process, told = serve("--host", "0.0.0.0", **{name: TOKEN})
    assert told["admin_token_file"] is None
    url = told["base_url"].replace("0.0.0.0", "127.0.0.1")
    clock = start("simulator", "clock", "--url", url, **{name: TOKEN})
    assert clock.communicate(timeout=60)[0].endswith(", 1 s a second\n")
    clock = start("simulator", "clock", "--url", url)
    assert (
        "wants its admin token. Set BATCHSPEC_SIMULATOR_ADMIN_TOKEN"
        in clock.communicate(timeout=60)[1]
    )
    assert clock.returncode == ExitCode.ERROR
    _, err = stop(process)
    assert f"that of {name}" in err
    assert TOKEN not in err
    code, err = refused(start, **{name: "short"})
    assert code == ExitCode.ERROR
    assert "fewer than 16 characters" in err


def test_on_loopback_no_other_name_will_do(serve: Serve) -> None:
    _, told = serve()
    for headers, status in (({}, 200), ({"host": "evil.example"}, 403), ({"origin": "null"}, 403)):
        assert httpx2.get(told["admin_url"] + "/clock", headers=headers).status_code == status


# --- time


def test_the_clock_is_shown_and_moved_from_the_command_line(serve: Serve, run: Run) -> None:
    process, told = serve("--start-at", "2027-01-01T00:00:00Z", "--speed", "0")
    url = ("--url", told["base_url"])
    assert run("simulator", "clock", *url).out == "2027-01-01T00:00:00Z, it stands still\n"
    moved = run("simulator", "clock", "--advance", "1d12h", *url, "--json")
    assert json.loads(moved.out)["clock"]["iso"] == "2027-01-02T12:00:00Z"
    moved = run("simulator", "clock", "--set", "2027-03-01", *url)
    assert moved.out == "2027-03-01T00:00:00Z, it stands still\n"
    process.kill()
    process.wait()

    # A server that was killed goes on from there, also with the very same options.
    process, told = serve("--start-at", "2027-01-01T00:00:00Z", "--speed", "0")
    url = ("--url", told["admin_url"].removesuffix("/admin") + "/")
    assert run("simulator", "clock", *url).out == "2027-03-01T00:00:00Z, it stands still\n"
    assert "1000 s a second" in run("simulator", "clock", "--speed", "1000", *url).out

    past = run("simulator", "clock", "--set", "2026-01-01", *url)
    assert (past.code, past.out) == (ExitCode.USAGE, "")
    assert "Time does not run backwards" in past.err
    unread = run("simulator", "clock", "--advance", "soon", *url)
    assert "'soon' is no duration" in unread.err
    stop(process)
    gone = run("simulator", "clock", *url)
    assert gone.code == ExitCode.ERROR
    assert "No server answers at http://127.0.0.1:" in gone.err
    assert "simulator serve" in gone.err
    wrong = run("simulator", "clock", "--url", "http://[")
    assert wrong.code == ExitCode.USAGE
    assert "'http://[' is no URL" in wrong.err


def test_a_batch_of_a_day_passes_in_a_blink(serve: Serve, run: Run) -> None:
    _, told = serve("--speed", "0", "--pace", "8000")
    with openai.OpenAI(base_url=told["base_url"], api_key="any") as client:
        line = {
            "custom_id": "a",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": "m", "messages": [{"role": "user", "content": "Hello"}]},
        }
        file = client.files.create(file=("a.jsonl", json.dumps(line).encode()), purpose="batch")
        batch = client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        assert client.batches.retrieve(batch.id).status == "validating"
        for duration, status in (("10h", "in_progress"), ("10h", "completed")):
            run("simulator", "clock", "--advance", duration, "--url", told["base_url"])
            assert client.batches.retrieve(batch.id).status == status


# --- other options


def test_a_recording_that_cannot_be_added_to_is_told_before_anything_is_answered(
    serve: Serve, start: Callable[..., Process], tmp_path: Path
) -> None:
    upstream = ("--upstream", "http://127.0.0.1:9/v1", "--record")
    process, _ = serve(*upstream, "answers.jsonl")
    code, err = refused(start, "--directory", "other", *upstream, "answers.jsonl")
    assert code == ExitCode.USAGE
    assert "--record: another process is recording to answers.jsonl" in err
    stop(process)
    serve(*upstream, "answers.jsonl")
    (tmp_path / "file").touch()
    code, err = refused(start, "--directory", "other", *upstream, "file/answers.jsonl")
    assert code == ExitCode.USAGE
    assert "--record" in err
    assert "file" in err
    code, err = refused(start, "--record", "answers.jsonl")
    assert code == ExitCode.USAGE
    assert "name one with --upstream" in err


def test_only_the_models_it_is_given_exist(serve: Serve) -> None:
    _, told = serve("--models", "gpt-5-mini, mine")
    with openai.OpenAI(base_url=told["base_url"], api_key="any") as client:
        assert [model.id for model in client.models.list()] == ["gpt-5-mini", "mine"]
