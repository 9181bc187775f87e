"""A plan knows what stays below jobs with variants and samples, and what is only renamed."""

from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from worlds import World

from batchspec.errors import ExitCode
from batchspec.plan.changes import Kind

SPEC = """
def is_on(item):
    return item["row"]["id"] != {off!r}

src = Job(model='openai:gpt-5-mini', rows=rows.inline({data}), prompt='say {{id}}',
          instructions='You help.', variants={variants}, samples={samples})
low = Job(model='openai:gpt-5-mini', rows=rows.outputs_of(src, where=is_on, eager={eager}),
          prompt='low {{output}} {{key}}' if {named} else 'low {{output}}')
end = Job(model='openai:gpt-5-nano', rows=rows.outputs_of(low), prompt='end {{output}}')
"""
TWO = {"a": {}, "b": {"instructions": "Be brief."}}
THREE = {**TWO, "c": {"instructions": "Be long."}}


def answer(body: Mapping[str, object]) -> str:
    """Give each variant another answer, so that requests below differ."""
    return " ".join(str(message["content"]) for message in body["messages"]).upper()  # type: ignore[attr-defined]


def write(
    world: World,
    *keys: str,
    variants: Mapping[str, object] | None = TWO,
    samples: int = 1,
    off: str = "",
    eager: bool = False,
    named: bool = False,
) -> None:
    data = [{"id": key} for key in keys or ("x", "y")]
    world.spec(
        SPEC.format(
            data=data, variants=variants, samples=samples, off=off, eager=eager, named=named
        )
    )


@dataclass(frozen=True)
class Told:
    """What a plan says of `low` and `end`, and how much a run then sends."""

    requests: tuple[int, int]
    keeps: tuple[int, int]
    forgets: tuple[int, int]
    sent: int


def told(world: World) -> Told:
    """Plan, apply and plan again."""
    before = world.lines
    with world.open() as project:
        plan = project.plan()
        assert project.apply(plan, hook=world.hook).exit_code == ExitCode.DONE
        assert project.plan().can_apply is False
    world.check()
    sent = world.lines - before
    assert sent <= plan.requests
    one, two = (next(job for job in plan.jobs if job.address == a) for a in ("m.low", "m.end"))
    return Told(
        (one.requests, two.requests),
        (one.counts.get(Kind.KEEP, 0), two.counts.get(Kind.KEEP, 0)),
        (one.forgets_at_most, two.forgets_at_most),
        sent,
    )


CHANGES = {
    "a variant more": ({}, {"variants": THREE}, Told((2, 2), (4, 4), (0, 0), 6)),
    "a variant changed": (
        {},
        {"variants": {**TWO, "b": {"instructions": "Be quick."}}},
        Told((2, 2), (2, 2), (2, 2), 6),
    ),
    "a variant renamed": (
        {},
        {"variants": {"a": {}, "zed": TWO["b"]}},
        Told((0, 0), (2, 2), (0, 0), 0),
    ),
    "a variant less": ({"variants": THREE}, {}, Told((0, 0), (4, 4), (0, 2), 0)),
    "more samples": ({}, {"samples": 2}, Told((4, 4), (4, 4), (0, 0), 4)),
    "fewer samples": ({"samples": 2}, {}, Told((0, 0), (4, 4), (0, 4), 0)),
    "a renamed one that is named": (
        {"named": True},
        {"variants": {"a": {}, "zed": TWO["b"]}, "named": True},
        Told((2, 2), (2, 2), (2, 2), 4),
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_stays_below_is_known(world: World, change: str) -> None:
    before, after, expected = CHANGES[change]
    world.model = answer
    write(world, **before)  # type: ignore[arg-type]
    world.apply()
    write(world, **after)  # type: ignore[arg-type]
    assert told(world) == expected


def test_a_row_more_runs_through_all_variants_alone(world: World) -> None:
    world.model = answer
    write(world)
    world.apply()
    write(world, "x", "y", "z", off="x")
    assert told(world) == Told((2, 2), (2, 2), (2, 2), 6)


@pytest.mark.parametrize("change", ["samples", "variants"])
def test_what_comes_back_is_free_below_as_well(world: World, change: str) -> None:
    more = {"samples": 2} if change == "samples" else {"variants": THREE}
    world.model = answer
    write(world, **more)  # type: ignore[arg-type]
    world.apply()
    write(world)
    world.apply()
    write(world, **more)  # type: ignore[arg-type]
    found = told(world)
    assert (found.requests, found.sent) == ((0, 0), 0)


def test_an_answer_two_variants_share_may_change_for_both(world: World) -> None:
    """Asking for one of them anew asks for the other, whose row does not change."""
    same = {"a": {}, "b": {}}
    world.model = answer
    write(world, variants=same)
    world.apply()
    plan = world.plan(replace=['m.src["x","b"]'])
    (low,) = (job for job in plan.jobs if job.address == "m.low")
    assert low.requests == 2
    assert low.counts[Kind.KEEP] == 2


def test_code_that_judges_one_variant_anew_leaves_the_others_known(world: World) -> None:
    world.model = answer
    checked = "def loud(value):\n    return value\n\n"
    write(world)
    world.apply()
    path = world.root / "specs" / "m.py"
    text = path.read_text().replace("'Be brief.'}", "'Be brief.', 'output_validators': [loud]}")
    head, line, rest = text.partition("\ndef is_on")
    path.write_text(head + "\n" + checked + line + rest)
    (low,) = (job for job in world.plan().jobs if job.address == "m.low")
    assert (low.requests, low.counts[Kind.KEEP]) == (2, 2)


def test_rows_that_are_not_planned_count_for_what_is_below(world: World) -> None:
    """A target names one row above; what is below is made of all that is on record."""
    world.model = answer
    write(world)
    world.apply()
    plan = world.plan(targets=['m.src["x"]', "m.low"], replace=['m.src["x"]'])
    (low,) = (job for job in plan.jobs if job.address == "m.low")
    assert low.requests >= 2
