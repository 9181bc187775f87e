"""Steps drawn from a seed: the same seed makes the same walk."""

from collections.abc import Callable
from random import Random

from fuzz.troubles import MONEY, TROUBLES
from fuzz.walk import Walk

PARTS = ("prompt", "instructions", "model", "tokens", "schema", "policy")
Step = Callable[[Walk, Random], None]


def _edit(walk: Walk, random: Random) -> None:
    part = random.choice(PARTS)
    walk.edit(random.randrange(6), part, random.randrange(2 if part == "model" else 3))


def _toggle(walk: Walk, random: Random) -> None:
    part = random.choice(["enabled", "protect"])
    walk.edit(random.randrange(6), part, random.random() < 0.6)


def _apply(walk: Walk, random: Random) -> None:
    walk.apply(
        detach=random.random() < 0.4,
        target=random.randrange(6) if random.random() < 0.15 else None,
        replace_job=random.randrange(6) if random.random() < 0.08 else None,
        dies=random.choice([*range(1, 40), 60, 90]) if random.random() < 0.4 else None,
    )


def _apply_saved(walk: Walk, random: Random) -> None:
    walk.apply_saved(detach=random.random() < 0.4, dies=random.choice([None, *range(1, 20)]))


def _destroy(walk: Walk, random: Random) -> None:
    dies = random.choice([None, None, *range(1, 15)])
    answers, detach = random.random() < 0.3, random.random() < 0.5
    walk.destroy(random.randrange(6), answers=answers, detach=detach, dies=dies)


def _cancel(walk: Walk, random: Random) -> None:
    dies = random.choice([None, None, *range(1, 15)])
    walk.cancel(random.randrange(6), detach=random.random() < 0.5, dies=dies)


def _limits(walk: Walk, random: Random) -> None:
    walk.limits(random.choice([1, 2, 50]), random.choice([1, 1, 3]), random.choice([0, 100, 5000]))


STEPS: dict[Step, int] = {
    _apply: 14,
    lambda walk, random: walk.trouble(random.randrange(len(TROUBLES)), random.choice([1, 1, 2])): 8,
    lambda walk, random: walk.trouble(random.choice(MONEY)): 4,
    _edit: 6,
    lambda walk, random: walk.put_row(*(random.randrange(6) for _ in range(3))): 4,
    lambda walk, random: walk.drop_row(random.randrange(6), random.randrange(6)): 2,
    lambda walk, random: walk.wait(random.choice([1, 30, 300, 90_000])): 2,
    lambda walk, random: walk.rename_key(random.randrange(6), random.randrange(6)): 1,
    lambda walk, random: walk.reverse_rows(random.randrange(6)): 1,
    lambda walk, random: walk.rename(random.randrange(6)): 1,
    lambda walk, random: walk.move(random.randrange(6), random.choice("mno")): 1,
    lambda walk, random: walk.remove(random.randrange(6)): 1,
    lambda walk, random: walk.add(random.randrange(5), random.randrange(1, 4)): 2,
    lambda walk, random: walk.edit(random.randrange(6), "max_cost", random.choice([0.001, 9.0])): 1,
    _toggle: 1,
    lambda walk, random: walk.cancel_there(): 1,
    lambda walk, random: walk.delete_files_there(random.random() < 0.3): 1,
    lambda walk, random: walk.refresh(random.choice([None, 1, 2, 4, 8])): 3,
    _cancel: 2,
    lambda walk, random: walk.look(): 1,
    lambda walk, random: walk.save(random.choice([None, None, 0, 1])): 2,
    _apply_saved: 4,
    _destroy: 1,
    lambda walk, random: walk.forget(random.randrange(6)): 1,
    lambda walk, random: walk.gc(random.choice([None, None, 1, 2, 3, 5])): 2,
    _limits: 2,
    lambda walk, random: walk.taint(random.randrange(6), random.randrange(6)): 1,
}
"""What may be next, and how often."""


def stroll(seed: int) -> int:
    """Go for a walk; returns its steps.

    Raises:
        AssertionError: Something does not hold; its note is a program that shows it.
    """
    random = Random(seed)
    with Walk(seed) as walk:
        if random.random() < 0.5:
            walk.lag()
        for _ in range(random.randrange(1, 4)):
            walk.add(random.randrange(5), random.randrange(1, 5))
        for _ in range(random.randrange(4, 16)):
            random.choices(list(STEPS), list(STEPS.values()))[0](walk, random)
        walk.quiet()
        return len(walk.steps)
