"""Provider `type = "live"`: whole runs against a live endpoint, killed, stopped and cut off."""

import signal
from pathlib import Path

import pytest
from upstream import Rule, UpstreamProcess, until

from batchspec.cli.main import main

from .conftest import Folder

EVERYBODY = {f"Say r{n}." for n in range(30)}


def test_a_conversation_with_tools_runs_on_a_live_endpoint(
    folder: Folder, server: UpstreamProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.path)
    assert main(["init", "--template", "tools"]) == 0
    spec = folder.path / "specs/support.py"
    spec.write_text(spec.read_text().replace("openai:gpt-5-mini", "laptop:llama"))
    folder.live(server)
    assert folder.run("validate") == 0
    assert folder.run("plan") == 0
    assert "in this process, against " + server.base_url in folder.said
    assert "est. $0.00" in folder.said
    assert server.seen["calls"] == 0
    assert folder.apply() == 0, folder.said
    assert "tool calls run" in folder.said
    assert all(answer["text"] for answer in folder.results(job="support.answer").values())
    calls = server.seen["calls"]
    assert folder.apply() == 0
    assert server.seen["calls"] == calls


def test_a_live_endpoint_may_speak_responses(
    folder: Folder, server: UpstreamProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Turns with tools, whose items the other side checks as the service does."""
    monkeypatch.chdir(folder.path)
    assert main(["init", "--template", "tools"]) == 0
    spec = folder.path / "specs/support.py"
    spec.write_text(spec.read_text().replace("openai:gpt-5-mini", "laptop:gpt-5-mini"))
    folder.live(server, endpoint="/v1/responses")
    assert folder.apply() == 0, folder.said
    assert "tool calls run" in folder.said
    assert all(answer["text"] for answer in folder.results(job="support.answer").values())


def test_the_bound_of_a_reply_has_the_name_that_local_servers_know(
    folder: Folder, server: UpstreamProcess
) -> None:
    folder.live(server)
    folder.ask(1)
    spec = folder.path / "specs/m.py"
    spec.write_text(
        spec.read_text().replace("prompt=", 'settings={"max_tokens": 50},\n    prompt=')
    )
    assert folder.run("render", "m.ask") == 0
    assert '"max_tokens": 50' in folder.said
    assert folder.apply() == 0, folder.said


def test_a_price_of_ones_own_counts(folder: Folder, server: UpstreamProcess) -> None:
    folder.live(server)
    prices = "\n[providers.laptop.prices.llama]\ninput = 100\noutput = 100\n"
    folder.write("batchspec.toml", (folder.path / "batchspec.toml").read_text() + prices)
    folder.ask(3)
    assert folder.apply("--max-cost", "0.0001") == 7
    assert server.seen["calls"] == 0
    assert folder.apply() == 0
    assert "$0.00 " not in folder.said


def test_a_killed_run_asks_no_finished_line_again(folder: Folder, server: UpstreamProcess) -> None:
    server.rules(Rule(times=12), Rule(hold=True))
    folder.live(server)
    folder.ask(30)
    process = folder.start("apply", "--auto-approve")
    until(lambda: folder.saved() == 12)
    process.kill()
    assert folder.end(process) == -signal.SIGKILL
    first = server.wait(answered=12)["answered"]
    server.reset()
    assert folder.apply() == 0, folder.said
    second = server.seen["answered"]
    assert sorted(first + second) == sorted(EVERYBODY)
    assert len(folder.results()) == 30


def test_an_interrupt_lets_running_calls_end_and_saves_them(
    folder: Folder, server: UpstreamProcess
) -> None:
    server.rules(Rule(times=12), Rule(hold=True))
    folder.live(server)
    folder.ask(30)
    process = folder.start("apply", "--auto-approve")
    server.wait(answered=12, active=4)
    process.send_signal(signal.SIGINT)
    until(lambda: "Stopping" in folder.said)
    # What is released too early is answered all the same; it never gets beyond what was running.
    server.rules(Rule(match="nobody"))
    server.release()
    assert folder.end(process) == 130, folder.said
    assert "Batches of laptop stop here, and go on at the line" in " ".join(folder.said.split())
    first = server.seen["answered"]
    assert len(first) >= 16
    server.reset()
    assert folder.apply() == 0, folder.said
    assert sorted(first + server.seen["answered"]) == sorted(EVERYBODY)


def test_an_endpoint_that_is_not_running_is_told(folder: Folder, server: UpstreamProcess) -> None:
    folder.live(server)
    folder.ask(30)
    server.kill()
    assert folder.run("plan") == 0
    assert folder.apply() == 1
    assert f"nothing answers at {server.base_url}" in folder.said
    assert "Traceback" not in folder.said
    server.start()
    assert folder.apply() == 0, folder.said
    assert sorted(server.seen["answered"]) == sorted(EVERYBODY)


def test_certificates_that_cannot_be_read_are_told(folder: Folder, server: UpstreamProcess) -> None:
    folder.live(server, base_url="https://127.0.0.1:9/v1")
    folder.ask(3)
    folder.variables["SSL_CERT_FILE"] = "nowhere.pem"
    assert folder.apply() == 1, folder.said
    assert "'laptop' is away: it cannot be asked: the certificates" in folder.said
    assert "correct or unset SSL_CERT_FILE" in folder.said
    assert "Traceback" not in folder.said
    assert not list(folder.path.rglob("crash-*"))
    # The database was closed, which leaves no log of it behind.
    assert not list(folder.path.rglob("simulator.db-wal"))
    folder.live(server)
    assert folder.apply() == 0, folder.said
    assert len(folder.results()) == 3


def test_an_endpoint_that_comes_back_costs_nothing(folder: Folder, server: UpstreamProcess) -> None:
    server.rules(Rule(times=10), Rule(hold=True))
    folder.live(server, retries=0)
    folder.ask(30)
    process = folder.start("apply", "--auto-approve")
    until(lambda: folder.saved() == 10)
    server.kill()
    server.start()
    assert folder.end(process) == 0, folder.said
    assert len(folder.results()) == 30


def test_a_refused_key_ends_the_run_and_is_not_shown(
    folder: Folder, server: UpstreamProcess
) -> None:
    server.rules(Rule(status=401))
    folder.live(server, api_key_env="LAPTOP_KEY", patience=0)
    folder.ask(3)
    assert folder.apply() == 1
    assert "set LAPTOP_KEY" in folder.said
    folder.variables["LAPTOP_KEY"] = "a-very-secret-key"
    assert folder.apply() == 1
    assert "refuses the key" in folder.said
    server.reset()
    assert folder.apply() == 0, folder.said
    assert server.seen["authorization"] == "Bearer a-very-secret-key"
    kept = [path for path in folder.path.rglob("*") if path.is_file()]
    assert kept
    assert not [path for path in kept if b"very-secret" in path.read_bytes()]


def test_rows_the_endpoint_refuses_fail_with_its_words(
    folder: Folder, server: UpstreamProcess
) -> None:
    server.rules(Rule(match="r2.", status=400, body='{"error":{"message":"too long for llama"}}'))
    folder.live(server)
    folder.ask(4)
    assert folder.apply() == 4
    assert folder.run("results", "m.ask", "--failed", "--format", "jsonl") == 0
    assert "too long for llama" in folder.said
    assert folder.said.count("\n") == 1


def test_a_success_without_an_answer_fails_with_the_words_of_the_endpoint(
    folder: Folder, server: UpstreamProcess
) -> None:
    server.rules(
        Rule(match="r0.", body='{"choices": []}'),
        Rule(match="r1.", body='{"error": {"message": "out of memory"}}'),
    )
    folder.live(server, retries=1)
    folder.ask(2)
    assert folder.apply() == 4
    # Two tries, in each of the four batches a row is sent with at most.
    assert server.seen["calls"] == 2 * 2 * 4
    assert "no answer to ours" not in folder.said
    assert folder.run("results", "m.ask", "--failed", "--format", "jsonl") == 0
    assert "HTTP 200 without an answer" in folder.said
    assert "out of memory" in folder.said


def test_detach_waits_for_what_would_not_run_afterwards(
    folder: Folder, server: UpstreamProcess
) -> None:
    folder.live(server)
    folder.ask(5)
    assert folder.apply("--detach") == 0
    assert "nothing would run after it" in folder.said
    assert len(folder.results()) == 5


@pytest.mark.parametrize("environment", ["simulation"])
def test_the_simulation_environment_reaches_no_endpoint(
    folder: Folder, server: UpstreamProcess, environment: str
) -> None:
    folder.live(server)
    folder.ask(2)
    assert folder.apply("--env", environment) == 1
    assert "kept for simulated answers" in folder.said
    assert folder.apply("--simulate") == 0, folder.said
    assert server.seen["calls"] == 0
    assert not Path(folder.path / "state/simulation/live").exists()
