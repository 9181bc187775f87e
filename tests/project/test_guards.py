"""What stops a plan before anything is sent, and what a person is told."""

from decimal import Decimal
from typing import Any

import anyio
import pytest
from worlds import Fault, World, failure

from batchspec.errors import (
    ConfigurationError,
    ExitCode,
    LockedError,
    ProviderError,
    RefusedError,
    SpecError,
    StalePlanError,
    UsageError,
)
from batchspec.plan.changes import Kind
from batchspec.plan.money import money
from batchspec.project import Project

UPLOAD = ("POST", "/files")


def test_a_plan_that_may_cost_more_than_allowed_is_refused_before_the_first_byte(
    world: World,
) -> None:
    world.job("a", "b", settings="{'max_tokens': 1000}")
    with pytest.raises(
        RefusedError, match=r"may cost \$0\.\d+ with every turn, more than the \$0\.001"
    ):
        world.apply(max_cost=Decimal("0.001"))
    assert RefusedError.exit_code == ExitCode.REFUSED == 7
    assert world.wire.calls == []
    assert world.plan().counts == {Kind.SUBMIT: 2}, "nothing was recorded either"
    assert world.apply(max_cost=Decimal(1)).exit_code == ExitCode.DONE


def test_a_budget_in_the_configuration_counts_too(world: World) -> None:
    world.settings = world.settings.model_copy(update={"max_cost": Decimal("0.000001")})
    world.job("a")
    with pytest.raises(RefusedError):
        world.apply()
    assert world.wire.calls == []


def test_a_job_has_a_budget_of_its_own(world: World) -> None:
    world.job("a", max_cost="0.0000001")
    with pytest.raises(RefusedError, match=r"Job m\.j may cost"):
        world.apply()
    assert world.wire.calls == []


@pytest.mark.parametrize("budget", ["plan", "job"])
def test_a_budget_for_a_model_without_a_price_is_refused(world: World, budget: str) -> None:
    """What may cost anything may cost too much."""
    more = "max_cost=5.0" if budget == "job" else ""
    world.spec(f"""
        j = Job(model="openai:my-own-finetune", rows=rows.inline([{{"id": "a"}}]), prompt="x",
                {more})
    """)
    with pytest.raises(RefusedError, match="price of openai:my-own-finetune is unknown"):
        world.apply(max_cost=Decimal(5) if budget == "plan" else None)
    assert world.wire.calls == []


def test_a_bound_holds(world: World) -> None:
    """What was paid in the end is not more than the plan said at most."""
    world.job("a", "b", "c", settings="{'max_tokens': 50}")
    world.model = lambda _: "word " * 40
    plan = world.plan()
    (progress,) = world.apply().jobs
    assert progress.cost is not None
    assert 0 < progress.cost <= plan.cost_at_most


def test_an_empty_source_forgets_nothing(world: World) -> None:
    """An empty data file is more often a mistake than a wish."""
    world.job("a", "b")
    world.apply()
    world.job()
    with pytest.raises(RefusedError, match="no rows now and 2 items on record"):
        world.apply()
    assert set(world.items()) == {"a", "b"}


@pytest.mark.parametrize("change", ["row removed", "prompt changed", "job replaced"])
def test_a_protected_job_is_not_sent_again_or_forgotten(world: World, change: str) -> None:
    world.job("a", "b", protect="True")
    world.apply()
    keys = ["a"] if change == "row removed" else ["a", "b"]
    prompt = "'tell {id}'" if change == "prompt changed" else "'say {id}'"
    world.job(*keys, protect="True", prompt=prompt)
    with pytest.raises(RefusedError, match=r"m\.j is protected"):
        world.apply(replace=["m.j"] if change == "job replaced" else ())
    assert (set(world.items()), world.created) == ({"a", "b"}, 1)


def test_a_protected_job_is_refused_with_the_row_and_the_difference(world: World) -> None:
    """And with the way out, where it is a mark of `taint`."""
    world.job("a", "b", protect="True")
    world.apply()
    with world.project() as project:
        project.taint('m.j["b"]')
    tainted = r"1 resubmit \(TAINTED, e\.g\. row 'b'\)\. .*`batchspec untaint m\.j`"
    with pytest.raises(RefusedError, match=tainted):
        world.plan()
    world.job("a", "b", protect="True", prompt="'tell {id}'")
    changed = r"2 resubmit \(PROMPT_CHANGED, e\.g\. row 'a'\), messages.* -> "
    with pytest.raises(RefusedError, match=changed):
        world.plan()


def test_a_budget_is_told_as_the_plan_tells_costs(world: World) -> None:
    """Rounded like that, so that both can be compared."""
    world.job("a")
    bound = world.plan().cost_of_all_turns
    with pytest.raises(RefusedError) as refused:
        world.apply(max_cost=bound / 2)
    assert f"may cost {money(bound, at_most=True)} with every turn" in str(refused.value)


def test_a_protected_job_may_grow(world: World) -> None:
    world.job("a", protect="True")
    world.apply()
    world.job("a", "b", protect="True")
    assert world.apply().exit_code == ExitCode.DONE


@pytest.mark.parametrize(
    "text",
    ["this is no python", "import no_such_module", "raise KeyError('x')", "j = Job(model='x')"],
    ids=["syntax", "import", "exception", "refused job"],
)
def test_a_spec_that_does_not_load_changes_nothing(world: World, text: str) -> None:
    """Its jobs are not taken for removed ones."""
    world.job("a", "b")
    world.apply()
    with world.project() as project:
        before = project.status().serial
    world.spec(text)
    with pytest.raises(SpecError, match=r"specs/m\.py"):
        world.apply()
    world.job("a", "b")
    with world.project() as project:
        assert project.status().serial == before
    assert not world.plan().can_apply


def test_a_row_that_cannot_be_rendered_stops_all_rows(world: World) -> None:
    world.spec("""
        j = Job(model="openai:gpt-5-mini", rows=rows.inline([{"id": "a"}, {"id": "b"}]),
                prompt="{idd}")
    """)
    with pytest.raises(SpecError, match="idd"):
        world.apply()
    assert world.wire.calls == []


def test_doubled_keys_stop_all_rows(world: World) -> None:
    world.job("a", "a")
    with pytest.raises(SpecError, match="'a'"):
        world.apply()


def test_a_missing_key_is_one_sentence_and_nothing_is_recorded(world: World) -> None:
    world.job("a")
    with Project(world.root, settings=world.settings, clock=world.clock) as project:
        plan = project.plan()
        with pytest.raises(ConfigurationError, match="OPENAI_API_KEY") as raised:
            project.apply(plan)
        assert "\n" not in str(raised.value)
        assert list((world.state / "tmp").iterdir()) == []
    assert world.apply().exit_code == ExitCode.DONE
    assert world.created == 1


def test_a_host_that_cannot_be_reached_is_one_sentence_and_nothing_is_lost(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing listens on the discard port of this machine."""
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    world.job("a")
    with Project(world.root, settings=world.settings, clock=world.clock) as project:
        with pytest.raises(ProviderError, match=r"cannot be reached.*127\.0\.0\.1:9") as raised:
            project.apply()
        assert "\n" not in str(raised.value)
    world.check()
    assert world.apply().exit_code == ExitCode.DONE
    assert world.created == 1


# --- plans that are not fresh


def test_a_plan_is_applied_once(world: World) -> None:
    world.job("a")
    with world.project() as project:
        plan = project.plan()
        project.apply(plan)
        with pytest.raises(StalePlanError):
            project.apply(plan)
    assert StalePlanError.exit_code == 6


def test_a_plan_is_stale_once_another_apply_ran(world: World) -> None:
    world.job("a")
    with world.project() as first:
        plan = first.plan()
        world.apply()
        world.job("a", "b")
        with pytest.raises(StalePlanError, match="another apply ran meanwhile"):
            first.apply(plan)
    assert world.created == 1
    assert world.apply().exit_code == ExitCode.DONE


def test_a_newer_plan_replaces_an_older_one(world: World) -> None:
    world.job("a")
    with world.project() as project:
        old = project.plan()
        new = project.plan()
        with pytest.raises(StalePlanError):
            project.apply(old)
        assert project.apply(new).exit_code == ExitCode.DONE


def test_a_plan_of_nothing_does_nothing(world: World) -> None:
    world.job("a")
    world.apply()
    calls = len(world.wire.calls)
    result = world.apply()
    assert (result.nothing, result.exit_code) == (True, ExitCode.DONE)
    assert len(world.wire.calls) == calls


# --- two at a time


def test_two_applies_at_once_the_second_is_told(world: World) -> None:
    world.job("a")
    seen: list[BaseException] = []

    async def second() -> None:
        with world.project() as other:
            try:
                await other.apply_async(await anyio.to_thread.run_sync(other.plan))
            except LockedError as error:
                seen.append(error)

    def model(body: dict[str, Any]) -> str:
        anyio.from_thread.run(second)
        return "done"

    world.model = model
    assert world.apply().exit_code == ExitCode.DONE
    assert "The state is locked by `apply` of process" in str(seen[0])
    assert LockedError.exit_code == 5
    assert world.created == 1


def test_a_plan_can_be_made_while_another_process_applies(world: World) -> None:
    world.job("a")
    plans: list[dict[Kind, int]] = []

    def model(body: dict[str, Any]) -> str:
        plans.append(dict(world.plan().counts))
        return "done"

    world.model = model
    world.apply()
    assert plans == [{Kind.CONTINUE: 1}]


def test_environments_do_not_share_a_state(world: World) -> None:
    world.job("a")
    world.apply()
    with world.project(environment="other") as project:
        assert project.plan().counts == {Kind.SUBMIT: 1}


# --- choosing


def test_only_what_is_chosen_is_sent(world: World) -> None:
    world.job("a", variable="one")
    world.job("b", variable="two", name="n")
    with world.project() as project:
        result = project.apply(project.plan(targets=["m.*"]))
        assert result.exit_code == ExitCode.DONE
    assert world.plan(excludes=["n.two"]).can_apply is False
    assert world.plan().counts[Kind.SUBMIT] == 1


def test_a_choice_of_nothing_is_told(world: World) -> None:
    world.job("a")
    with pytest.raises(UsageError, match=r"Jobs are: m\.j"):
        world.plan(targets=["m.typo"])


def test_choosing_jobs_forgets_no_other(world: World) -> None:
    world.job("a", variable="one")
    world.job("b", variable="two", name="n")
    world.apply()
    world.remove("n")
    assert world.plan(targets=["m.one"]).counts.get(Kind.FORGET) is None
    assert world.plan().counts[Kind.FORGET] == 1


def test_status_says_what_is_waited_for(world: World) -> None:
    world.job("a", "b")
    world.apply(detach=True)
    with world.project() as project:
        status = project.status()
        assert not status.done
        (sentence,) = status.waiting
        assert "of m.j is validating" in sentence
    world.wire.faults.append(Fault("GET", "/batches/.*", status=401, body=failure("No key.")))
    with pytest.raises(ProviderError):
        world.apply()
    with world.project() as project:
        assert "No key." in project.status().waiting[0]
    world.apply()
    with world.project() as project:
        assert (project.status().done, project.status().waiting) == (True, ())
