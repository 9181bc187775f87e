"""Variants and samples: every row through each of them, and only what is new is paid."""

import pytest
from worlds import World

from batchspec.errors import RefusedError, SpecError, UsageError
from batchspec.plan.changes import Kind

PLAIN, TERSE = "m.j@plain", "m.j@terse"


def write(world: World, *keys: str, variants: str | None = None, **more: str) -> None:
    told = variants or "{'plain': {}, 'terse': {'instructions': 'Be brief.'}}"
    world.job(*keys, instructions="'You help.'", variants=told, **more)


def asked(world: World) -> int:
    return world.lines


def test_every_row_goes_through_every_variant(world: World) -> None:
    world.model = lambda body: body["messages"][0]["content"]
    write(world, "a", "b")
    world.apply()
    with world.open() as project:
        found = [(i.address, i.key, i.variant, i.sample, i.output) for i in project.results("m.j")]
        one = [i.address for i in project.results('m.j["b","terse"]')]
        row = [i.address for i in project.results('m.j["b"]')]
        terse = [i.key for i in project.results(TERSE)]
    assert found == [
        ('m.j["a","plain"]', "a", "plain", 1, "You help."),
        ('m.j["b","plain"]', "b", "plain", 1, "You help."),
        ('m.j["a","terse"]', "a", "terse", 1, "Be brief."),
        ('m.j["b","terse"]', "b", "terse", 1, "Be brief."),
    ]
    assert one == ['m.j["b","terse"]']
    assert row == ['m.j["b","plain"]', 'm.j["b","terse"]']
    assert terse == ["a", "b"]
    assert world.plan().can_apply is False


@pytest.mark.parametrize(
    ("before", "after", "sent"),
    [
        ("{'plain': {}}", "{'plain': {}, 'terse': {'instructions': 'x'}}", 2),
        ("{'plain': {}, 'terse': {'instructions': 'x'}}", "{'plain': {}}", 0),
        ("{'plain': {}}", "{'simple': {}}", 0),
        ("{'plain': {}, 'copy': {}}", "{'plain': {}, 'copy': {}, 'third': {}}", 0),
        ("{'a': {'settings': {'seed': 1}}}", "{'a': {'settings': {'seed': 2}}}", 2),
        ("None", "{'plain': {}, 'terse': {'instructions': 'x'}}", 2),
        ("{'plain': {}, 'terse': {'instructions': 'x'}}", "None", 0),
    ],
    ids=["added", "removed", "renamed", "an equal one", "changed", "first ones", "none any more"],
)
def test_only_rows_of_what_is_new_are_sent(
    world: World, before: str, after: str, sent: int
) -> None:
    write(world, "a", "b", variants=before)
    world.apply()
    so_far = world.lines
    write(world, "a", "b", variants=after)
    assert sum(job.requests for job in world.plan().jobs) == sent
    world.apply()
    assert world.lines - so_far == sent
    assert world.plan().can_apply is False


def test_equal_requests_of_two_variants_are_paid_once(world: World) -> None:
    write(world, "a", "b", variants="{'one': {}, 'two': {}}")
    assert sum(job.requests for job in world.plan().jobs) == 2
    world.apply()
    assert world.lines == 2
    assert world.outcomes("m.j@two") == {"a": "succeeded", "b": "succeeded"}


def test_more_samples_pay_for_the_further_ones_alone(world: World) -> None:
    world.job("a", "b")
    world.apply()
    assert world.lines == 2
    world.job("a", "b", samples="3")
    world.apply()
    assert world.lines == 6
    with world.open() as project:
        found = [(i.address, i.sample) for i in project.results("m.j")]
        assert [i.address for i in project.results('m.j["b",3]')] == ['m.j["b",3]']
    assert found == [
        ('m.j["a"]', 1),
        ('m.j["b"]', 1),
        ('m.j["a",2]', 2),
        ('m.j["b",2]', 2),
        ('m.j["a",3]', 3),
        ('m.j["b",3]', 3),
    ]
    world.job("a", "b", samples="2")
    assert world.plan().counts == {Kind.KEEP: 4, Kind.FORGET: 2}
    world.apply()
    world.job("a", "b", samples="3")
    assert world.plan().counts == {Kind.KEEP: 4, Kind.REUSE: 2}
    world.apply()
    assert world.lines == 6, "what was paid once is found again"


def test_samples_of_variants_are_asked_apart(world: World) -> None:
    write(world, "a", variants="{'one': {}, 'two': {'settings': {'seed': 7}}}", samples="2")
    world.apply()
    assert world.lines == 4
    assert list(world.items("m.j@two#2")) == ["a"]


@pytest.mark.parametrize(
    ("target", "planned"),
    [
        ("m.j", {PLAIN, TERSE}),
        (TERSE, {TERSE}),
        ('m.j["a"]', {PLAIN, TERSE}),
        ('m.j["a","plain"]', {PLAIN}),
        ("m.*", {PLAIN, TERSE}),
    ],
)
def test_a_target_is_the_job_or_a_variant_of_it(
    world: World, target: str, planned: set[str]
) -> None:
    write(world, "a", "b")
    plan = world.plan(targets=[target])
    assert {job.address for job in plan.jobs} == planned
    each = 1 if "[" in target else 2
    assert plan.counts == {Kind.SUBMIT: each * len(planned)}


def test_people_mark_stop_move_and_remove_a_job_or_a_variant(world: World) -> None:
    write(world, "a", "b", samples="2")
    world.apply()
    with world.open() as project:
        assert [m.items for m in project.taint('m.j["a","terse",2]')] == [1]
        assert sum(m.items for m in project.taint('m.j["a"]')) == 3, "one was marked before"
        assert sum(m.items for m in project.taint("m.j", undo=True)) == 4
        project.state.move("m.j", "m.k")
        assert len(project.state.jobs("m.k")) == 4
        project.state.move("m.k", "m.j")
        with pytest.raises(UsageError, match=r"is several jobs: m\.j@plain, m\.j@plain#2"):
            project.state.show("m.j")
        project.state.forget(["m.j@terse"])
        assert project.state.jobs("m.j") == [PLAIN, f"{PLAIN}#2"]


def test_a_protected_job_keeps_its_variants(world: World) -> None:
    write(world, "a", protect="True")
    world.apply()
    write(world, "a", variants="{'plain': {}}", protect="True")
    with pytest.raises(RefusedError, match=r"m\.j@terse is protected and gone"):
        world.plan()


def test_a_job_that_is_switched_off_is_left_alone_with_all_variants(world: World) -> None:
    write(world, "a")
    world.apply()
    write(world, "a", enabled="False")
    assert world.plan().can_apply is False
    write(world, "a", variants="{'plain': {}, 'terse': {'enabled': False}}")
    plan = world.plan()
    assert [job.address for job in plan.jobs] == [PLAIN]
    assert plan.can_apply is False


def test_max_cost_is_for_all_variants_together(world: World) -> None:
    cost = world_cost(world)
    write(world, "a", settings="{'max_tokens': 10}", max_cost=f"{cost * 1.5}")
    with pytest.raises(RefusedError, match=r"Job m\.j may cost"):
        world.apply()
    write(world, "a", settings="{'max_tokens': 10}", max_cost=f"{cost * 2.5}")
    world.apply()


def world_cost(world: World) -> float:
    world.job("a", instructions="'You help.'", settings="{'max_tokens': 10}")
    return float(world.plan().cost_at_most)


def test_problems_of_rows_are_told_once(world: World) -> None:
    write(world, "a", "a", samples="2")
    with pytest.raises(SpecError) as caught:
        world.plan()
    assert len(caught.value.diagnostics) == 1
    write(world, "a", prompt="'say {idd}'")
    with pytest.raises(SpecError) as caught:
        world.plan()
    assert len(caught.value.diagnostics) == 1


def test_a_variant_may_have_tools_types_and_models_of_its_own(world: World) -> None:
    variants = "{'text': {}, 'typed': {'output': list[int], 'model': 'openai:gpt-5-mini'}}"
    write(world, "a", variants=variants)
    world.model = lambda body: '{"response": [1]}' if "response_format" in body else "one"
    world.apply()
    with world.open() as project:
        assert [item.output for item in project.results("m.j")] == ["one", [1]]


DOWN = """
up = Job(model='openai:gpt-5-mini', rows=rows.inline([{'id': 'a'}, {'id': 'b,c'}]),
         prompt='say {id}', samples=2,
         variants={'plain': {}, 'terse': {'instructions': 'Be brief.'}})
down = Job(model='openai:gpt-5-mini', rows=rows.outputs_of(up),
           prompt='{key} {variant} {sample} {output}')
"""


def test_rows_made_of_answers_know_their_variant_and_sample(world: World) -> None:
    world.spec(DOWN)
    world.apply()
    found = world.items("m.down")
    assert list(found) == [
        *("a,plain", "b\\,c,plain", "a,plain,2", "b\\,c,plain,2"),
        *("a,terse", "b\\,c,terse", "a,terse,2", "b\\,c,terse,2"),
    ]
    row = found["a,terse,2"].row
    assert (row["variant"], row["sample"], row["row"]) == ("terse", 2, {"id": "a"})


def test_the_state_keeps_the_number_of_a_sample(world: World) -> None:
    """`state verify` hashes the requests again, as `world.apply` sees to."""
    world.job("a", samples="2")
    world.apply()
    with world.open() as project, project.reader() as reader:
        samples = reader.db.execute("SELECT sample FROM conversations ORDER BY id").fetchall()
    assert samples == [(0,), (1,)]
