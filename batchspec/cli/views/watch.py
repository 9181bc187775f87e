"""What people see of watching."""

from rich.text import Text

from batchspec.cli.views.streams import print_prose, stdout
from batchspec.cli.views.words import money
from batchspec.project.planfiles import SavedPlan


def show_approved(saved: SavedPlan) -> None:
    """Say what was agreed to."""
    plan = saved.plan
    cost = f", {money(plan.cost_at_most)} at most" if plan.priced else ""
    text = f"Agreed: plan {plan.id}, {plan.requests:,} requests{cost}."
    print_prose(stdout(), [Text(text)])
