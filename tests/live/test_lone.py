"""`lone_request = "live"`: too few requests for a batch are asked one by one, and as safely."""

import signal

from upstream import Rule, UpstreamProcess, until

from .conftest import Folder

CONFIG = """
[providers.openai]
base_url = "{url}"

[providers.openai.limits]
min_requests = {least}
lone_request = "{lone}"

[providers.openai.prices.gpt-5-mini]
input = 1_000
output = 2_000
"""
"""Prices of batches; the live endpoint takes twice as much."""


def lonely(folder: Folder, server: UpstreamProcess, rows: int, lone: str = "live") -> None:
    """Write a project whose provider takes no batch of so few rows."""
    text = CONFIG.format(url=server.base_url, least=rows + 1, lone=lone)
    folder.write("batchspec.toml", text)
    folder.variables["OPENAI_API_KEY"] = "sk-live"
    folder.ask(rows, model="openai:gpt-5-mini")


def test_too_few_are_asked_at_the_live_endpoint_of_the_same_account(
    folder: Folder, server: UpstreamProcess
) -> None:
    """Nothing is uploaded, which this endpoint could not take."""
    lonely(folder, server, 3)
    assert folder.run("plan") == 0
    said = " ".join(folder.said.split())
    assert "Note: 3 requests of openai:gpt-5-mini wait for more" in said
    assert "asked one by one at its live endpoint" in said
    assert folder.apply() == 0, folder.said
    assert server.seen["authorization"] == "Bearer sk-live"
    assert sorted(server.seen["answered"]) == [f"Say r{n}." for n in range(3)]
    assert len(folder.results()) == 3
    assert folder.apply() == 0
    assert len(server.seen["answered"]) == 3, "nothing is asked twice"


def test_the_higher_price_is_in_the_budget(folder: Folder, server: UpstreamProcess) -> None:
    """A row is about 8 tokens in and 256 out: $0.52 in a batch, $1.04 here."""
    lonely(folder, server, 1)
    assert folder.apply("--max-cost", "0.8") == 7, folder.said
    assert server.seen["calls"] == 0
    assert folder.apply("--max-cost", "1.1") == 0, folder.said


def test_a_killed_run_asks_no_finished_request_again(
    folder: Folder, server: UpstreamProcess
) -> None:
    """Even when lone requests would be handled in another way by now."""
    server.rules(Rule(times=5), Rule(hold=True))
    lonely(folder, server, 12)
    process = folder.start("apply", "--auto-approve")
    until(lambda: folder.saved("openai") == 5)
    process.kill()
    assert folder.end(process) == -signal.SIGKILL
    first = server.wait(answered=5)["answered"]
    server.reset()
    lonely(folder, server, 12, lone="error")
    assert folder.apply() == 0, folder.said
    assert sorted(first + server.seen["answered"]) == sorted(f"Say r{n}." for n in range(12))
    assert len(folder.results()) == 12


def test_requests_that_may_not_be_sent_end_as_failed(
    folder: Folder, server: UpstreamProcess
) -> None:
    lonely(folder, server, 2, lone="error")
    assert folder.run("plan") == 0
    assert "ends as failed, unsent" in " ".join(folder.said.split())
    assert folder.apply() == 4, folder.said
    assert server.seen["calls"] == 0
