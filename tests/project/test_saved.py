"""Saved plans: reviewed once, applied once, never for more and never dearer."""

import hashlib
import json
import os
import stat
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import zstandard
from worlds import PRICES, Fault, World, failure

from batchspec.config import ModelPrices, OpenAISettings
from batchspec.errors import (
    ExitCode,
    PlanFileError,
    ProviderError,
    RefusedError,
    StalePlanError,
    UsageError,
)
from batchspec.ids import JobAddress
from batchspec.plan.changes import Kind, Plan
from batchspec.project import ApplyResult, SavedPlan
from batchspec.project.planfiles import read_plan, read_rows


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "reviewed.plan"


def save(world: World, file: Path, **wishes: Any) -> SavedPlan:
    """Plan as `batchspec plan -o FILE` does."""
    with world.project() as project:
        return project.save_plan(project.plan(whole=False, **wishes), file)


def replan(world: World, file: Path) -> Plan:
    with world.project() as project:
        return project.replan(project.load_plan(file))


def apply(world: World, file: Path, **options: Any) -> ApplyResult:
    """Apply as `batchspec apply FILE` does."""
    try:
        with world.project() as project:
            return project.apply(project.load_plan(file), hook=world.hook, **options)
    finally:
        world.check()


def unpacked(data: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompressobj().decompress(data)


def text(file: Path) -> str:
    return unpacked(file.read_bytes()).decode()


def rewrite(file: Path, change: Callable[[list[Any]], None], *, keep_sum: bool = False) -> None:
    """Change the lines of a saved plan, with a sum that fits."""
    lines = [json.loads(line) for line in text(file).splitlines()]
    change(lines)
    body = b"".join(json.dumps(line).encode() + b"\n" for line in lines[:-1])
    body = body.replace(b'{"batchspec_plan": ', b'{"batchspec_plan":')
    if not keep_sum:
        lines[-1] = {"rows": len(lines) - 2, "sha256": hashlib.sha256(body).hexdigest()}
    file.write_bytes(zstandard.compress(body + json.dumps(lines[-1]).encode() + b"\n"))


# --- what is in it


def test_a_saved_plan_is_applied_without_anything_else(world: World, file: Path) -> None:
    world.job("a", "b")
    saved = save(world, file)
    assert (saved.rows, saved.plan.counts) == (2, {Kind.SUBMIT: 2})
    assert world.wire.calls == []
    assert apply(world, file).exit_code == ExitCode.DONE
    assert world.texts() == {"a": "SAY A", "b": "SAY B"}


def test_it_holds_keys_and_hashes_and_no_prompts(world: World, file: Path) -> None:
    """Its owner alone may read it."""
    world.job("a", "b", instructions="'top secret rule'")
    world.apply()
    world.job("a", "c", instructions="'other secret rule'")
    mask = os.umask(0)
    try:
        save(world, file)
    finally:
        os.umask(mask)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [p.name for p in file.parent.iterdir() if "plan" in p.name] == [file.name]
    written = text(file)
    assert "secret" not in written
    assert "say" not in written
    found = list(read_rows(read_plan(file)))
    assert [(e.job, e.kind, e.key) for e in found] == [
        ("m.j", Kind.RESUBMIT, "a"),
        ("m.j", Kind.SUBMIT, "c"),
        ("m.j", Kind.FORGET, "b"),
    ]
    assert [e.fingerprint is None for e in found] == [False, False, True]


def test_what_is_no_saved_plan_is_not_overwritten(world: World, file: Path) -> None:
    world.job("a")
    save(world, file)
    save(world, file)
    for content in (b"precious", zstandard.compress(b"precious\n")):
        file.write_bytes(content)
        with pytest.raises(UsageError, match="is no saved plan; it was not overwritten"):
            save(world, file)
        assert file.read_bytes() == content
    with pytest.raises(UsageError, match="cannot be saved"):
        save(world, file.parent / "missing" / "x")


def test_a_plan_without_changes_applies_to_nothing(world: World, file: Path) -> None:
    world.job("a")
    world.apply()
    assert save(world, file).rows == 0
    calls = len(world.wire.calls)
    assert apply(world, file).nothing
    assert len(world.wire.calls) == calls


# --- stale, used, foreign


def test_a_saved_plan_is_applied_once(world: World, file: Path) -> None:
    world.job("a")
    save(world, file)
    apply(world, file)
    with pytest.raises(StalePlanError, match=r"was applied before, .* plain `batchspec apply`"):
        apply(world, file)
    assert StalePlanError.exit_code == 6
    assert world.lines == 1


def test_a_plan_that_was_interrupted_is_used_and_goes_on_without_it(
    world: World, file: Path
) -> None:
    world.job("a")
    save(world, file)
    assert apply(world, file, detach=True).exit_code == ExitCode.IN_PROGRESS
    with pytest.raises(StalePlanError, match="plain `batchspec apply`"):
        apply(world, file)
    assert world.apply().exit_code == ExitCode.DONE
    assert world.lines == 1


def test_a_plan_that_broke_off_in_the_middle_is_used_and_goes_on_without_it(
    world: World, file: Path
) -> None:
    world.job("a")
    save(world, file)
    world.wire.faults.append(Fault("POST", "/files", status=401, body=failure("No key.")))
    with pytest.raises(ProviderError):
        apply(world, file)
    with pytest.raises(StalePlanError, match="plain `batchspec apply`"):
        apply(world, file)
    assert world.apply().exit_code == ExitCode.DONE
    assert world.lines == 1


def test_a_plan_is_stale_once_the_state_changed(world: World, file: Path) -> None:
    world.job("a")
    world.apply()
    world.job("a", "b")
    save(world, file)
    world.job("a", "c")
    world.apply()
    with pytest.raises(StalePlanError, match="The state changed since this plan was made"):
        apply(world, file)


def test_a_plan_of_another_state_is_foreign(world: World, file: Path, tmp_path: Path) -> None:
    world.job("a")
    save(world, file)
    with (
        world.project(environment="prod") as project,
        pytest.raises(StalePlanError, match="made for environment 'default', and this is 'prod'"),
    ):
        project.replan(project.load_plan(file))
    (tmp_path / "state").rename(tmp_path / "moved")
    with pytest.raises(StalePlanError, match="made for another state"):
        apply(world, file)
    assert world.wire.calls == []


def test_a_plan_of_another_version_is_refused(world: World, file: Path) -> None:
    world.job("a")
    save(world, file)
    rewrite(file, lambda lines: lines[0].update(batchspec="0.0.1"))
    with pytest.raises(StalePlanError, match=r"made by batchspec 0\.0\.1"):
        apply(world, file)
    rewrite(file, lambda lines: lines[0].update(batchspec_plan=2))
    with pytest.raises(PlanFileError, match="format version 2"):
        apply(world, file)


# --- an empty source


@pytest.mark.parametrize("keys", [("a", "b", "c"), ("a",)])
def test_a_source_that_is_empty_by_now_is_refused(
    world: World, file: Path, keys: tuple[str, ...]
) -> None:
    """Whether the plan sends new rows or forgets old ones: nobody agreed to an empty source."""
    world.job("a", "b")
    world.apply()
    world.job(*keys)
    save(world, file)
    world.job()
    with pytest.raises(RefusedError, match="no rows now and 2 items on record"):
        apply(world, file)
    assert set(world.items()) == {"a", "b"}


def test_a_plan_that_was_made_with_an_empty_source_forgets_its_items(
    world: World, file: Path
) -> None:
    world.job("a", "b")
    world.apply()
    world.job()
    with world.open() as project:
        project.save_plan(project.plan(allow_empty=True), file)
    apply(world, file)
    assert world.items() == {}


# --- never more


def test_rows_that_changed_since_are_left_alone_and_told(world: World, file: Path) -> None:
    world.job("a", "b", "c")
    save(world, file)
    world.spec("""
        data = [{"id": "a"}, {"id": "b", "x": 1}, {"id": "c"}, {"id": "d"}]
        def prompt(row):
            return f"say {row['id']}" + "!" * ("x" in row)
        j = Job(model="openai:gpt-5-mini", rows=rows.inline(data), prompt=prompt)
    """)
    plan = replan(world, file)
    assert plan.counts == {Kind.SUBMIT: 2, Kind.KEEP: 2}
    assert plan.warnings == (
        "m.j: 2 rows changed since this plan was made, and are left alone. Plan again for that.",
    )
    apply(world, file)
    assert world.texts() == {"a": "SAY A", "c": "SAY C"}
    assert world.plan().counts == {Kind.KEEP: 2, Kind.SUBMIT: 2}


def test_rows_that_vanished_drop_out_and_are_not_forgotten(world: World, file: Path) -> None:
    """The plan says nothing of forgetting them."""
    world.job("a", "b", "c")
    world.apply()
    world.job("a", "b", "c", "d", "e", prompt="'tell {id}'")
    save(world, file)
    world.job("b", "d", prompt="'tell {id}'")
    plan = replan(world, file)
    assert plan.counts == {Kind.RESUBMIT: 1, Kind.SUBMIT: 1}
    assert plan.warnings == ("m.j: 3 rows of this plan are gone from the data.",)
    apply(world, file)
    assert world.texts() == {"a": "SAY A", "b": "TELL B", "c": "SAY C", "d": "TELL D"}


def test_what_is_forgotten_is_what_the_plan_lists(world: World, file: Path) -> None:
    world.job("a", "b", "c", "d")
    world.job("x", name="n", variable="k")
    world.job("y", name="o", variable="k")
    world.apply()
    world.remove("n")
    world.job("a", "b")
    assert save(world, file).plan.counts == {Kind.KEEP: 3, Kind.FORGET: 3}
    world.remove("o")
    world.job("a", "c")
    plan = replan(world, file)
    assert plan.counts == {Kind.KEEP: 2, Kind.FORGET: 2}
    assert plan.warnings == ("o.k is gone from the specs since this plan was made.",)
    apply(world, file)
    assert set(world.items()) == {"a", "b", "c"}
    assert set(world.items("o.k")) == {"y"}
    assert world.items("n.k") == {}


def test_an_empty_source_that_was_reviewed_needs_no_word_again(world: World, file: Path) -> None:
    world.job("a", "b")
    world.apply()
    world.job()
    assert save(world, file, allow_empty=True).plan.counts == {Kind.FORGET: 2}
    apply(world, file)
    assert world.items() == {}


def test_a_removed_job_that_is_back_is_not_forgotten(world: World, file: Path) -> None:
    world.job("a")
    world.job("x", name="n")
    world.apply()
    world.remove("n")
    save(world, file)
    world.job("x", name="n")
    assert apply(world, file).nothing
    assert set(world.items("n.j")) == {"x"}


@pytest.mark.parametrize(
    "change",
    [
        {"settings": "{'max_tokens': 9}"},
        {"output": "int"},
        {"protect": "True"},
        {"output_validators": "[lambda value: value]"},
    ],
    ids=["settings", "output", "protect", "validator"],
)
def test_a_job_that_changed_is_left_alone_as_a_whole(
    world: World, file: Path, change: dict[str, str]
) -> None:
    """Also where only what runs here changed: nobody has looked at it."""
    world.job("a")
    world.job("x", name="n")
    save(world, file)
    world.job("a", **change)
    plan = replan(world, file)
    assert [(job.address, job.counts) for job in plan.jobs] == [("n.j", {Kind.SUBMIT: 1})]
    assert plan.warnings[0].startswith("m.j changed since this plan was made")
    apply(world, file)
    assert world.plan().counts == {Kind.SUBMIT: 1, Kind.KEEP: 1}


def test_a_job_that_is_new_since_is_left_alone(world: World, file: Path) -> None:
    world.job("a")
    save(world, file)
    world.job("x", name="n")
    assert replan(world, file).warnings == (
        "n.j is new since this plan was made. Plan again for it.",
    )
    apply(world, file)
    assert world.lines == 1


def test_wishes_and_targets_are_those_of_the_plan(world: World, file: Path) -> None:
    world.job("a", "b", "c")
    world.job("x", name="n")
    world.apply()
    world.job("a", "b", "c", prompt="'tell {id}'")
    world.job("y", name="n")
    saved = save(world, file, targets=['m.j["a"]', 'm.j["b"]'])
    assert (saved.rows, saved.plan.counts) == (2, {Kind.RESUBMIT: 2})
    world.job("a", "c", prompt="'tell {id}'")
    assert replan(world, file).warnings == ("m.j: 1 row of this plan is gone from the data.",)
    apply(world, file)
    assert world.texts() == {"a": "TELL A", "b": "SAY B", "c": "SAY C"}
    assert set(world.items("n.j")) == {"x"}
    world.job("a", "b", "c", prompt="'tell {id}'")
    world.apply()
    save(world, file, replace=['m.j["c"]'])
    assert replan(world, file).counts == {Kind.RESUBMIT: 1, Kind.KEEP: 3}
    before = world.lines
    apply(world, file)
    assert world.lines == before + 1


# --- never dearer


def dearer(world: World, factor: int) -> None:
    prices = ModelPrices(input=PRICES.input * factor, output=PRICES.output * factor)
    provider = OpenAISettings(prices={"gpt-5-mini": prices})
    world.settings = world.settings.model_copy(update={"providers": {"openai": provider}})


def test_a_price_that_rose_is_refused(world: World, file: Path) -> None:
    world.job("a", settings="{'max_tokens': 10}")
    save(world, file)
    dearer(world, 2)
    with pytest.raises(RefusedError, match=r"the price of openai:gpt-5-mini changed\. Nothing"):
        apply(world, file)
    assert world.wire.calls == []
    dearer(world, 1)
    assert apply(world, file).exit_code == ExitCode.DONE


def test_more_turns_than_the_plan_had_are_refused(world: World, file: Path) -> None:
    world.job("a", output="int")
    save(world, file)
    world.job("a", output="int", output_retries="3")
    assert not replan(world, file).can_apply


def test_the_budget_of_the_run_is_the_plan(world: World, file: Path) -> None:
    world.job("a", settings="{'max_tokens': 10}")
    at_most = save(world, file).header.ceiling
    assert at_most is not None
    plan = replan(world, file)
    assert plan.ceiling == at_most == plan.cost_at_most
    with pytest.raises(RefusedError, match="may cost"):
        apply(world, file, max_cost=at_most / 2)
    result = apply(world, file)
    assert result.exit_code == ExitCode.DONE
    assert result.jobs[0].cost is not None
    assert Decimal(0) < result.jobs[0].cost <= at_most


def test_what_is_under_way_already_is_beside_the_plan(world: World, file: Path) -> None:
    """It was agreed to before, and its cost is not that of this plan."""
    world.job("a", settings="{'max_tokens': 10}")
    world.apply(detach=True)
    world.job("a", "b", settings="{'max_tokens': 10}")
    save(world, file)
    assert apply(world, file).exit_code == ExitCode.DONE
    assert world.lines == 2


TALKATIVE = """
@tool
def look() -> str:
    "Look."
    return "word " * 100_000

j = Job(model='openai:gpt-5-mini', rows=rows.inline([{'id': 'a'}]), prompt='do {id}',
        tools=[look], max_turns=2, settings={'max_tokens': 10})
"""


@pytest.mark.parametrize("earlier", [False, True])
def test_what_earlier_batches_did_not_cost_is_not_the_plans_to_spend(
    world: World, file: Path, *, earlier: bool
) -> None:
    """The tool says more than the plan knew; the other batch cost far less than it might have."""

    def model(body: dict[str, Any]) -> Any:
        if "tools" in body and len(body["messages"]) == 1:
            return {"role": "assistant", "tool_calls": [{"name": "look", "arguments": {}}]}
        return "done"

    world.model = model
    if earlier:
        world.job("z", name="e", settings="{'max_tokens': 1_000_000}")
        world.apply(detach=True)
    world.spec(TALKATIVE)
    ceiling = save(world, file).header.ceiling
    assert ceiling is not None
    with pytest.raises(RefusedError, match="of the saved plan does not suffice"):
        apply(world, file)
    cost = world.items()["a"].cost
    assert cost is not None
    assert cost <= ceiling
    if earlier:
        assert world.outcomes("e.j") == {"z": "succeeded"}


def test_further_turns_are_within_the_plan(world: World, file: Path) -> None:
    world.job("a", "b", "c", output="int", settings="{'max_tokens': 200}")
    asked: list[int] = []

    def model(body: dict[str, Any]) -> Any:
        asked.append(len(body["messages"]))
        return {"response": 7} if len(body["messages"]) > 1 else {"response": "seven"}

    world.model = model
    ceiling = save(world, file).header.ceiling
    result = apply(world, file)
    assert (result.exit_code, world.lines) == (ExitCode.DONE, 6)
    assert result.jobs[0].cost is not None
    assert ceiling is not None
    assert result.jobs[0].cost <= ceiling


# --- jobs that wait


def derived(world: World, *keys: str, prompt: str = "sum up {count}") -> None:
    world.spec(f"""
        j = Job(model="openai:gpt-5-mini", rows=rows.inline([{{"id": k}} for k in {keys!r}]),
                prompt="say {{id}}")
        k = Job(model="openai:gpt-5-mini", rows=rows.collect(j), prompt="{prompt}")
    """)


def test_a_job_that_waits_is_agreed_to_with_the_plan(world: World, file: Path) -> None:
    derived(world, "a", "b")
    saved = save(world, file)
    assert [(job.address, job.waits) for job in saved.header.jobs] == [
        ("m.j", False),
        ("m.k", True),
    ]
    assert apply(world, file).exit_code == ExitCode.DONE
    assert len(world.items("m.k")) == 1
    assert not world.plan().can_apply


def test_a_job_that_waits_and_changed_is_left_alone(world: World, file: Path) -> None:
    derived(world, "a")
    save(world, file)
    text = (world.root / "specs" / "m.py").read_text()
    (world.root / "specs" / "m.py").write_text(
        text.replace('prompt="sum', 'settings={"temperature": 0}, prompt="sum')
    )
    assert apply(world, file).exit_code == ExitCode.DONE
    assert world.plan().counts == {Kind.KEEP: 1, Kind.SUBMIT: 1}


# --- files that are not right


def is_plan(file: Path, content: bytes) -> bool:
    file.write_bytes(content)
    try:
        read_plan(file)
    except PlanFileError as error:
        assert "reviewed.plan' cannot be used" in str(error)  # noqa: PT017 - of many
        return False
    return True


def test_every_cut_and_every_flipped_byte_is_refused(world: World, file: Path) -> None:
    world.job(*map(str, range(20)))
    save(world, file)
    whole = file.read_bytes()
    assert is_plan(file, whole)
    cut = [whole[:n] for n in range(0, len(whole), 7)]
    cut += [whole + b"\0", whole + whole, zstandard.compress(unpacked(whole)[:-1])]
    assert not [content for content in cut if is_plan(file, content)]
    flipped = [
        whole[:n] + bytes([whole[n] ^ 0x40]) + whole[n + 1 :] for n in range(0, len(whole), 5)
    ]
    # Some bits of a frame say nothing of what is in it.
    harmless = [content for content in flipped if is_plan(file, content)]
    assert len(harmless) < 5
    assert all(unpacked(content) == unpacked(whole) for content in harmless)


LINES: list[tuple[str, Callable[[list[Any]], None]]] = [
    ("a row of no job", lambda lines: lines.insert(1, ["m.none", "+", "k", "0" * 64])),
    ("a kind of none", lambda lines: lines.insert(1, ["m.j", "x", "k", "0" * 64])),
    ("a request of none", lambda lines: lines.insert(1, ["m.j", "+", "k", "z" * 64])),
    ("a short row", lambda lines: lines.insert(1, ["m.j", "+"])),
    ("a number", lambda lines: lines.insert(1, 3)),
    ("a key that is no text", lambda lines: lines.insert(1, ["m.j", "+", 3, "0" * 64])),
    ("no header", lambda lines: lines.pop(0)),
    ("no plan", lambda lines: lines[0].pop("plan")),
    ("a plan of text", lambda lines: lines[0].update(plan="x")),
    ("a count below 0", lambda lines: lines[0]["jobs"][0].update(requests=-1)),
    ("a cost that is none", lambda lines: lines[0].update(ceiling="NaN")),
    ("a reason of none", lambda lines: lines[0]["plan"]["jobs"][0]["reasons"][0].update(code="X")),
    ("a time of none", lambda lines: lines[0].update(created=1e300)),
    ("deep", lambda lines: lines[0].update(targets=json.loads("[" * 900 + "]" * 900))),
]


@pytest.mark.parametrize(("name", "change"), LINES, ids=[name for name, _ in LINES])
def test_lines_that_are_not_right_are_refused_with_a_sentence(
    world: World, file: Path, name: str, change: Callable[[list[Any]], None]
) -> None:
    world.job("a")
    save(world, file)
    rewrite(file, change)
    with pytest.raises(PlanFileError, match="Make a new one"):
        apply(world, file)
    assert world.wire.calls == []


def test_an_edited_row_is_refused_without_its_sum(world: World, file: Path) -> None:
    world.job("a")
    save(world, file)
    rewrite(file, lambda lines: lines[1].__setitem__(2, "b"), keep_sum=True)
    with pytest.raises(PlanFileError, match="was changed since it was made"):
        apply(world, file)


def test_a_plan_of_rows_nobody_has_adds_none(world: World, file: Path) -> None:
    """A file is data: whatever it lists, only rows of the specs are sent, as they are there."""
    world.job("a")
    save(world, file)
    rewrite(file, lambda lines: lines.insert(1, ["m.j", "+", "ghost", "0" * 64]))
    plan = replan(world, file)
    assert plan.counts == {Kind.SUBMIT: 1}
    apply(world, file)
    assert set(world.items()) == {"a"}


def test_a_plan_id_names_no_file(world: World, file: Path) -> None:
    world.job("a")
    save(world, file)
    rewrite(file, lambda lines: lines[0]["plan"].update(id="../../../outside"))
    assert apply(world, file).exit_code == ExitCode.DONE
    beside = (world.root.parent, world.root, world.root / "state", world.state)
    assert not [found for folder in beside for found in folder.glob("outside*")]


def test_there_is_no_file(world: World, file: Path) -> None:
    with pytest.raises(UsageError, match="There is no saved plan at"):
        apply(world, file)
    with pytest.raises(UsageError, match="There is no saved plan at"):
        read_plan(file.parent)


def test_many_rows_are_saved_and_read_in_chunks(world: World, file: Path) -> None:
    world.spec("""
        j = Job(model="openai:gpt-5-mini", rows=rows.iterable(lambda: (
            {"id": f"row {n}"} for n in range(2500))), prompt="say {id}")
    """)
    saved = save(world, file)
    assert saved.rows == 2500
    assert replan(world, file).counts == {Kind.SUBMIT: 2500}
    assert JobAddress("m.j") == saved.header.jobs[0].address
