"""Six rows in three batches, each with a tool call and a second turn."""

from pathlib import Path

from dying import reach

from batchspec import Job, RunContext, rows, tool

LOG = Path(__file__).parents[1] / "calls.log"


@tool
def double(ctx: RunContext, number: int) -> int:
    """Double a number.

    Args:
        ctx: Whose call it is.
        number: What to double.
    """
    with LOG.open("a", encoding="utf-8") as log:
        log.write(f"{ctx.call_id}\n")
    reach("tool")
    return 2 * number


def check(value: str) -> str:
    """Accept everything; the process can die while it parses."""
    reach("parsing")
    return value


doubled = Job(
    model="openai:gpt-5-mini",
    rows=rows.inline([{"id": f"r-{n}", "number": n} for n in range(6)]),
    prompt="Double the number {number}",
    tools=[double],
    output_validators=[check],
    max_turns=3,
)
