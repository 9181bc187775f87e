"""Every way an item can end, made by the server's faults, as people and scripts see it.

On chats and on responses, through `batchspec apply` of a process of its own.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import pytest

from acceptance.conftest import Bench
from acceptance.rig import HERE, ProjectOnDisk
from batchspec.cli.main import main
from batchspec.errors import ExitCode
from batchspec.messages import Outcome

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
FAULTS = HERE / "projects" / "outcomes" / "faults.toml"
ENDPOINTS = {"openai": "/v1/chat/completions", "openai-responses": "/v1/responses"}
REASONS: Mapping[Outcome, str] = {
    "failed": r"HTTP|400|error|invalid",
    "refused": r"can't help",
    "truncated": r"limit of output tokens",
    "filtered": r"content filter",
    "exhausted": r"still called tools in turn 2 of 2",
    "cancelled": r"cancell?ed",
    "expired": r"completion window expired|expired before it ran",
    "lost": r"does not have the result file any more",
}
"""What a person is told of each way but the good one."""

Ended = tuple[str, ProjectOnDisk, Any]


@pytest.fixture(scope="module", params=ENDPOINTS)
def ended(request: pytest.FixtureRequest, bench: Bench) -> Ended:
    """A project all of whose jobs have ended, each in its own way."""
    name = f"outcomes-{request.param}"
    service = bench.service(name, "--pace", "0.02", "--scenario", str(FAULTS))
    project = bench.outcomes(name, service, request.param)
    one, all_ = ("--target", "ends.cancelled"), ("apply", "--auto-approve")
    assert project.run(*all_, "--detach", *one) == ExitCode.IN_PROGRESS, project.said()
    assert project.run("status") == ExitCode.IN_PROGRESS, project.said()
    assert project.run("cancel", one[1], "--auto-approve") == ExitCode.DONE, project.said()
    code = project.run(*all_, "--exclude", one[1])
    assert code == ExitCode.FAILED_ITEMS, project.said()
    return request.param, project, service


def test_every_outcome_has_a_job_and_a_reason() -> None:
    """A new outcome has to be reached here too."""
    spec = (FAULTS.parent / "specs" / "ends.py").read_text()
    jobs = set(re.findall(r"^(\w+) = (?:ends|Job)\(", spec, re.MULTILINE))
    assert jobs == set(OUTCOMES)
    assert REASONS.keys() == set(OUTCOMES) - {"succeeded"}


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_a_job_ends_as_its_model_says(
    ended: Ended, outcome: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its reason; in the results, and in those that failed."""
    provider, project, _ = ended
    monkeypatch.chdir(project.folder)
    monkeypatch.setenv("ENDS_AT", provider)
    results = exported(outcome)
    assert [(item["key"], item["outcome"]) for item in results] == [("a", outcome), ("b", outcome)]
    assert all(item["output"] is None for item in results) == (outcome != "succeeded")
    assert exported(outcome, "--failed") == ([] if outcome == "succeeded" else results)
    for item in results:
        assert re.search(REASONS.get(outcome, "^$"), item["reason"] or ""), item["reason"]


def exported(outcome: Outcome, *flags: str) -> Any:
    """Return what `results` writes of a job, in this process: another one takes a second."""
    file = Path("results.jsonl")
    assert main(["results", f"ends.{outcome}", *flags, "-o", str(file)]) == 0
    return [json.loads(line) for line in file.read_bytes().splitlines()]


def test_the_status_counts_them(ended: Ended) -> None:
    provider, project, service = ended
    assert project.run("status", "--json") == ExitCode.FAILED_ITEMS, project.said()
    status = json.loads(project.said())
    counts = {job["address"]: job["outcomes"] for job in status["jobs"]}
    assert counts == {f"ends.{outcome}": {outcome: 2} for outcome in OUTCOMES}
    assert {batch["endpoint"] for batch in service.server.batches()} == {ENDPOINTS[provider]}


def test_what_was_not_answered_is_proposed_again_and_the_rest_is_final(ended: Ended) -> None:
    _, project, service = ended
    before = len(service.server.batches())
    assert project.run("plan", "--json") == 0
    plan = json.loads(project.said())
    again = {job["address"] for job in plan["jobs"] if job["requests"]}
    assert again == {"ends.cancelled", "ends.expired", "ends.lost"}
    assert len(service.server.batches()) == before
