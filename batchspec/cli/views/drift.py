"""Batches that are not as recorded, in words."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.text import Text

from batchspec.cli.views.streams import print_prose, stderr, stdout
from batchspec.cli.views.words import clean, count, counted
from batchspec.plan.changes import Finding, Kind
from batchspec.state.kinds import ReasonCode

_STYLES: Mapping[Kind, str] = {
    Kind.DRIFT: "magenta",
    Kind.UNKNOWN: "bold yellow",
    Kind.CANCEL: "red",
}


def finding_line(finding: Finding, *, jobs: bool = False) -> Text:
    """Return what was found about a batch as one line.

    Args:
        finding: What was found.
        jobs: Whether to say whose batch it is.
    """
    symbol = Text(f"{finding.kind.value:>3} ", _STYLES.get(finding.kind, ""))
    whose = f" of {', '.join(map(clean, finding.jobs))}" if jobs and finding.jobs else ""
    return Text.assemble(symbol, f"batch {_name(finding)}{whose} {told(finding)}")


def _name(finding: Finding) -> str:
    return clean(finding.remote_id or f"…{finding.batch[-8:]}")


def told(finding: Finding) -> str:
    """Return what became of a batch and what follows, to stand after its name."""
    if finding.kind is Kind.UNKNOWN:
        return _unknown(finding)
    note = clean(finding.note or "")
    answered = (
        f"{count(finding.answered or 0)} of {counted(finding.requests, 'request')} answered, "
        "as the provider counts"
    )
    rest = counted(finding.rows, "request")
    again = f"{rest} go again, at batch price" if finding.again else "nothing goes again"
    once = "once the plan that follows is agreed to"
    sentences: Mapping[ReasonCode, str] = {
        "BATCH_EXPIRED": f"has expired: {answered}; {again}",
        "BATCH_CANCELLED_REMOTELY": (
            f"{'is being' if note else 'was'} cancelled at the provider: {answered}; {rest} end as "
            f"cancelled, and go again {once}"
        ),
        "BATCH_FAILED": f"has failed{f' ({note})' if note else ''}: {answered}; {again}",
        "BATCH_GONE": (
            f"is not known to the provider any more ({note}): {rest} end as lost, and go again "
            f"{once}"
        ),
        "OUTPUT_GONE": (
            f"has ended, and its results are gone at the provider ({note}): {rest} end as lost, "
            f"and go again {once}"
        ),
        "FOREIGN_LINEAGE": (
            f"has the tag of another state (lineage {note}), which may collect or cancel it as well"
        ),
        "UNWANTED": (
            "will be cancelled: no row wants it; what it answered by then is billed and kept"
        ),
        "ACCOUNT_CHANGED": (
            f"is at another account ({note}) and was not looked at; `apply` refuses to go on"
        ),
    }
    return sentences.get(finding.code, finding.code)


def _unknown(finding: Finding) -> str:
    since = "some time" if finding.since is None else clock_time(finding.since)
    why = f" ({clean(finding.note)})" if finding.note else ""
    requests = counted(finding.requests, "request is", "requests are")
    then = "not sent again until it is known"
    return f"has an unknown outcome since {since}{why}: its {requests} {then}"


def clock_time(unix: float) -> str:
    """Return a time as people's clocks show it here."""
    return datetime.fromtimestamp(unix).astimezone().strftime("%Y-%m-%d %H:%M %Z")


def finding_document(finding: Finding) -> dict[str, Any]:
    """Return what was found about a batch as JSON has it."""
    return {
        "kind": finding.kind.name.lower(),
        "code": finding.code,
        "batch": finding.batch,
        "remote_id": finding.remote_id,
        "jobs": dict(finding.jobs),
        "requests": finding.requests,
        "answered": finding.answered,
        "unanswered": finding.rows,
        "sent_again": finding.again,
        "since": finding.since,
        "note": finding.note,
        "message": f"Batch {_name(finding)} {told(finding)}.",
    }


def show_drift(findings: Sequence[Finding], warnings: Sequence[str]) -> None:
    """Print what became of open batches, and nothing else."""
    lines = [finding_line(found, jobs=True) for found in findings]
    print_prose(stdout(), lines or [Text("No drift: every open batch is as recorded, or goes on.")])
    for warning in warnings:
        print_prose(stderr(), [Text.assemble(("Warning: ", "yellow"), clean(warning))])


def drift_document(findings: Sequence[Finding], warnings: Sequence[str]) -> dict[str, Any]:
    """Return what became of open batches as JSON has it."""
    return {
        "changes": bool(findings),
        "drift": [finding_document(f) for f in findings if f.kind is Kind.DRIFT],
        "unknown": [finding_document(f) for f in findings if f.kind is Kind.UNKNOWN],
        "warnings": list(warnings),
    }
