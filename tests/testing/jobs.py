"""Jobs that tests run as users do."""

from typing import Literal

from pydantic import BaseModel, Field

from batchspec import Job, ModelRetry, rows, tool


class Triage(BaseModel):
    """How a ticket is routed."""

    queue: Literal["billing", "bug"]
    urgency: int = Field(ge=1, le=5)


SURE = Triage(queue="billing", urgency=3)
TICKETS = [{"id": "t-1", "text": "charged twice"}, {"id": "t-2", "text": "it crashes"}]


@tool(retries=1)
def lookup_order(order_id: str) -> dict[str, str]:
    """Look up an order.

    Args:
        order_id: On the invoice.
    """
    if order_id == "broken":
        raise RuntimeError("no database")
    if order_id != "A1":
        raise ModelRetry("no such order")
    return {"state": "sent"}


triage = Job(
    model="openai:gpt-5-mini",
    rows=rows.inline(TICKETS),
    instructions="You route tickets.",
    prompt="{text}",
    output=Triage,
    tools=[lookup_order],
    max_turns=4,
)
words = Job(model="openai:gpt-5-mini", rows=rows.inline(TICKETS), prompt="{text}")
queue = Job(
    model="openai:gpt-5-mini",
    rows=rows.inline(TICKETS, key="text"),
    prompt="{text}",
    output=Literal["billing", "bug"],
    grade=lambda output: output == "bug",
)
reply = Job(
    model="openai:gpt-5-mini", rows=rows.outputs_of(triage), prompt="Write to {output.queue}."
)
