"""A vector for each of 3,080 questions of a bank's customers."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dying import reach

from batchspec import EmbeddingJob, rows

DATA = Path(__file__).parent.parent / "data"


def questions() -> Iterator[dict[str, Any]]:
    """Yield the lines of the table, which has no column that could be a key."""
    with (DATA / "test.csv").open(encoding="utf-8", newline="") as file:
        for number, line in enumerate(csv.DictReader(file), 1):
            reach("row")
            yield {"id": f"q-{number:04}", **line}


vectors = EmbeddingJob(
    model="openai:text-embedding-3-small",
    rows=rows.iterable(questions, key="id"),
    input="{text}",
    dimensions=256,
)
