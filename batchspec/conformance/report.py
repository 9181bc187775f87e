"""What came of every check: collected while the tests run, told at the end."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import pytest

from batchspec.conformance.checks import Check, every

Outcome = Literal["passed", "failed", "departed", "mended", "skipped"]
"""`departed`: fails as agreed. `mended`: agreed to fail, and does not."""
PROPERTY = "conformance"
"""The property of a test that names its check."""
_TELLING: tuple[Outcome, ...] = ("failed", "mended")


@dataclass(slots=True)
class Finding:
    """What came of one check; `detail` is one line."""

    check: Check
    outcome: Outcome
    detail: str = ""


class Report:
    """Collects findings: a plugin that sees the results of all processes that run tests."""

    def __init__(self, facts: Mapping[str, str | None], departures: Mapping[str, str]) -> None:
        """Start a report about a server, known by some facts and by what it does otherwise."""
        self._facts = facts
        self._departures = departures
        self._checks = {check.id: check for check in every()}
        self._findings: dict[str, Finding] = {}
        self.left: list[str] = []
        """Files that could not be deleted."""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take in the result of one phase of a test."""
        id_ = dict(report.user_properties).get(PROPERTY)
        if id_ in self._checks:
            self._add(self._checks[str(id_)], report)

    def _add(self, check: Check, result: pytest.TestReport) -> None:
        outcome, detail = _judge(result, self._departures.get(check.id))
        found = self._findings.get(check.id)
        if found is None or (outcome != "passed" and found.outcome not in _TELLING):
            self._findings[check.id] = Finding(check, outcome, detail)

    @property
    def findings(self) -> list[Finding]:
        return list(self._findings.values())

    def counts(self) -> Mapping[str, int]:
        return Counter(finding.outcome for finding in self.findings)

    def write(self, path: Path) -> None:
        """Write everything as JSON."""
        checks = [
            {**asdict(found.check), "outcome": found.outcome, "detail": found.detail}
            for found in self.findings
        ]
        content = {**self._facts, "counts": self.counts(), "checks": checks}
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    def tell(self, terminal: pytest.TerminalReporter) -> None:
        """Print the counts, and a table of what nobody agreed to."""
        if not self._findings:
            return
        counts = self.counts()
        terminal.section(f"conformance of {self._facts['base_url']}")
        words = ", ".join(f"{number} {outcome}" for outcome, number in sorted(counts.items()))
        terminal.write_line(f"{counts.total()} checks: {words}")  # type: ignore[attr-defined]
        for line in _table(f for f in self.findings if f.outcome in _TELLING):
            terminal.write_line(line)
        if self.left:
            terminal.write_line(f"These files could not be deleted: {', '.join(self.left)}")


def _judge(result: pytest.TestReport, departure: str | None) -> tuple[Outcome, str]:
    if result.passed:
        return "passed", ""
    if hasattr(result, "wasxfail"):
        return "departed", departure or ""
    if result.skipped:
        # A skip is reported as (file, line, reason).
        place = result.longrepr
        return "skipped", place[2] if isinstance(place, tuple) else str(place)
    text = str(result.longrepr)
    if text.startswith("[XPASS"):
        return "mended", "it conforms now: take it out of the departures"
    crash = getattr(result.longrepr, "reprcrash", None)
    return "failed", str(crash.message if crash else text).partition("\n")[0]


def _table(findings: Iterable[Finding]) -> list[str]:
    rows = [(f.outcome, f.check.severity, f.check.id, f.detail) for f in findings]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    return [
        "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[3]])
        for row in rows
    ]
