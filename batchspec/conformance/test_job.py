"""Whole jobs, applied by the command line against the server."""

import secrets
from collections.abc import Iterator

import pytest

from batchspec.conformance.checks import check
from batchspec.conformance.project import SmallProject
from batchspec.conformance.server import Server

_CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def project(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallProject]:
    """The small project, not applied yet."""
    if server.target.endpoint != _CHAT:
        pytest.skip(f"jobs are sent to {_CHAT}")
    made = SmallProject(tmp_path_factory.mktemp("project"), secrets.token_hex(8))
    made.write(server.target)
    yield made
    made.batches(server)  # noted, so that their files are deleted


@pytest.fixture(scope="module")
def applied(server: Server, project: SmallProject) -> SmallProject:
    """The small project after its job `plain` was applied."""
    project.apply(server, "plain")
    return project


@check("job.completes", "must", "paid", "batchspec apply")
def test_completes(server: Server, applied: SmallProject) -> None:
    """`batchspec apply` completes a job: every row gets an answer."""
    items = applied.results(server, "plain")
    assert [item["outcome"] for item in items] == ["succeeded"] * 3
    assert all(item["output"] for item in items)


@check("job.pays-once", "must", "paid", "batchspec apply")
def test_pays_once(server: Server, applied: SmallProject) -> None:
    """One batch is enough, and a second apply sends nothing."""
    assert len(applied.batches(server)) == 1
    applied.apply(server, "plain")
    assert len(applied.batches(server)) == 1


@check("job.tools", "should", "paid", "batchspec apply")
def test_tools(server: Server, project: SmallProject) -> None:
    """A job with a tool goes through several turns, and every row gets an answer."""
    project.apply(server, "tools")
    items = project.results(server, "tools")
    assert [item["outcome"] for item in items] == ["succeeded"] * 2
    assert min(item["turns"] for item in items) > 1
