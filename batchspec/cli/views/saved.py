"""A saved plan, for people and as JSON."""

import shlex
from typing import TYPE_CHECKING, Any

from rich.text import Text

from batchspec.cli.views.documents import plan_document
from batchspec.cli.views.plan import plan_lines
from batchspec.cli.views.streams import print_prose, stdout
from batchspec.cli.views.words import clean, counted, money, number, timestamp
from batchspec.plan.estimate import Lengths

if TYPE_CHECKING:
    from batchspec.project.planfiles import SavedPlan


def show_saved(path: str, *, flags: str) -> None:
    """Say that a plan was saved, and what it is for."""
    command = f"batchspec apply {shlex.quote(path)}{flags}"
    print_prose(
        stdout(),
        [
            Text(),
            Text(f"Saved to {clean(path)}: it can be applied once, as long as the state stays."),
            Text.assemble(("Next: ", "dim"), (clean(command), "cyan"), "  (asks no question)"),
        ],
    )


def show_saved_plan(saved: "SavedPlan", *, explain: bool) -> None:
    """Print a saved plan as it was shown when it was made."""
    header = saved.header
    made = (
        f"Saved plan of {timestamp(header.created)}, made by batchspec {clean(header.batchspec)}: "
    )
    lines = [Text(f"{made}{counted(saved.rows, 'row')} in the file.")]
    if header.ceiling is not None and not header.plan.simulated:
        at_most = money(header.ceiling, at_most=True)
        lines.append(Text(f"Applying it never costs more than {at_most}."))
    lengths = Lengths(assumed=header.assumed, longest=header.longest)
    print_prose(stdout(), [*lines, *plan_lines(header.plan, explain=explain, lengths=lengths)])


def saved_document(saved: "SavedPlan") -> dict[str, Any]:
    """Return the document of `plan --json`, with what the file says of itself."""
    header = saved.header
    return {
        **plan_document(header.plan),
        "saved": {
            "batchspec": header.batchspec,
            "created": header.created,
            "rows": saved.rows,
            "sha256": saved.sha256,
            "targets": list(header.targets),
            "excludes": list(header.excludes),
            "ceiling_usd": number(header.ceiling),
            "prices": {
                model: None
                if price is None
                else {"input_usd": number(price.input), "output_usd": number(price.output)}
                for model, price in header.prices.items()
            },
        },
    }
