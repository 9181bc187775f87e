"""Three jobs whose rows are sent on as answers come in."""

from collections.abc import Mapping
from typing import Any

from dying import reach

from batchspec import Job, rows

MODEL = "openai:gpt-5-mini"


def keep(row: Mapping[str, Any]) -> bool:
    """Keep everything; the process can die while rows are made of answers."""
    reach("where")
    return bool(row["output"])


first = Job(
    model=MODEL,
    rows=rows.inline([{"id": f"n-{n:02}", "number": n} for n in range(12)]),
    prompt="Note number {number}.",
    metadata={"stage": "first"},
)

second = Job(
    model=MODEL,
    rows=rows.outputs_of(first, where=keep, eager=True),
    prompt="Say more about number {row.number}: {output}",
    metadata={"stage": "second"},
)

third = Job(
    model=MODEL,
    rows=rows.outputs_of(second, eager=True),
    prompt="Say less about number {row.row.number}: {output}",
    metadata={"stage": "third"},
)
