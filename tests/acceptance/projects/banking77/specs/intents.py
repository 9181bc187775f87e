"""What does a customer of a bank want? One of 77 intents."""

import csv
import json
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from dying import reach
from pydantic import BaseModel, Field

from batchspec import Job, rows

DATA = Path(__file__).parent.parent / "data"
NAMES: list[str] = json.loads((DATA / "categories.json").read_text(encoding="utf-8"))
Intent = StrEnum("Intent", {name: name for name in NAMES})


class Classified(BaseModel):
    """A customer's question, sorted."""

    intent: Intent
    confidence: float = Field(ge=0, le=1)


def questions() -> Iterator[dict[str, Any]]:
    """Yield the lines of the table, which has no column that could be a key."""
    with (DATA / "test.csv").open(encoding="utf-8", newline="") as file:
        for number, line in enumerate(csv.DictReader(file), 1):
            reach("row")
            yield {"id": f"q-{number:04}", **line}


def seen(_: Classified) -> None:
    """Accept everything; the process can die while answers are being judged."""
    reach("validator")


def is_right(row: Mapping[str, Any], output: Classified) -> bool:
    """Compare with the label."""
    return output.intent == row["category"]


classify = Job(
    model="openai:gpt-5-mini",
    rows=rows.iterable(questions, key="id"),
    instructions="You sort questions of a bank's customers by intent.",
    prompt="{text}",
    output=Classified,
    output_validators=[seen],
    grade=is_right,
)
