"""What a watcher agrees to by itself is agreed to once, and then done."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from batchspec.plan.consent import Consent
from batchspec.state.watching import PlanGranted
from tests.watch.test_engine import watch
from tests.worlds import World

ALL = Consent(approve="all", max_cost=Decimal(1))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, model=lambda _: {"said": "x"})
    yield world
    world.close()


def typed(world: World, keys: str, policy: int, more: str = "") -> None:
    """Write a job whose validator is another one for each policy."""
    data = [{"id": key} for key in keys]
    world.spec(f"""
        from pydantic import BaseModel

        class Said(BaseModel):
            said: str

        def check(value: Said) -> Said:
            if {policy} == 2:
                raise ModelRetry("No.")
            return value

        j = Job(
            model="openai:gpt-5-mini",
            rows=rows.inline({data!r}),
            prompt="say {{id}}",
            output=Said,
            output_validators=[check],
            output_retries=0,
        )
        {more}
    """)


def grants(world: World) -> int:
    """Return how often plans were agreed to since it was asked last, which must be seldom."""
    found = sum(isinstance(event, PlanGranted) for event in world.hook.events)
    world.hook.events.clear()
    return found


def test_replies_are_judged_anew_while_removals_wait(world: World) -> None:
    typed(world, "abc", 1)
    watch(world, ALL)
    assert grants(world) == 1

    def impatient(event: object) -> None:
        assert sum(isinstance(e, PlanGranted) for e in world.hook.events) < 5, "again and again"

    world.hook.react = impatient
    typed(world, "ab", 2)  # c is gone, which waits for a person
    watch(world, ALL)
    assert grants(world) == 1
    assert world.outcomes() == dict.fromkeys("abc", "failed")


def test_what_a_budget_leaves_over_is_agreed_to_once(world: World) -> None:
    dear = (
        'dear = Job(model="openai:gpt-5-mini", rows=rows.inline([{"id": "z"}]), '
        'prompt="say {id}", max_cost=0.0000001)'
    )
    typed(world, "ab", 1)
    watch(world, ALL)
    grants(world)

    def impatient(event: object) -> None:
        assert sum(isinstance(e, PlanGranted) for e in world.hook.events) < 5, "again and again"

    world.hook.react = impatient
    typed(world, "ab", 2, dear)
    watch(world, ALL)
    assert grants(world) == 1
    assert world.outcomes() == {"a": "failed", "b": "failed"}
