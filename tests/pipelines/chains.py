"""Chains of jobs over one provider whose batches end at different times."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worlds import World

from batchspec.config import Limits

MODEL = "openai:gpt-5-mini"


def limit(world: World, **limits: Any) -> None:
    """Set limits of the provider."""
    openai = world.settings.providers["openai"]
    changed = openai.model_copy(update={"limits": Limits(**limits)})
    world.settings = world.settings.model_copy(update={"providers": {"openai": changed}})


def staggered(world: World, *seconds: float, requests: int = 2) -> None:
    """Let batches be small, and let the first ones take longer and longer."""
    limit(world, max_requests=requests)
    for nth, wait in enumerate(seconds, 1):
        if wait:
            world.faults.add("long_validating", nth=nth, seconds=wait)


def chain(
    world: World, *keys: str, eager: bool = True, up: str = "say {id}", more: str = "", **jobs: str
) -> None:
    """Write a job `up` of some rows, and `down` (and others) made of its answers.

    Args:
        world: Where.
        keys: Of the rows.
        eager: Of `down`.
        up: The prompt of `up`.
        more: Source text before the jobs.
        jobs: Arguments of a job by its name, as source text.
    """
    data = [{"id": key} for key in keys]
    jobs = jobs or {"down": f"rows=rows.outputs_of(up, eager={eager}), prompt='sum {{output}}'"}
    lines = [f"up = Job(model={MODEL!r}, rows=rows.inline({data!r}), prompt={up!r})"]
    lines += [f"{name} = Job(model={MODEL!r}, {text})" for name, text in jobs.items()]
    world.spec(more + "\n".join(lines) + "\n")


class Asked:
    """Answers in capitals, and notes what it was asked, in order."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.refused: set[str] = set()
        self.answers: dict[str, str] = {}

    def __call__(self, body: dict[str, Any]) -> Any:
        text = str(body["messages"][-1]["content"])
        self.texts.append(text)
        if text in self.refused:
            return {"role": "assistant", "content": None, "refusal": "not that"}
        return self.answers.get(text, text.upper())

    def taken(self) -> list[str]:
        """Return what was asked since it was taken last, sorted."""
        found, self.texts = sorted(self.texts), []
        return found


@dataclass(frozen=True)
class Sent:
    """A batch as it is on record: its requests by job, and when it was there."""

    jobs: Mapping[str, int]
    submitted: float
    ended: float


def batches(world: World) -> list[Sent]:
    """Return every batch that was read, in the order in which they were put together."""
    with world.project().reader() as reader:
        return [
            Sent(batch.jobs, batch.submitted_at or 0, batch.ended_at or 0)
            for batch in reader.batches()
            if batch.phase == "collected"
        ]
