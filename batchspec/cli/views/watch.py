"""What people see of watching: conditions, and plans that wait for consent."""

from typing import TYPE_CHECKING, Any

from rich.text import Text

from batchspec.cli.views.streams import print_prose, stdout
from batchspec.cli.views.words import clean, duration, money, number, timestamp

if TYPE_CHECKING:
    from batchspec.plan.changes import Plan
    from batchspec.project.planfiles import SavedPlan
    from batchspec.project.values import Status
    from batchspec.state.watching import Condition


def show_approved(saved: "SavedPlan") -> None:
    """Say what was agreed to."""
    print_prose(stdout(), [Text(f"Agreed: {_pending(saved.plan)}.")])


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
        lines += [
            Text(f"  {_pending(plan)}: batchspec approve{flags} {plan.id}")
            for plan in status.pending
        ]
    return lines


def _condition(one: "Condition", now: float) -> Text:
    whose = f"{clean(one.job)}: " if one.job else ""
    since = duration(now - one.since)
    return Text(f"  {whose}{clean(one.message)} (since {since})")


def _pending(plan: "Plan") -> str:
    cost = f", {money(plan.cost_at_most)} at most" if plan.priced else ""
    return f"plan {plan.id}, {plan.requests:,} requests{cost}"


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
    }
