"""The jobs on record, as readers and the writer see them."""

import json
import sqlite3
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, get_args

from batchspec.ids import JobAddress
from batchspec.messages import Outcome, Usage
from batchspec.state.records import ConversationPhase, JobProgress, MeanGrade
from batchspec.state.resumption import REPLY, TOOLS, TURN

_PHASES: tuple[ConversationPhase, ...] = get_args(ConversationPhase)
_OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
_COUNTS = (
    (
        "c.phase = 'final' AND c.outcome IN ('failed', 'exhausted') "
        f"AND c.resumable IN ({TURN}, {TOOLS}, {REPLY})"
    ),
    *(f"c.phase = '{one}'" for one in _PHASES),
    *(f"c.phase = 'final' AND c.outcome = '{one}'" for one in _OUTCOMES),
)
# In the order of an index: with phase and outcome in GROUP BY all items would be sorted in memory.
_PROGRESS = f"""
SELECT i.job, {", ".join(f"COUNT(*) FILTER (WHERE {one})" for one in _COUNTS)}
FROM items i JOIN conversations c ON c.id = i.conversation GROUP BY i.job
"""  # noqa: S608 - constants

# A grade counts as long as no item got another answer since.
_JOBS = """
SELECT j.id, j.address, l.provider || ':' || l.model, j.removed,
  CASE WHEN j.grade NOT NULL AND NOT EXISTS (
    SELECT 1 FROM conversations c CROSS JOIN items i ON i.conversation = c.id
    WHERE c.settled > 0 AND c.settled > j.graded AND i.job = j.id) THEN j.grade END
FROM jobs j JOIN contracts c ON c.id = j.contract JOIN lanes l ON l.id = c.lane ORDER BY j.id
"""

# Answers that were replaced are paid as well: their turns are those of another `since`.
_SPENT_PER_JOB = """
SELECT job, SUM(input_tokens), SUM(cached_tokens), SUM(output_tokens), SUM(reasoning_tokens),
  SUM(cost), SUM(cost IS NULL), SUM(
    CASE WHEN reply IS NULL THEN 0 WHEN phase IN ('pending', 'batched') THEN turn - 1 ELSE turn END
    + COALESCE((SELECT SUM(turns) FROM (
      SELECT MAX(t.turn) AS turns FROM turns t
      WHERE t.conversation = c.id AND t.since <> c.since GROUP BY t.since)), 0))
FROM conversations c WHERE id > ? AND id <= ? GROUP BY job
"""

_ANSWER_TOKENS = """
SELECT COUNT(*), COALESCE(SUM(c.output_tokens), 0), COALESCE(MAX(c.output_tokens), 0)
FROM items i JOIN conversations c ON c.id = i.conversation
WHERE i.job = (SELECT id FROM jobs WHERE address = ?)
  AND c.phase = 'final' AND c.outcome = 'succeeded'
"""

_PART = 50_000
"""Conversations that are added up at a time, since SQLite sorts what it groups by job."""


class RecordedJobs:
    """Implements `ports.Jobs`."""

    db: sqlite3.Connection

    def models(self) -> dict[JobAddress, str]:
        """Return `provider:model` of every job."""
        rows = self.db.execute(
            "SELECT j.address, l.provider || ':' || l.model FROM jobs j "
            "JOIN contracts c ON c.id = j.contract JOIN lanes l ON l.id = c.lane ORDER BY j.id"
        )
        return {JobAddress(address): model for address, model in rows}

    def removed_jobs(self) -> frozenset[JobAddress]:
        """Return the jobs somebody agreed to forget."""
        rows = self.db.execute("SELECT address FROM jobs WHERE removed")
        return frozenset(JobAddress(address) for (address,) in rows)

    def unfinished(self) -> set[JobAddress]:
        """Return the jobs with an item that is not final."""
        rows = self.db.execute(
            "SELECT DISTINCT j.address FROM conversations c JOIN items i ON i.conversation = c.id "
            "JOIN jobs j ON j.id = i.job WHERE c.id IN ("
            "SELECT c.id FROM lanes l JOIN conversations c ON c.lane = l.id AND c.phase='pending' "
            "UNION ALL SELECT c.id FROM lanes l JOIN conversations c ON c.lane = l.id "
            "AND c.phase = 'tools' UNION ALL SELECT c.id FROM batches b JOIN conversations c "
            "ON c.batch = b.number AND c.phase = 'batched' "
            "WHERE b.phase IN ('intended', 'submitted', 'ended'))"
        )
        return {JobAddress(address) for (address,) in rows}

    def answer_tokens(self, job: JobAddress) -> tuple[int, int, int]:
        """Return how many answers a job has, their output tokens, and those of the longest."""
        return tuple(self.db.execute(_ANSWER_TOKENS, (job,)).fetchone())

    def progress(self) -> Sequence[JobProgress]:
        """Count the items of every job by phase and outcome."""
        phases: dict[int, dict[ConversationPhase, int]] = {}
        outcomes: dict[int, dict[Outcome, int]] = {}
        resumable: dict[int, int] = {}
        for job, going_on, *counts in self.db.execute(_PROGRESS):
            resumable[job] = going_on
            phases[job] = {one: n for one, n in zip(_PHASES, counts, strict=False) if n}
            ends = zip(_OUTCOMES, counts[len(_PHASES) :], strict=True)
            outcomes[job] = {one: n for one, n in ends if n}
        spent = self._spent()
        nothing = [0] * 7
        return [
            JobProgress(
                address=JobAddress(address),
                model=model,
                items=sum(phases.get(job, {}).values()),
                phases=phases.get(job, {}),
                outcomes=outcomes.get(job, {}),
                usage=Usage(*used[:4]),
                cost=None if used[5] else Decimal(str(used[4] or 0)),
                turns=used[6],
                removed=bool(removed),
                resumable=resumable.get(job, 0),
                grade=MeanGrade(**json.loads(grade)) if grade else None,
            )
            for job, address, model, removed, grade in self.db.execute(_JOBS)
            for used in (spent.get(job, nothing),)
        ]

    def _spent(self) -> dict[int, list[Any]]:
        """Return by job tokens, dollars, replies without a price, and turns."""
        (last,) = self.db.execute("SELECT MAX(id) FROM conversations").fetchone()
        found: dict[int, list[Any]] = {}
        for first in range(0, last or 0, _PART):
            for job, *sums in self.db.execute(_SPENT_PER_JOB, (first, first + _PART)):
                before = found.get(job, [0] * len(sums))
                found[job] = [a + (b or 0) for a, b in zip(before, sums, strict=True)]
        return found
