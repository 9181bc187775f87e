"""Three jobs, each made of the answers of the one before."""

from collections.abc import Mapping
from typing import Any

from dying import reach
from pydantic import BaseModel

from batchspec import Job, rows


class Note(BaseModel):
    """Something short."""

    title: str
    weight: int


def keep(row: Mapping[str, Any]) -> bool:
    """Keep everything; the process can die while rows are made of answers."""
    reach("where")
    return bool(row["output"])


def ask(row: Mapping[str, Any]) -> str:
    """Ask about all notes; the process can die here too."""
    reach("prompt")
    return "\n".join(output["title"] for output in row["outputs"])


notes = Job(
    model="openai:gpt-5-mini",
    rows=rows.inline([{"id": f"n-{n:02}", "number": n} for n in range(12)]),
    prompt="Note number {number}.",
    output=Note,
)

longer = Job(
    model="openai:gpt-5-nano",
    rows=rows.outputs_of(notes, where=keep),
    prompt="Say more about “{output.title}” ({row.number}).",
    output=Note,
)

whole = Job(model="openai:gpt-5-mini", rows=rows.collect(longer), prompt=ask)
