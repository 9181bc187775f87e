"""What runs on this machine changes in place and free; ignored parts change nothing."""

from worlds import World

from batchspec.plan.changes import Kind

CHECKED = """
    from batchspec import Job, ModelRetry, rows

    def check(value: str) -> str:
        if {refuse!r} in value:
            raise ModelRetry("not this one")
        return value

    j = Job(
        model="openai:m", prompt="{{text}}", output_validators=[check], output_retries=0,
        rows=rows.inline([{{"id": "a", "text": "red"}}, {{"id": "b", "text": "green"}}]),
    )
"""


def test_a_changed_validator_judges_stored_replies_again_and_sends_nothing(world: World) -> None:
    world.spec(CHECKED.format(refuse="BLUE"))
    assert world.apply().done
    assert set(world.outcomes().values()) == {"succeeded"}
    sent = world.lines

    world.spec(CHECKED.format(refuse="RED"))
    plan = world.plan()
    assert dict(plan.counts)[Kind.UPDATE] == 2
    assert [reason.code for job in plan.jobs for reason in job.reasons] == ["POLICY_CHANGED"]
    assert plan.requests == 0
    world.apply()
    assert world.outcomes() == {"a": "failed", "b": "succeeded"}
    assert "not this one" in (world.items()["a"].reason or "")

    world.spec(CHECKED.format(refuse="BLUE"))
    world.apply()
    assert set(world.outcomes().values()) == {"succeeded"}
    assert not world.plan().can_apply
    assert world.lines == sent


def test_an_answer_that_was_replaced_does_not_come_back_when_its_successor_is_refused(
    world: World,
) -> None:
    world.spec(CHECKED.format(refuse="BLUE"))
    world.apply()
    world.spec(CHECKED.format(refuse="BLUE").replace('"red"', '"crimson"'))
    world.apply()
    assert world.texts()["a"] == "CRIMSON"
    world.spec(CHECKED.format(refuse="CRIMSON").replace('"red"', '"crimson"'))
    world.apply()
    item = world.items()["a"]
    assert (item.outcome, item.text, item.previous) == ("failed", "CRIMSON", False)


IGNORING = """
    from batchspec import Job, rows

    j = Job(
        model="openai:m", prompt="{prompt}", settings={{"temperature": {temperature}}},
        instructions="{instructions}", ignore_changes=["settings", "instructions"],
        rows=rows.inline([{{"id": "a", "text": "red"}}]),
    )
"""


def test_changes_in_ignored_parts_alone_resubmit_nothing(world: World) -> None:
    world.spec(IGNORING.format(prompt="{text}", temperature=0.5, instructions="Be kind."))
    assert world.apply().done
    world.spec(IGNORING.format(prompt="{text}", temperature=0.7, instructions="Be brief."))
    assert not world.plan().can_apply
    world.spec(IGNORING.format(prompt="Say {text}", temperature=0.7, instructions="Be brief."))
    assert dict(world.plan().counts)[Kind.RESUBMIT] == 1


LABELLED = """
    from batchspec import Job, rows

    j = Job(
        model="openai:m", prompt="{{text}}", grade=lambda row, output: row["label"] == output,
        rows=rows.inline([{{"id": "a", "text": "red", "label": {label!r}}}]),
    )
"""


def test_a_row_that_changed_outside_its_request_is_updated_in_place_and_free(
    world: World,
) -> None:
    world.spec(LABELLED.format(label="GREEN"))
    assert world.apply().done
    assert world.items()["a"].grade == 0
    sent = world.lines
    world.spec(LABELLED.format(label="RED"))
    plan = world.plan()
    assert {reason.code for job in plan.jobs for reason in job.reasons} == {"ROW_DATA_CHANGED"}
    assert plan.requests == 0
    world.apply()
    item = world.items()["a"]
    assert (item.row["label"], item.grade) == ("RED", 1)
    assert world.lines == sent
    assert not world.plan().can_apply
