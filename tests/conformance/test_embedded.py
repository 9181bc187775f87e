"""The embedded server keeps to everything, in this process's way and as a server of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from acceptance.rig import Server

from .conftest import Suite

NO_KEYS = {"errors.wrong-key-401"}
"""Any key will do for the embedded server."""
OWN = "not client and not job"
"""The server's own half of the checks."""


def test_the_embedded_server_conforms(suite: Suite) -> None:
    run = suite()
    assert run.failures() == {}
    assert run.ids("skipped") == NO_KEYS
    assert len(run.ids("passed")) > 140
    assert run.code == 0, run.said


@pytest.mark.parametrize(
    ("endpoint", "skipped"),
    [
        ("/v1/responses", NO_KEYS),
        ("/v1/embeddings", NO_KEYS | {"lines.tool-call", "lines.schema"}),
    ],
)
def test_the_embedded_server_conforms_at_every_endpoint(
    suite: Suite, endpoint: str, skipped: set[str]
) -> None:
    """Clients and jobs speak to one endpoint, which is that of the first test."""
    run = suite("--endpoint", endpoint, "-k", OWN)
    assert run.failures() == {}
    assert run.ids("skipped") == skipped
    assert len(run.ids("passed")) > 120
    assert run.code == 0, run.said


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Server]:
    """The server as a process, at the pace that people see."""
    server = Server(tmp_path / "server")
    server.start()
    yield server
    server.stop()


def test_the_embedded_server_conforms_on_a_port(suite: Suite, served: Server) -> None:
    """With a clock that is moved from outside; and it is left without a file.

    Jobs are applied against such a process in the acceptance tests, by a client that has its own.
    """
    url = f"http://127.0.0.1:{served.port}"
    run = suite("--base-url", f"{url}/v1", "--admin-url", f"{url}/admin", "-k", OWN)
    assert run.failures() == {}
    assert run.ids("skipped") == NO_KEYS
    assert run.code == 0, run.said
    assert b'"data":[]' in served.get("files")
