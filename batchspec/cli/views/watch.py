"""What people see of watching: conditions, and plans that wait for consent."""

from typing import TYPE_CHECKING, Any

from rich.text import Text

from batchspec.cli.views.events import JsonEvents, tell_version
from batchspec.cli.views.streams import print_prose, stdout
from batchspec.cli.views.words import (
    clean,
    columns,
    counted,
    duration,
    money,
    number,
    timestamp,
)
from batchspec.installed import installed_version
from batchspec.plan.counts import waiting

if TYPE_CHECKING:
    from batchspec.cli.views.progress import Watching
    from batchspec.plan.changes import Plan
    from batchspec.plan.consent import Consent
    from batchspec.project import Project
    from batchspec.project.planfiles import SavedPlan
    from batchspec.project.values import Status
    from batchspec.state.watching import Condition


_SHORT = 12
"""Characters of a plan's id that are shown; they are its time, in milliseconds."""
_JOBS = 10
"""Jobs of a plan that are listed."""


def tell_begun(view: "Watching", project: "Project", consent: "Consent") -> None:
    """Say what is watched, and by which rules."""
    if isinstance(view, JsonEvents):
        tell_version(view, installed_version())
    view.info(
        f"Watching {project.root}, environment {project.environment}: "
        f"{_rules(consent, simulated=project.simulated)}."
    )


def tell_stopped(view: "Watching") -> None:
    """Say that watching has ended."""
    view.info(
        "Stopped. What is under way at providers goes on there, and the next `batchspec watch` "
        "or `batchspec apply` goes on with it."
    )


def _rules(consent: "Consent", *, simulated: bool) -> str:
    """Return what is done without asking, in words."""
    if consent.approve == "turns":
        return "what was agreed to goes on, changes wait for `batchspec approve`"
    within = "" if consent.max_cost is None else f" up to {money(consent.max_cost)}"
    hourly = consent.max_cost_per_hour
    within += "" if hourly is None else f", {money(hourly)} an hour"
    if simulated:
        within = "; it is simulated, so that nothing is paid and no budget holds"
    kept = "" if consent.prune else ", removals wait for `batchspec approve`"
    return f"changes are submitted{within}{kept}"


def show_approved(saved: "SavedPlan", *, watched: bool, flags: str) -> None:
    """Say what was agreed to, and who does it."""
    lines = [Text(f"Agreed: {_pending(saved.plan)}."), *_changes(saved.plan)]
    if not watched:
        lines.append(Text(f"Nobody watches: it is done by the next `batchspec watch{flags}`."))
    print_prose(stdout(), lines)


def watching_lines(status: "Status", now: float, flags: str) -> list[Text]:
    """Return what somebody who watches has to say, where a person need know it."""
    bad = [one for one in status.conditions if not one.good]
    told = [one for one in bad if one.type not in {"Consented", "Converged", "Degraded"}]
    lines: list[Text] = []
    if told:
        lines += [Text(), Text("Not well", "bold"), *(_condition(one, now) for one in told)]
    clocked = [one.message for one in status.conditions if one.reason == "Scheduled"]
    for message in clocked:
        said = clean(message.partition(" By the clock: ")[2])
        lines += [Text(), Text("By the clock, while somebody watches", "bold"), Text(f"  {said}")]
    if status.pending:
        lines += [Text(), Text("Waits for consent", "bold")]
        for plan in status.pending:
            command = f"batchspec approve{flags} {plan.id[:_SHORT]}"
            lines += [Text(f"  {_pending(plan)}: {command}"), *_changes(plan)]
        lines += _why(status)
    if status.approved:
        lines += [Text(), Text("Agreed to, and done as soon as somebody watches", "bold")]
        for plan in status.approved:
            lines += [Text(f"  {_pending(plan)}"), *_changes(plan)]
    return lines


def _why(status: "Status") -> list[Text]:
    """Return why what the rules of the watcher allow waits nevertheless: a budget, a removal."""
    asked = (one for one in status.conditions if one.type == "Consented" and not one.good)
    reasons = [
        one.message.partition(" Agree to it with")[0] for one in asked if one.reason != "Consent"
    ]
    return [Text(f"    {clean(reason)}") for reason in reasons]


def _changes(plan: "Plan") -> list[Text]:
    """Return what would happen to which jobs, a line each."""
    found = waiting(plan)
    shown = found if len(found) <= _JOBS + 1 else found[:_JOBS]
    rows = [(f"    {clean(job.address)}", words) for job, words in shown]
    more = [Text(f"    and {counted(len(found) - len(shown), 'more job')}")]
    return [*(columns(rows) if rows else []), *(more if len(found) > len(shown) else [])]


def _condition(one: "Condition", now: float) -> Text:
    whose = f"{clean(one.job)}: " if one.job else ""
    since = duration(now - one.since)
    return Text(f"  {whose}{clean(one.message)} (since {since})")


def _pending(plan: "Plan") -> str:
    cost = f", {money(plan.cost_at_most, at_most=True)} at most" if plan.priced else ""
    sent = f", {counted(plan.requests, 'request')}{cost}" if plan.requests else ""
    return f"plan {plan.id[:_SHORT]}{sent}"


def condition_document(one: "Condition") -> dict[str, Any]:
    """Return a condition for programs."""
    return {
        "job": one.job,
        "type": one.type,
        "status": one.status,
        "reason": one.reason,
        "message": one.message,
        "last_transition": timestamp(one.since),
    }


def pending_document(plan: "Plan") -> dict[str, Any]:
    """Return a plan that waits for consent, for programs."""
    return {
        "plan": plan.id,
        "requests": plan.requests,
        "cost_at_most_usd": number(plan.cost_at_most) if plan.priced else None,
        "changes": {kind.value: n for kind, n in plan.counts.items() if n},
        "jobs": [
            {
                "job": job.address,
                "requests": job.requests,
                "changes": {kind.value: n for kind, n in job.counts.items() if n},
            }
            for job, _ in waiting(plan)
        ],
    }
