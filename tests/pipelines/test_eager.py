"""Rows of an eager job are sent as the answers they are made of come in."""

from collections import Counter
from typing import Any

import pytest
from worlds import World

from batchspec.desired.derive import told
from batchspec.errors import ExitCode, SpecError
from batchspec.spec import rows

from .chains import Asked, batches, chain, limit, staggered

KEYS = "abcdef"
UPS = {"m.up", "m.up#2", "m.up@a,b", "m.up@terse"}


@pytest.fixture
def asked(world: World) -> Asked:
    world.model = model = Asked()
    return model


def test_rows_are_sent_on_before_the_last_answer_is_in(world: World, asked: Asked) -> None:
    """By the provider's own times; each answer makes one row, and each row is sent once."""
    staggered(world, 0, 3_000, 9_000)
    chain(world, *KEYS)
    assert world.apply().exit_code == ExitCode.DONE
    found = batches(world)
    last = max(batch.ended for batch in found if "m.up" in batch.jobs)
    down = [batch for batch in found if "m.down" in batch.jobs]
    assert [batch.jobs for batch in down] == [{"m.down": 2}] * 3
    assert [batch.submitted < last for batch in down] == [True, True, False]
    assert Counter(asked.texts) == Counter(
        [f"say {key}" for key in KEYS] + [f"sum SAY {key.upper()}" for key in KEYS]
    )


def test_a_job_that_is_not_eager_waits_for_the_last_answer(world: World, asked: Asked) -> None:
    staggered(world, 0, 3_000, 9_000)
    chain(world, *KEYS, eager=False)
    assert world.apply().exit_code == ExitCode.DONE
    found = batches(world)
    last = max(batch.ended for batch in found if "m.up" in batch.jobs)
    assert all(batch.submitted >= last for batch in found if "m.down" in batch.jobs)
    assert len(asked.texts) == 12


def test_rows_flow_through_several_stages(world: World, asked: Asked) -> None:
    """The third job has answers before the first one is final."""
    staggered(world, 0, 9_000, 20_000)
    chain(
        world,
        *KEYS,
        down="rows=rows.outputs_of(up, eager=True), prompt='sum {output}'",
        last="rows=rows.outputs_of(down, eager=True), prompt='end {output}'",
        whole="rows=rows.collect(last), prompt='{count}: {outputs}'",
    )
    assert world.apply().exit_code == ExitCode.DONE
    found = batches(world)
    final = max(batch.ended for batch in found if "m.up" in batch.jobs)
    assert sum(batch.ended < final for batch in found if "m.last" in batch.jobs) == 2
    assert len(asked.texts) == 6 + 6 + 6 + 1
    assert set(world.texts("m.last")) == set(KEYS)


@pytest.mark.parametrize("kind", ["variants", "samples"])
def test_rows_flow_on_below_variants_and_samples(world: World, asked: Asked, kind: str) -> None:
    """Through two stages, whose keys say which of them an answer is of."""
    more = {
        "variants": "variants={'a,b': {}, 'terse': {'prompt': 'name {id}'}}",
        "samples": "samples=2",
    }[kind]
    staggered(world, 0, 9_000, 20_000)
    data = [{"id": key} for key in ("x", "y,\\", "z")]
    world.spec(
        f"""
        M, of = 'openai:gpt-5-mini', rows.outputs_of
        up = Job(model=M, rows=rows.inline({data!r}), prompt='say {{id}}', {more})
        down = Job(model=M, rows=of(up, eager=True), prompt='sum {{output}} {{sample}}')
        last = Job(model=M, rows=of(down, eager=True), prompt='end {{output}}')
        """
    )
    assert world.apply().exit_code == ExitCode.DONE
    found = batches(world)
    final = max(batch.ended for batch in found if set(batch.jobs) & UPS)
    assert sum(batch.ended < final for batch in found if "m.last" in batch.jobs) == 2
    assert len(asked.texts) == 18
    assert len(world.texts("m.last")) == 6
    assert world.plan().can_apply is False


def test_a_where_that_takes_nothing_sends_nothing(world: World, asked: Asked) -> None:
    staggered(world, 0, 3_000, 9_000)
    where = "where=lambda item: item['key'] > 'c'"
    chain(
        world,
        *KEYS,
        down=f"rows=rows.outputs_of(up, {where}, eager=True), prompt='sum {{output}}'",
    )
    assert world.apply().exit_code == ExitCode.DONE
    assert set(world.texts("m.down")) == set("def")
    assert len(asked.texts) == 9


def test_batches_stay_large_where_the_provider_wants_them_so(world: World, asked: Asked) -> None:
    """Rows wait for others up to `min_requests`, and the last ones for nobody.

    Whichever batch is the slow one: the other gives two rows, which are too few.
    """
    staggered(world, 0, 3_000, requests=3)
    limit(world, max_requests=3, min_requests=3)
    down = (
        "rows=rows.outputs_of(up, where=lambda i: i['key'] not in 'ad', eager=True), "
        "prompt='{output}'"
    )
    chain(world, *KEYS, down=down)
    assert world.apply().exit_code == ExitCode.DONE
    found = batches(world)
    last = max(batch.ended for batch in found if "m.up" in batch.jobs)
    assert all(batch.submitted >= last for batch in found if "m.down" in batch.jobs)
    assert len(asked.texts) == 10


def test_what_fails_makes_no_row_and_holds_up_nothing(world: World, asked: Asked) -> None:
    staggered(world, 0, 3_000)
    asked.refused = {"say b", "say d"}
    chain(world, *"abcd")
    assert world.apply().exit_code == ExitCode.FAILED_ITEMS
    assert set(world.texts("m.down")) == {"a", "c"}


def test_a_run_that_is_left_goes_on_with_what_is_new(world: World, asked: Asked) -> None:
    """Each run looks at what is there: a detached one, one hours later, one at the end."""
    staggered(world, 0, 3_000, 9_000)
    chain(world, *KEYS)
    assert world.apply(detach=True).exit_code == ExitCode.IN_PROGRESS
    for _ in range(7):
        world.clock.advance(1_500)
        with world.open() as project:
            project.refresh(hook=world.hook)
        world.apply(detach=True)
    found = batches(world)
    last = max(batch.ended for batch in found if "m.up" in batch.jobs)
    assert min(batch.submitted for batch in found if "m.down" in batch.jobs) < last
    assert world.apply().exit_code == ExitCode.DONE
    assert len(asked.texts) == 12


def test_a_row_whose_answer_changes_is_not_sent_with_the_old_one(
    world: World, asked: Asked
) -> None:
    """Through two stages: of old answers nothing is made while new ones are waited for."""
    jobs = {
        "down": "rows=rows.outputs_of(up, eager=True), prompt='sum {output}'",
        "last": "rows=rows.outputs_of(down, eager=True), prompt='end {output}'",
    }
    chain(world, *KEYS, **jobs)
    world.apply()
    asked.taken()
    staggered(world, 0, 5_000, 9_000)
    jobs["last"] = jobs["last"].replace("end", "END")
    chain(world, *KEYS, up="tell {id}", **jobs)
    assert world.apply().exit_code == ExitCode.DONE
    assert asked.taken() == sorted(
        text
        for key in KEYS.upper()
        for text in (f"tell {key.lower()}", f"sum TELL {key}", f"END SUM TELL {key}")
    )


def test_rows_that_are_gone_are_forgotten_at_the_end_only(world: World, asked: Asked) -> None:
    chain(world, *KEYS)
    world.apply()
    staggered(world, 0, 5_000)
    chain(world, *"abxyz")
    with world.open() as project:
        plan = project.plan()
        assert next(job.forgets_at_most for job in plan.jobs if job.address == "m.down") == 4
    world.apply(detach=True)
    assert set(KEYS) <= set(world.texts("m.down"))
    world.apply()
    assert set(world.texts("m.down")) == set("abxyz")


def test_an_answer_that_is_taken_over_is_news_at_once(world: World, asked: Asked) -> None:
    """A row in the middle costs nothing, and the row made of it does not wait for the end."""
    jobs = {
        "down": "rows=rows.outputs_of(up, eager=True), prompt='sum {output}'",
        "last": "rows=rows.outputs_of(down, eager=True), prompt='end {key} {output}'",
    }
    chain(world, "a", **jobs)
    world.apply()
    asked.taken()
    asked.answers |= {"say z": "SAY A", "say y": "SAY A"}
    # Which of the two batches is made first is anybody's guess, and so is how far the clock jumps
    # while threads have work to do: the other one takes nearly a day.
    staggered(world, 0, 80_000, requests=1)
    chain(world, *"azy", **jobs)
    assert world.apply().exit_code == ExitCode.DONE
    first, other = ("z", "y") if asked.texts[0] == "say z" else ("y", "z")
    assert asked.texts == [
        text for key in (first, other) for text in (f"say {key}", f"end {key} SUM SAY A")
    ]


def test_asking_for_all_rows_anew_asks_once(world: World, asked: Asked) -> None:
    chain(world, *KEYS)
    world.apply()
    asked.taken()
    staggered(world, 0, 3_000, 9_000)
    assert world.apply(replace=["m.up", "m.down"]).exit_code == ExitCode.DONE
    assert asked.taken() == sorted(
        [f"say {key}" for key in KEYS] + [f"sum SAY {key.upper()}" for key in KEYS]
    )


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: rows.collect("m.up", eager=True), "`rows.collect` cannot be `eager`"),
        (lambda: rows.outputs_of("m.up", eager=1), "`eager` is True or False"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_eager_is_refused(make: Any, problem: str) -> None:
    with pytest.raises(SpecError, match=problem):
        make()


def test_how_rows_come_from_another_job_is_told() -> None:
    def good(item: Any) -> bool:
        return bool(item)

    assert [
        told(source)
        for source in (
            rows.outputs_of("m.up"),
            rows.outputs_of("m.up", where=good, eager=True),
            rows.outputs_of("m.up", where=lambda item: True),
            rows.collect("m.up", where=good),
        )
    ] == ["outputs_of", "outputs_of, eager, where good", "outputs_of, where", "collect, where good"]
