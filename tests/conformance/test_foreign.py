"""Servers that other people wrote: the suite knows their departures, and our client its way.

Run by `make conformance-foreign`, which installs them; they prove that the client does not lean on
habits of our own server.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from batchspec.conformance.project import SmallProject
from batchspec.conformance.server import Server, Target
from batchspec.conformance.timeline import RealTime
from batchspec.simulator import create_app, serving

from .conftest import Suite
from .foreign import Foreign, aibrix, aimock

pytestmark = pytest.mark.skipif(
    not os.environ.get("BATCHSPEC_FOREIGN"), reason="servers of others: make conformance-foreign"
)
ECHOED = {
    "index": 0,
    "finish_reason": "stop",
    "message": {"role": "assistant", "content": "an answer in the request"},
}


@pytest.fixture(params=[aimock, aibrix], ids=["aimock", "aibrix"])
def foreign(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Foreign]:
    start: Callable[[Path], AbstractContextManager[Foreign]] = request.param
    with start(tmp_path) as running:
        yield running


def test_only_known_departures(suite: Suite, foreign: Foreign) -> None:
    """What is unexpected is a departure that is new, or one that is mended."""
    options = ("--base-url", foreign.base_url, "--departures", str(foreign.departures))
    run = suite(*options, "--deadline", "120")
    assert run.failures() == {}
    assert run.ids("mended") == set()
    assert run.ids("skipped") == {"errors.wrong-key-401"}
    assert run.code == 0, run.said


@pytest.fixture
def make_server() -> Iterator[Callable[[str], Server]]:
    made: list[Server] = []

    def make(base_url: str) -> Server:
        target = Target(
            base_url=base_url,
            api_key=None,
            model="gpt-5-mini",
            endpoint="/v1/chat/completions",
            deadline=120,
        )
        made.append(Server(target, RealTime()))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_our_client_completes_a_job(
    foreign: Foreign, tmp_path: Path, make_server: Callable[[str], Server]
) -> None:
    """Where a server echoes, the answer stands in the request; the others do not mind it."""
    server = make_server(foreign.base_url)
    project = SmallProject(tmp_path / "project", "token")
    project.write(server.target, {"extra_body": {"choices": [ECHOED]}})
    project.apply(server, "plain")
    items = project.results(server, "plain")
    assert [item["outcome"] for item in items] == ["succeeded"] * 3
    assert all(item["output"] for item in items)
    project.apply(server, "plain")
    assert len(project.batches(server)) == 1


def test_aibrix_with_an_engine_completes_every_job(suite: Suite, tmp_path: Path) -> None:
    """With answers from a model the only departures left are those of files and batches."""
    app = create_app(tmp_path / "engine")
    with serving(app) as url, aibrix(tmp_path, engine=url.removesuffix("v1")) as running:
        run = suite("--base-url", running.base_url, "-k", "job", "--deadline", "120")
    assert run.failures() == {}
    assert run.ids("passed") == {"job.completes", "job.pays-once", "job.tools"}
