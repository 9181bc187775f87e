"""A job for each way to end; the model's name says which, and `faults.toml` makes it so."""

import os

from batchspec import Job, rows, tool

PROVIDER = os.environ["ENDS_AT"]
ROWS = rows.inline([{"id": "a"}, {"id": "b"}])


@tool
def look(what: str) -> str:
    """Look something up."""
    return f"seen {what}"


def ends(outcome: str) -> Job:
    """Return a job that ends so."""
    return Job(model=f"{PROVIDER}:ends-{outcome}", rows=ROWS, prompt=f"End as {outcome}: {{id}}.")


succeeded = ends("succeeded")
failed = ends("failed")
refused = ends("refused")
truncated = ends("truncated")
filtered = ends("filtered")
cancelled = ends("cancelled")
expired = ends("expired")
lost = ends("lost")
exhausted = Job(
    model=f"{PROVIDER}:ends-exhausted",
    rows=ROWS,
    prompt="End as exhausted: {id}.",
    tools=[look],
    max_turns=2,
)
