"""3,080 real questions of a bank's customers, through the SDK to a server, killed on the way."""

from typing import Any

import pytest

from acceptance.conftest import Bench, Service
from acceptance.proxy import Trap
from acceptance.rig import ProjectOnDisk, executed

ROWS = 3080
BATCHES = 8
PACE = ("--pace", "0.02")

Reference = tuple[ProjectOnDisk, Service, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def undisturbed(bench: Bench) -> Reference:
    """A project that was applied once, by a process that nobody killed."""
    service = bench.service("banking-calm", *PACE)
    project = bench.banking77("banking-calm", service)
    project.apply()
    results = project.results()
    bench.count("banking77", results, service.executed(), "0")
    return project, service, results


def test_every_row_has_one_outcome_and_every_line_ran_once(undisturbed: Reference) -> None:
    """The plain case, in batches of 400."""
    _, service, results = undisturbed
    done = service.executed()
    assert len({item["key"] for item in results}) == len(results) == ROWS
    assert {item["outcome"] for item in results} == {"succeeded"}
    assert {item["turns"] for item in results} == {1}
    assert (done.total, done.doubled, done.batches) == (ROWS, 0, BATCHES)
    assert len({item["output"]["intent"] for item in results}) == 77


def test_a_second_apply_sends_nothing_and_a_changed_row_one_row(undisturbed: Reference) -> None:
    """Not one request, then one line."""
    project, service, results = undisturbed
    before = service.proxy.counts.copy()
    project.apply()
    assert service.proxy.counts == before
    table = project.folder / "data" / "test.csv"
    text = table.read_text(encoding="utf-8")
    table.write_text(text.replace("How do I locate my card?", "Where is my card?", 1), "utf-8")
    try:
        project.apply()
        done = service.executed()
        assert (done.total, done.doubled, done.batches) == (ROWS + 1, 0, BATCHES + 1)
        changed = project.results()
        assert len(changed) == ROWS
        assert [a["key"] for a, b in zip(changed, results, strict=True) if a != b] == ["q-0001"]
        # The old answer was paid for: going back costs nothing.
        table.write_text(text, "utf-8")
        project.apply()
        assert service.executed().total == ROWS + 1
        assert project.results() == results
    finally:
        table.write_text(text, "utf-8")


def test_killed_again_and_again_each_line_runs_once(bench: Bench, undisturbed: Reference) -> None:
    """SIGKILL at every kind of request, and inside the transactions between them."""
    service = bench.service("banking-killed", *PACE)
    project = bench.banking77("banking-killed", service)

    def kill(trap: Trap) -> None:
        project.apply_and_kill(service.proxy, trap)

    project.apply_and_die("row:2000")
    assert not service.proxy.counts
    kill(Trap("upload", "after"))
    kill(Trap("create", "before", nth=2))
    kill(Trap("create", "after"))
    kill(Trap("poll", "after", nth=3))
    kill(Trap("download", "inside"))
    kill(Trap("download", "after"))
    project.apply_and_die("validator:250")
    kill(Trap("delete", "before"))
    kill(Trap("delete", "after"))
    project.apply()

    done, results = service.executed(), project.results()
    bench.count("banking77, killed", results, done, str(project.kills))
    assert (done.total, done.doubled) == (ROWS, 0)
    assert results == undisturbed[2]
    before = service.proxy.counts.copy()
    project.apply()
    assert service.proxy.counts == before


def test_the_server_in_the_process_dies_with_it(bench: Bench, undisturbed: Reference) -> None:
    """`--simulate`: one process holds both sides, and goes on with both."""
    project = bench.banking77("banking-simulated")
    project.apply_and_die("answer:1500")
    project.apply_and_die("answer:1")
    project.apply_and_die("validator:100")
    project.apply()
    results = project.results()
    server = bench.server(project.folder / "state" / "simulation" / "simulator")
    done = executed(server)
    bench.count("banking77, --simulate, killed", results, done, str(project.kills))
    assert (done.total, done.doubled) == (ROWS, 0)
    assert results == undisturbed[2]
