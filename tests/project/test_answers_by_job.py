"""Simulated answers of the user's own, by job and by model."""

from pathlib import Path

import pytest

from batchspec.ids import Fingerprint, JobAddress, custom_id
from batchspec.project.project import Project
from batchspec.store.lookup import JobLookup

SPECS = """
from batchspec import Job, rows

triage = Job(model="openai:gpt-5-mini", prompt="Route {id}", rows=rows.inline([{"id": "a"}]))
reply = Job(model="openai:gpt-5-mini", prompt="Reply to {id}", rows=rows.inline([{"id": "a"}]))
draft = Job(model="openai:gpt-4o", prompt="Draft {id}", rows=rows.inline([{"id": "a"}]))
"""
ANSWERS = """
def triage(body):
    return "by job"

def four(body):
    return "by model"

def rest(body):
    return "by nothing"
"""
TABLE = """
[simulator]
pace = 0

[simulator.answers]
"tickets.triage" = "answers.py:triage"
"gpt-4*" = "answers.py:four"
"*" = "answers.py:rest"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "tickets.py").write_text(SPECS)
    (tmp_path / "answers.py").write_text(ANSWERS)
    (tmp_path / "batchspec.toml").write_text(TABLE)
    return tmp_path


def test_each_job_is_answered_by_its_own_function(project: Path) -> None:
    with Project(project, simulate=True) as applied:
        applied.apply(applied.plan())
    with Project(project, environment="simulation") as done, done.reader() as reader:
        answers = {
            name: [item.text for item in reader.items(JobAddress(f"tickets.{name}"))]
            for name in ("triage", "reply", "draft")
        }
        (fingerprint,) = reader.db.execute(
            "SELECT c.fingerprint FROM conversations c JOIN jobs j ON j.id = c.job "
            "WHERE j.address = 'tickets.draft'"
        ).fetchone()
    assert answers == {
        "triage": [b'"by job"'],
        "reply": [b'"by nothing"'],
        "draft": [b'"by model"'],
    }
    with JobLookup(project / "state" / "simulation") as job_of:
        assert job_of(custom_id(Fingerprint(fingerprint), 3)) == "tickets.draft"
        assert job_of("0123456789abcdef-1") is None
        assert job_of("somebody else's") is None
