"""Rows of the table of failures that are about result files: rows are judged, one by one."""

from typing import Any

import pytest
from worlds import World

from batchspec.errors import ExitCode, SpecError
from batchspec.simulator import HTTPFailure
from batchspec.state.events import BatchCollected


def collected(world: World) -> list[BatchCollected]:
    return [event for event in world.hook.events if isinstance(event, BatchCollected)]


def test_failure_08_an_error_in_the_response_beside_a_null_error_is_no_answer(
    world: World,
) -> None:
    """Some providers write it into the output file."""
    world.faults.add("error_in_output", status=400, custom_id="*-1", times=1)
    world.job("a", "b")
    assert world.apply().exit_code == ExitCode.FAILED_ITEMS
    assert sorted(str(o) for o in world.outcomes().values()) == ["failed", "succeeded"]
    assert world.created == 1, "it is final: the same request would get the same"


def test_failure_09_a_line_with_status_zero_goes_again_whatever_the_counts_say(
    world: World,
) -> None:
    world.faults.add("status_zero", times=1)
    world.job("a", "b")
    assert world.apply().exit_code == ExitCode.DONE
    assert world.texts() == {"a": "SAY A", "b": "SAY B"}
    assert [batch["request_counts"]["total"] for batch in world.remote()] == [1, 2]


def test_failure_10_a_line_in_neither_file_goes_again(world: World) -> None:
    world.faults.add("lost_line", times=1)
    world.job("a", "b", "c")
    assert world.apply().exit_code == ExitCode.DONE
    assert world.texts() == {"a": "SAY A", "b": "SAY B", "c": "SAY C"}
    assert [batch["request_counts"]["total"] for batch in world.remote()] == [1, 3]


def test_failure_10_a_line_that_is_always_lost_ends_with_a_reason(world: World) -> None:
    world.faults.add("lost_line")
    world.job("a")
    assert world.apply().failed == 1
    assert world.created == 1 + world.settings.retries
    assert "line_missing" in (world.items()["a"].reason or "")


def test_failure_11_the_first_of_two_lines_counts_and_foreign_ones_are_counted(
    world: World,
) -> None:
    world.faults.add("doubled_line", times=1)
    world.faults.add("wrong_custom_id", nth=2, times=1)
    world.job("a", "b")
    assert world.apply().exit_code == ExitCode.DONE
    assert world.texts() == {"a": "SAY A", "b": "SAY B"}
    assert [event.unmatched for event in collected(world)] == [2, 0]


def test_failure_30_a_prompt_that_changes_by_itself_is_refused_in_the_plan(world: World) -> None:
    world.spec("""
        import itertools

        numbers = itertools.count()

        def prompt(row: dict) -> str:
            return f"say {row['id']} {next(numbers)}"

        j = Job(model="openai:gpt-5-mini", rows=rows.inline([{"id": "a"}]), prompt=prompt)
    """)
    with pytest.raises(SpecError, match="prompt is not deterministic"):
        world.plan()
    assert world.created == 0


def test_failure_31_answers_in_another_order_find_their_rows(world: World) -> None:
    world.faults.add("odd_files", shuffled=True)
    keys = [f"k{n}" for n in range(20)]
    world.job(*keys)
    world.apply()
    assert world.texts() == {key: f"SAY {key.upper()}" for key in keys}


def test_failure_34_a_batch_that_is_completed_says_nothing_about_its_rows(world: World) -> None:
    def refuse(body: dict[str, Any]) -> str:
        raise HTTPFailure(400, "Not this.", code="invalid_prompt")

    world.model = refuse
    world.job("a", "b")
    result = world.apply()
    assert [batch["status"] for batch in world.remote()] == ["completed"]
    assert (result.exit_code, result.failed) == (ExitCode.FAILED_ITEMS, 2)
    assert {item.reason for item in world.items().values()} == {"invalid_prompt: Not this."}


@pytest.mark.parametrize("form", ["cut", "invalid_utf8"])
def test_failure_35_one_malformed_line_costs_its_own_row_a_try(world: World, form: str) -> None:
    world.faults.add("broken_line", form=form, nth=1, times=1)
    world.job("a", "b", "c")
    assert world.apply().exit_code == ExitCode.DONE
    assert world.texts() == {"a": "SAY A", "b": "SAY B", "c": "SAY C"}
    assert [batch["request_counts"]["total"] for batch in world.remote()] == [1, 3]
