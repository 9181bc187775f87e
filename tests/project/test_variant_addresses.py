"""Every command takes the addresses of variants, samples and their items, and means the same."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from adoption.handmade import by_hand, line
from pipelines.chains import limit
from worlds import World

from batchspec.errors import ExitCode, RefusedError, UsageError
from batchspec.ids import parse_address
from batchspec.plan.changes import Kind
from batchspec.state.browsed import ItemDetail, JobDetail

SPEC = """
up = Job(model="openai:gpt-5-mini", rows=rows.inline([{"id": "a,b"}, {"id": "c"}]), samples=2,
         prompt="say {id}", variants={VARIANTS})
"""
BELOW = """
down = Job(model="openai:gpt-5-mini", rows=rows.outputs_of(up), prompt="{key} {output}")
"""
BOTH = "'plain': {}, 'no#2,x': {'instructions': 'Be brief.'}"
EVERY = [
    f'm.up["{key}","{variant}"{sample}]'
    for variant in ("no#2,x", "plain")
    for sample in ("", ",2")
    for key in ("a,b", "c")
]
MEANT: Mapping[str, list[int]] = {
    "m.up": [0, 1, 2, 3, 4, 5, 6, 7],
    "m.up@plain": [4, 5, 6, 7],
    "m.up@no%232,x": [0, 1, 2, 3],
    "m.up@no%232,x#2": [2, 3],
    'm.up["a,b"]': [0, 2, 4, 6],
    'm.up["c","plain"]': [5],
    'm.up["c", "no#2,x", 2]': [3],
}
JOBS = [address for address in MEANT if "[" not in address]


def write(world: World, variants: str = BOTH, below: str = "") -> None:
    world.spec(SPEC.replace("VARIANTS", variants) + below)


@pytest.fixture
def applied(world: World) -> World:
    write(world)
    world.apply()
    return world


def meant(address: str) -> set[str]:
    return {EVERY[n] for n in MEANT[address]}


def moved(world: World, kind: Kind = Kind.RESUBMIT, **wishes: list[str]) -> dict[str, int]:
    """Return how many rows of each job a plan moves."""
    with world.open() as project:
        plan = project.plan(refresh=False, **wishes)  # type: ignore[arg-type]
        return {job.address: n for job in plan.jobs if (n := job.counts.get(kind, 0))}


def by_job(addresses: set[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for address in addresses:
        job = parse_address(address)[0]
        found[job] = found.get(job, 0) + 1
    return found


def listed(world: World, address: str | None = None) -> set[str]:
    with world.open() as project:
        return {entry.address for entry in project.state.items(address)}


# --- what a plan is about


def test_replace(applied: World) -> None:
    for address in MEANT:
        assert moved(applied, replace=[address]) == by_job(meant(address))
    applied.apply(replace=['m.up["c","no#2,x",2]', "m.up@plain"])
    assert applied.lines == 8 + 1 + 4


@pytest.mark.parametrize("address", JOBS)
def test_target_and_exclude(world: World, address: str) -> None:
    write(world)
    every = by_job(set(EVERY))
    chosen = by_job(meant(address))
    assert moved(world, Kind.SUBMIT, targets=[address]) == chosen
    others = {job: n for job, n in every.items() if job not in chosen}
    assert moved(world, Kind.SUBMIT, excludes=[address]) == others


def test_taint(applied: World) -> None:
    for address in MEANT:
        with applied.open() as project:
            assert sum(one.items for one in project.taint(address)) == len(meant(address))
        assert moved(applied) == by_job(meant(address))
        with applied.open() as project:
            project.taint(address, undo=True)
        assert not applied.plan().can_apply


# --- stopping and removing


@pytest.mark.parametrize("address", [*MEANT][1::2])
def test_cancel(world: World, address: str) -> None:
    """The others go on, and what is stopped is proposed again."""
    limit(world, max_requests=1)
    write(world)
    world.apply(detach=True)
    with world.open() as project:
        project.cancel(address)
    found = items(world).values()
    assert {one.entry.address for one in found if one.entry.outcome} == meant(address)
    assert {one.entry.outcome for one in found} <= {"cancelled", None}
    assert world.apply().exit_code == ExitCode.DONE
    assert world.lines == 8


def items(world: World) -> dict[str, ItemDetail]:
    with world.open() as project:
        found = [project.state.show(address) for address in EVERY]
    return {one.entry.address: one for one in found if isinstance(one, ItemDetail)}


@pytest.mark.parametrize(
    ("how", "address"),
    [(("destroy", "state rm")[n % 2], address) for n, address in enumerate(MEANT)],
)
def test_what_is_forgotten(applied: World, how: str, address: str) -> None:
    with applied.open() as project:
        if how == "destroy":
            project.destroy(address)
        else:
            project.state.forget([address])
    assert listed(applied) == set(EVERY) - meant(address)
    applied.check()
    assert applied.apply().exit_code == ExitCode.DONE
    assert listed(applied) == set(EVERY)
    assert applied.lines == 8, "the answers are found again"


def test_what_is_destroyed_with_its_answers_is_paid_again(applied: World) -> None:
    with applied.open() as project:
        project.destroy("m.up@plain#2", answers=True)
        garbage = project.state.gc()
        assert not garbage.failed
    applied.apply()
    assert applied.lines == 8 + 2


# --- looking


def test_state_list_and_batches(applied: World) -> None:
    for address in MEANT:
        assert listed(applied, address) == meant(address)
        with applied.open() as project:
            assert project.state.batches(address, every=True)
            assert list(project.state.history(address))


def test_state_show(applied: World) -> None:
    with applied.open() as project:
        one = project.state.show("m.up@no%232,x#2")
        assert isinstance(one, JobDetail)
        assert one.progress.items == 2
        for address in ("m.up", 'm.up["c"]', "m.up@plain"):
            with pytest.raises(UsageError, match=r"is several jobs: .*m\.up@plain.* Name one"):
                project.state.show(address)
    assert set(items(applied)) == set(EVERY)


# --- other addresses


@pytest.mark.parametrize(
    ("old", "new", "variants"),
    [
        ("m.up@no%232,x", "m.up@terse", BOTH.replace("no#2,x", "terse")),
        ("m.up", "n.up", BOTH),
    ],
)
def test_state_mv_of_a_job(applied: World, old: str, new: str, variants: str) -> None:
    with applied.open() as project:
        project.state.move(old, new)
    applied.check()
    if new == "n.up":
        applied.remove("m")
        applied.spec(SPEC.replace("VARIANTS", variants), name="n")
    else:
        write(applied, variants)
    assert not applied.plan().can_apply


def test_state_mv_of_an_item(applied: World) -> None:
    with applied.open() as project:
        project.state.move('m.up["c","plain",2]', 'm.up["d","plain",2]')
        with pytest.raises(UsageError, match="has an item with the key 'c' already"):
            project.state.move('m.up["a,b","plain"]', 'm.up["c","plain"]')
        with pytest.raises(UsageError, match="cannot become"):
            project.state.move('m.up["c","plain"]', 'm.up["d","no#2,x"]')
        with pytest.raises(UsageError, match=r"is several jobs"):
            project.state.move('m.up["c"]', 'm.up["d"]')
    assert 'm.up["d","plain",2]' in listed(applied)
    assert moved(applied, Kind.REUSE) == {"m.up@plain#2": 1}
    assert applied.apply().exit_code == ExitCode.DONE
    assert applied.lines == 8


# --- saved plans and imports


def saved(world: World, file: Path) -> Callable[[], tuple[str, ...]]:
    """Save a plan; what is returned applies it."""
    with world.open() as project:
        project.save_plan(project.plan(), file)

    def apply() -> tuple[str, ...]:
        with world.open() as project:
            result = project.apply(project.load_plan(file), hook=world.hook)
        world.check()
        assert result.refused == ()
        return result.left

    return apply


def test_a_saved_plan_sends_the_variant_it_was_made_for(world: World, tmp_path: Path) -> None:
    write(world, "'plain': {}", BELOW)
    world.apply()
    assert world.lines == 4 + 4
    write(world, BOTH, BELOW)
    apply = saved(world, tmp_path / "x.plan")
    apply()
    assert world.lines == 8 + 8 + 4 - 4 + 4 - 4, "keys below name the variant now"
    assert len(world.texts("m.down")) == 8
    assert world.plan().can_apply is False


def test_a_saved_plan_leaves_a_variant_alone_that_is_newer(world: World, tmp_path: Path) -> None:
    write(world, "'plain': {}, 'other': {'instructions': 'x'}", BELOW)
    apply = saved(world, tmp_path / "x.plan")
    write(world, "'plain': {}, 'other': {'instructions': 'x'}, " + BOTH.split(", ", 1)[1], BELOW)
    apply()
    assert {job for job, _ in map(parse_address, listed(world, "m.up"))} == {
        "m.up@plain",
        "m.up@plain#2",
        "m.up@other",
        "m.up@other#2",
    }
    assert world.apply().exit_code == ExitCode.DONE
    assert len(world.texts("m.down")) == 12


def test_a_saved_plan_forgets_the_variant_that_was_gone(applied: World, tmp_path: Path) -> None:
    write(applied, "'plain': {}")
    apply = saved(applied, tmp_path / "x.plan")
    apply()
    assert listed(applied) == meant("m.up@plain")
    assert not applied.plan().can_apply


def test_a_batch_is_imported_for_one_variant(world: World) -> None:
    """Lines are found by the address of their item, or by what they ask."""
    write(world)
    batch = by_hand(world, line("a,b", "say a,b"), line('m.up["c","plain"]', "say c"))
    with world.open() as project:
        with pytest.raises(UsageError, match=r"m\.up@plain"):
            project.import_batch("m.up", batch)
        found = project.import_batch("m.up@plain", batch)
    assert (found.members, found.unmatched) == (2, 0)
    world.apply()
    assert world.lines == 8
    assert set(world.texts("m.up@plain").values()) == {"SAY A,B", "SAY C"}


SEEING = """
@tool
def mine(ctx: RunContext) -> str:
    "Tell whose it is."
    return ctx.key

j = Job(model="openai:gpt-5-mini", rows=rows.inline([{"id": k, "text": t} for k, t in ROWS]),
        prompt="say {text}", tools=[mine], VARIANTS)
"""


@pytest.mark.parametrize(
    ("variants", "of", "item"),
    [("", "", ""), ("variants={'x,y': {}}, samples=2", "@x,y#2", ',"x,y",2')],
)
def test_an_item_whose_code_sees_the_row_is_moved_free(
    world: World, variants: str, of: str, item: str
) -> None:
    """Its key is part of what was asked; what is in a batch is asked under its old one."""
    text = SEEING.replace("VARIANTS", variants)
    more = 1 if not variants else 2
    world.spec(text.replace("ROWS", "[('a', 'A'), ('b', 'B')]"))
    world.apply(detach=True)
    old, new = f'm.j["a"{item}]', f'm.j["z"{item}]'
    with world.open() as project, pytest.raises(RefusedError, match="in a batch, and its key"):
        project.state.move(old, new)
    world.apply()
    assert world.lines == 2 * more
    with world.open() as project:
        project.state.move(old, new)
    world.check()
    world.spec(text.replace("ROWS", "[('z', 'A'), ('b', 'B')]"))
    plan = world.plan()
    job = next(job for job in plan.jobs if job.address == f"m.j{of}")
    assert not job.counts.get(Kind.SUBMIT)
    assert not job.counts.get(Kind.RESUBMIT)
    world.apply()
    assert world.lines == 2 * more + (more - 1), "the other sample was not moved"
    assert set(world.texts(f"m.j{of}")) == {"z", "b"}


def test_an_item_that_asks_what_another_one_asked_finds_its_answer(world: World) -> None:
    text = SEEING.replace("VARIANTS", "")
    world.spec(text.replace("ROWS", "[('z', 'A')]"))
    world.apply()
    world.spec(text.replace("ROWS", "[('a', 'A')]"))
    world.apply()
    assert world.lines == 2
    with world.open() as project:
        project.state.move('m.j["a"]', 'm.j["z"]')
    world.check()
    world.spec(text.replace("ROWS", "[('z', 'A')]"))
    world.apply()
    assert (world.lines, set(world.texts())) == (2, {"z"})


def test_what_is_made_of_a_renamed_variant_may_be_moved_along(world: World) -> None:
    """Its key names the variant, and its code sees that."""
    own = """
own = Job(model="openai:gpt-5-mini", rows=rows.outputs_of(up), prompt="{output}", tools=[mine])
"""
    tool = SEEING[: SEEING.index("j = Job")]
    write(world, below=tool + own)
    world.apply()
    assert world.lines == 8 + 8
    with world.open() as project:
        for key in ("a\\\\,b", "c"):
            for sample in ("", ",2"):
                old = f'm.own["{key},no#2\\\\,x{sample}"]'
                project.state.move(old, old.replace("no#2\\\\,x", "terse"))
    write(world, BOTH.replace("no#2,x", "terse"), below=tool + own)
    assert world.apply().exit_code == ExitCode.DONE
    assert world.lines == 8 + 8
    assert len(world.texts("m.own")) == 8
