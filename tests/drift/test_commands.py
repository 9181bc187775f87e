"""The command line against a server of its own: `plan`, `refresh`, and what they say."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from acceptance.rig import Server

from batchspec.cli.main import main
from batchspec.errors import ExitCode

SPEC = """
from batchspec import Job, rows

j = Job(model="openai:gpt-5-mini", rows=rows.inline([{"id": "a"}, {"id": "b"}]), prompt="say {id}")
"""


class Shell:
    """A project on disk and the commands that are run in it."""

    def __init__(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capfd = capfd
        (folder / "specs").mkdir()
        (folder / "specs" / "m.py").write_text(SPEC)

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """Run a command; returns its exit code and what it wrote to both streams."""
        self._capfd.readouterr()
        code = main(arguments)
        return code, *self._capfd.readouterr()

    def json(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        code, out, _ = self(*arguments, "--json")
        document: dict[str, Any] = json.loads(out)
        return code, document


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A server whose batches take their time."""
    server = Server(tmp_path_factory.mktemp("server"), ("--pace", "1000"))
    yield server.start()
    server.stop()


@pytest.fixture
def shell(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Shell:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{port}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-first-secret")
    return Shell(tmp_path, capfd)


def test_commands_on_an_open_batch(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refresh, drift, other keys: in one story, as each needs a batch at the server."""
    assert shell("apply", "--auto-approve", "--detach")[0] == ExitCode.IN_PROGRESS
    code, out, _ = shell("refresh")
    assert code == ExitCode.IN_PROGRESS
    assert "is validating, 0 of 2 requests done." in out
    code, out, _ = shell("plan", "--refresh-only", "--detailed-exitcode")
    assert (code, out) == (0, "No drift: every open batch is as recorded, or goes on.\n")
    _rotated_key(shell, monkeypatch)
    _without_a_key(shell, monkeypatch)
    _cancelled(shell)
    state = b"".join(p.read_bytes() for p in (shell.folder / "state").rglob("*") if p.is_file())
    assert b"secret" not in state


def _rotated_key(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-second-secret")
    code, document = shell.json("plan")
    assert (code, [one["code"] for one in document["drift"]]) == (0, ["ACCOUNT_CHANGED"])
    _told_in_events(shell)
    for command in (("apply", "--auto-approve"), ("refresh",)):
        code, _, err = shell(*command)
        assert code == ExitCode.REFUSED
        assert "batchspec refresh --rebind openai" in err
    assert shell("refresh", "--rebind", "openai")[0] == ExitCode.IN_PROGRESS
    code, document = shell.json("plan")
    assert document["drift"] == []


def _without_a_key(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    code, out, err = shell("plan", "--detailed-exitcode")
    assert code == ExitCode.CHANGES
    assert "2 to continue" in out
    assert "were not looked at: No key for provider 'openai'" in err
    assert shell("plan", "--no-refresh")[2] == ""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-second-secret")


def _told_in_events(shell: Shell) -> None:
    """By an apply that a key of another account stops."""
    _, out, _ = shell("apply", "--json", "--auto-approve")
    events = [json.loads(line) for line in out.splitlines()]
    (drift,) = (event for event in events if event["type"] == "drift")
    assert drift["finding"]["code"] == "ACCOUNT_CHANGED"
    assert events[-1]["type"] == "error"


def _cancelled(shell: Shell) -> None:
    """Somebody cancels the batch with another program."""
    from openai import OpenAI  # noqa: PLC0415 - slow to load

    with OpenAI() as sdk:
        (batch,) = sdk.batches.list(limit=1).data
        sdk.batches.cancel(batch.id)
    code, document = shell.json("plan", "--refresh-only", "--detailed-exitcode")
    assert code == ExitCode.CHANGES
    assert [one["code"] for one in document["drift"]] == ["BATCH_CANCELLED_REMOTELY"]
    code, out, _ = shell("plan")
    assert f"  ! batch {batch.id} is being cancelled at the provider: 0 of 2 requests" in out
    code, document = shell.json("refresh")
    assert code == ExitCode.IN_PROGRESS
    assert (document["open"], document["batches"][0]["status"]) == (1, "cancelling")


def test_a_plan_without_open_batches_needs_no_key(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    code, out, err = shell("plan")
    assert (code, err) == (0, "")
    assert "2 to submit" in out


def test_refresh_only_is_about_batches_alone(shell: Shell) -> None:
    for more in ("--no-refresh", "--target=m.j"):
        code, _, err = shell("plan", "--refresh-only", more)
        assert code == ExitCode.USAGE
        assert "looks at batches alone" in err


def test_refreshing_a_simulation(shell: Shell) -> None:
    assert shell("apply", "--simulate", "--auto-approve")[0] == 0
    code, out, _ = shell("refresh", "--simulate")
    assert (code, out) == (0, "No batch is open; there was nothing to look at.\n")
