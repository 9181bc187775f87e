"""Jobs made of answers: killed while the answers of one become the rows of the next."""

from acceptance.conftest import Bench
from acceptance.proxy import Trap

LINES = 12 + 12 + 1


def test_killed_between_jobs_each_line_runs_once(bench: Bench) -> None:
    """SIGKILL before, while and after rows are derived."""
    service = bench.service("chain", "--pace", "0.02")
    project = bench.chain("chain", service)
    project.apply_and_kill(service.proxy, Trap("delete", "after", nth=2))
    project.apply_and_die("where:1")
    project.apply_and_die("where:9")
    project.apply_and_kill(service.proxy, Trap("create", "after"))
    project.apply_and_kill(service.proxy, Trap("download", "after"))
    project.apply_and_die("prompt:1")
    project.apply_and_kill(service.proxy, Trap("upload", "after"))
    project.apply()

    done = service.executed()
    results = [
        item for job in ("notes", "longer", "whole") for item in project.results(f"chain.{job}")
    ]
    bench.count("three jobs in a chain, killed", results, done, str(project.kills))
    assert (done.total, done.doubled, len(results)) == (LINES, 0, LINES)
    assert {item["outcome"] for item in results} == {"succeeded"}
    before = service.proxy.counts.copy()
    project.apply()
    assert service.proxy.counts == before
