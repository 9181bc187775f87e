"""Rows that are sent on as answers come in: early, and once, though processes are killed."""

from acceptance.conftest import Bench
from acceptance.proxy import Trap
from acceptance.rig import HERE

STAGES = ("first", "second", "third")
ROWS = 12


def test_rows_flow_before_the_last_answer_and_each_line_runs_once(bench: Bench) -> None:
    """SIGKILL when the first batch below was made, while rows are made, and when one was read.

    The server's own records tell when batches began and ended.
    """
    scenario = str(HERE / "projects" / "slower.toml")
    service = bench.service("flow", "--pace", "0.02", "--scenario", scenario)
    project = bench.flow("flow", service)
    project.apply_and_kill(service.proxy, Trap("create", "after", nth=4))
    project.apply_and_die("where:2")
    project.apply_and_kill(service.proxy, Trap("download", "after"))
    service.server.run_at(12)
    project.apply()

    done = service.executed()
    results = [item for stage in STAGES for item in project.results(f"flow.{stage}")]
    bench.count("three eager jobs, killed", results, done, str(project.kills))
    assert (done.total, done.doubled, len(results)) == (3 * ROWS, 0, 3 * ROWS)
    assert {item["outcome"] for item in results} == {"succeeded"}

    batches = service.server.batches()
    # A batch may hold requests of several jobs; it is named after the first of them.
    last = max(b["completed_at"] for b in batches if b["metadata"]["stage"] == "first")
    early = [b["metadata"]["stage"] for b in batches if b["created_at"] < last]
    assert {"second", "third"} <= set(early)

    before = service.proxy.counts.copy()
    project.apply()
    assert service.proxy.counts == before
