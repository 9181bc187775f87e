"""Hooks in a run: what they are told, when again, and what a crash costs."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from batchspec.errors import ProviderError, SpecError
from batchspec.plan.consent import Consent
from tests.watch.test_engine import watch
from tests.worlds import Fault, World, failure


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


HOOKS = """
import json, os, pathlib
TOLD = pathlib.Path({folder!r})

def note(name, /, **said):
    with (TOLD / name).open("a") as file:
        file.write(json.dumps(said) + "\\n")

def item(ctx: RunContext, item):
    broken = TOLD / "broken"
    note("tries", key=item.key, attempt=ctx.attempt, id=ctx.call_id)
    if broken.exists() and item.key in broken.read_text().split():
        raise ValueError("away, with key sk-123456789")
    note("items", key=item.key, output=item.output, outcome=item.outcome, id=ctx.call_id)

async def final(job):
    note("finals", job=job.address, items=job.items, outcomes=dict(job.outcomes))

def error(error):
    note("errors", what=error.what, name=error.name, reason=error.reason)
"""
ALL = {"on_item_final": "item", "on_job_final": "final", "on_error": "error"}


class Hooked:
    """A job `m.j` with hooks that write down what they are told."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.folder = world.root / "told"
        self.folder.mkdir()

    def job(self, *keys: str, **more: str) -> None:
        data = [{"id": key} for key in keys]
        arguments = {"rows": f"rows.inline({data!r})", "prompt": "'say {id}'", **more}
        rest = ", ".join(f"{name}={value}" for name, value in arguments.items())
        head = HOOKS.format(folder=str(self.folder))
        self.world.spec(f"{head}\nj = Job(model='openai:gpt-5-mini', {rest})")

    def told(self, name: str) -> list[dict[str, Any]]:
        path = self.folder / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def keys(self) -> list[str]:
        return sorted(one["key"] for one in self.told("items"))

    def broken(self, *keys: str) -> None:
        (self.folder / "broken").write_text(" ".join(keys))


@pytest.fixture
def hooked(world: World) -> Hooked:
    return Hooked(world)


def test_each_item_and_the_job_are_told_once(hooked: Hooked) -> None:
    hooked.job("a", "b", **ALL)
    assert hooked.world.apply().done
    assert hooked.keys() == ["a", "b"]
    assert {one["output"] for one in hooked.told("items")} == {"SAY A", "SAY B"}
    assert hooked.told("finals") == [{"job": "m.j", "items": 2, "outcomes": {"succeeded": 2}}]
    hooked.world.apply()
    hooked.job("a", "b", "c", **ALL)
    hooked.world.apply()
    assert hooked.keys() == ["a", "b", "c"]
    assert [one["items"] for one in hooked.told("finals")] == [2, 3]


def records(world: World) -> dict[str, tuple[int, int]]:
    with world.open() as project:
        return {one.kind: (one.waiting, one.given_up) for one in project.status().hooks}


def test_answers_that_were_there_before_the_hook_are_not_told(hooked: Hooked) -> None:
    hooked.job("a", "b")
    hooked.world.apply()
    hooked.job("a", "b", "c", **ALL)
    hooked.world.apply()
    assert hooked.keys() == ["c"]
    # The same for a hook that was gone for a while; another function re-delivers nothing.
    hooked.job("a", "b", "c", "d")
    hooked.world.apply()
    hooked.job("a", "b", "c", "d", "e", **ALL)
    hooked.world.apply()
    hooked.job("a", "b", "c", "d", "e", on_item_final="lambda item: 1 / 0")
    hooked.world.apply()
    assert hooked.keys() == ["c", "e"]


def test_a_new_job_tells_of_answers_that_it_reuses(hooked: Hooked) -> None:
    hooked.world.job("a", name="before")
    hooked.world.apply()
    hooked.job("a", on_item_final="item")
    hooked.world.apply()
    assert hooked.world.lines == 1
    assert hooked.keys() == ["a"]


def test_what_is_answered_anew_is_told_anew(hooked: Hooked) -> None:
    hooked.job("a", on_item_final="item")
    hooked.world.apply()
    hooked.job("a", on_item_final="item", prompt="'shout {id}'")
    hooked.world.apply()
    told = hooked.told("items")
    assert [one["output"] for one in told] == ["SAY A", "SHOUT A"]
    assert len({one["id"] for one in told}) == 2


def test_items_that_fail_are_told_too(hooked: Hooked) -> None:
    head = HOOKS.format(folder=str(hooked.folder))
    hooked.world.spec(
        f"{head}\n@tool(retries=0)\ndef boom(): raise ValueError('x')\n"
        f"j = Job(model='openai:gpt-5-mini', rows=rows.inline([{{'id': 'a'}}]), prompt='{{id}}', "
        "tools=[boom], on_item_final=item, on_job_final=final)"
    )
    call = {"id": "c", "type": "function", "function": {"name": "boom", "arguments": "{}"}}

    def answer(_body: dict[str, Any]) -> Any:
        return {"tool_calls": [call]}

    hooked.world.model = answer
    hooked.world.apply()
    assert [one["outcome"] for one in hooked.told("items")] == ["failed"]
    assert hooked.told("finals")[0]["outcomes"] == {"failed": 1}


def test_a_failure_is_told_again_until_it_works_and_holds_up_nothing(hooked: Hooked) -> None:
    hooked.broken("b")
    hooked.job("a", "b", "c", **ALL)
    assert hooked.world.apply().done
    # A run waits for retries two minutes at most.
    assert hooked.keys() == ["a", "c"]
    assert records(hooked.world)["item"] == (1, 0)
    assert any("could not be told everything" in said for said in hooked.world.hook.warnings)
    hooked.broken()
    hooked.world.clock.advance(600)
    hooked.world.apply()
    assert hooked.keys() == ["a", "b", "c"]
    assert records(hooked.world)["item"] == (0, 0)
    tries = [one for one in hooked.told("tries") if one["key"] == "b"]
    assert [one["attempt"] for one in tries] == [*range(1, len(tries) + 1)]
    assert len({one["id"] for one in tries}) == 1


def test_after_the_last_try_it_is_passed_over_and_told(hooked: Hooked) -> None:
    hooked.broken("b")
    hooked.job("a", "b", **ALL)
    for _ in range(12):
        assert hooked.world.apply().exit_code == 0
        hooked.world.clock.advance(3600)
    assert len([one for one in hooked.told("tries") if one["key"] == "b"]) == 9
    assert records(hooked.world)["item"] == (0, 1)
    (warning,) = [said for said in hooked.world.hook.warnings if "passed over" in said]
    assert 'm.j["b"]' in warning
    assert "[redacted]" in warning
    assert "sk-123" not in warning
    assert hooked.told("finals")


SCRIPT = """\
#!/bin/sh
cat >> told/said
echo "$HOOK_NAME|$HOOK_ID|$HOOK_JOB|$HOOK_ADDRESS|$HOOK_KEY|$HOOK_OUTCOME|$HOOK_ATTEMPT" >> told/env
[ "$1" = well ]
"""


def test_commands_get_json_and_variables(hooked: Hooked) -> None:
    script = hooked.world.root / "tell.sh"
    script.write_text(SCRIPT)
    script.chmod(0o755)
    hooked.job(
        "a", on_item_final="['./tell.sh', 'well']", on_job_final="Command('./tell.sh', shell=True)"
    )
    hooked.world.apply()
    item, final, *_ = hooked.told("said")
    assert (item["hook"], item["job"], item["attempt"]) == ("on_item_final", "m.j", 1)
    assert item["id"].startswith('m.j["a"]@')
    assert item["item"]["output"] == "SAY A"
    assert item["item"]["row"] == {"id": "a"}
    assert {"usage", "cost_usd", "outcome", "reason", "address"} <= item["item"].keys()
    assert final["final"]["items"] == 1
    assert final["final"]["cost_usd"] > 0
    lines = (hooked.folder / "env").read_text().splitlines()
    assert lines[0] == f'on_item_final|{item["id"]}|m.j|m.j["a"]|a|succeeded|1'
    assert lines[1].startswith("on_job_final|m.j@")
    # The second one fails, and is told again as it was.
    assert records(hooked.world) == {"item": (0, 0), "job": (1, 0)}
    hooked.world.clock.advance(600)
    hooked.world.apply()
    again = hooked.told("said")[-1]
    assert (again["id"], again["final"]) == (final["id"], final["final"])
    assert again["attempt"] > 1


def test_a_function_that_hangs_is_left_behind(hooked: Hooked) -> None:
    hang = "lambda item: __import__('threading').Event().wait()"
    hooked.job("a", on_item_final=f"Hook({hang}, timeout=0.05)")
    assert hooked.world.apply().done
    assert records(hooked.world)["item"] == (1, 0)
    with hooked.world.open() as project:
        (record,) = project.status().hooks
    assert record.error == "it took longer than 0.05 s"


def test_a_function_has_its_own_number_of_tries(hooked: Hooked) -> None:
    hooked.broken("a")
    hooked.job("a", on_item_final="Hook(item, retries=0)")
    assert hooked.world.apply().exit_code == 0
    assert [one["attempt"] for one in hooked.told("tries")] == [1]
    assert records(hooked.world)["item"] == (0, 1)


@pytest.mark.parametrize("how", ["item", "later", "(lambda item: later(item))"])
@pytest.mark.parametrize("error", ["SystemExit(3)", "KeyboardInterrupt()", "GeneratorExit()"])
def test_whatever_it_raises_fails_that_delivery_only(hooked: Hooked, how: str, error: str) -> None:
    head = HOOKS.format(folder=str(hooked.folder))
    body = f"if item.key == 'b': raise {error}\n    note('items', key=item.key)"
    hooked.world.spec(
        f"{head}\ndef item(item):\n    {body}\nasync def later(item):\n    {body}\n"
        "j = Job(model='openai:gpt-5-mini', prompt='{id}', "
        "rows=rows.inline([{'id': key} for key in 'abc']), "
        f"on_item_final=Hook({how}, retries=0), on_job_final=final)"
    )
    assert hooked.world.apply().done
    assert hooked.keys() == ["a", "c"]
    assert records(hooked.world)["item"] == (0, 1)
    assert hooked.told("finals")


def test_what_a_run_ends_with_is_told_once(hooked: Hooked) -> None:
    fault = Fault("POST", "/batches", status=403, body=failure("no"), times=None)
    hooked.world.wire.faults.append(fault)
    hooked.job("a", **ALL)
    with pytest.raises(ProviderError):
        hooked.world.apply()
    (error,) = hooked.told("errors")
    assert error["what"] == "batch"
    assert "refused the key" in error["reason"]
    assert not hooked.told("items")
    fault.times = 0
    hooked.world.apply()
    assert hooked.keys() == ["a"]
    assert len(hooked.told("errors")) == 1


def test_variants_share_a_hook_and_say_which_they_are(hooked: Hooked) -> None:
    variants = "{'x': {'prompt': 'x {id}'}, 'y': {'prompt': 'y {id}'}}"
    hooked.job("a", variants=variants, **ALL)
    hooked.world.apply()
    assert sorted(one["output"] for one in hooked.told("items")) == ["X A", "Y A"]
    assert sorted(one["job"] for one in hooked.told("finals")) == ["m.j@x", "m.j@y"]


def test_many_items_come_in_chunks_and_none_is_left_out(hooked: Hooked) -> None:
    keys = [f"k{n}" for n in range(230)]
    hooked.job(*keys, **ALL)
    hooked.world.apply()
    assert sorted(one["key"] for one in hooked.told("items")) == sorted(keys)
    # Many rows that share one answer are told one by one all the same.
    hooked.job(*keys, *(f"s{n}" for n in range(120)), prompt="'same'", on_item_final="item")
    hooked.world.apply()
    assert len({one["key"] for one in hooked.told("items")}) == 350


def test_whoever_is_away_for_long_does_not_fill_the_state(hooked: Hooked) -> None:
    keys = [f"k{n}" for n in range(160)]
    hooked.broken(*keys)
    hooked.job(*keys, on_item_final="item")
    hooked.world.apply()
    assert records(hooked.world)["item"][0] == 100
    hooked.broken()
    hooked.world.clock.advance(600)
    hooked.world.apply()
    assert hooked.keys() == sorted(keys)


def test_deliveries_that_wait_go_to_another_function_and_end_with_the_hook(
    hooked: Hooked,
) -> None:
    hooked.broken("b")
    hooked.job("a", "b", on_item_final="item", on_job_final="final")
    hooked.world.apply()
    assert records(hooked.world)["item"] == (1, 0)
    with hooked.world.open() as project:
        project.state.gc()
    # Another function is told what waits, and nothing that was told.
    hooked.world.clock.advance(600)
    hooked.job("a", "b", on_item_final="lambda item: note('others', key=item.key)")
    hooked.world.apply()
    assert [one["key"] for one in hooked.told("others")] == ["b"]
    # What waits for a hook that is taken out is not told any more.
    hooked.job("a", "b", "c", on_item_final="lambda item: 1 / 0")
    hooked.world.apply()
    assert records(hooked.world)["item"] == (1, 0)
    hooked.job("a", "b", "c")
    hooked.world.apply()
    assert records(hooked.world) == {}
    hooked.job("a", "b", "c", on_item_final="item")
    hooked.world.clock.advance(600)
    hooked.world.apply()
    assert [one["key"] for one in hooked.told("items")] == ["a"]


def test_a_watcher_tells_hooks_and_tries_again_by_itself(hooked: Hooked) -> None:
    hooked.broken("b")
    fault = Fault("POST", "/batches", status=403, body=failure("no"), times=3)
    hooked.world.wire.faults.append(fault)
    hooked.job("a", "b", **ALL)
    watch(hooked.world, Consent(approve="all", max_cost=Decimal(1)))
    assert hooked.keys() == ["a"]
    assert records(hooked.world)["item"] == (0, 1)
    # Rested and refused three times for one reason, which is said once.
    assert len(hooked.told("errors")) == 1
    assert len(hooked.told("finals")) == 1


def test_a_renamed_job_goes_on_where_it_was(hooked: Hooked) -> None:
    hooked.broken("b")
    hooked.job("a", "b", on_item_final="item")
    hooked.world.apply()
    with hooked.world.open() as project:
        project.state.move("m.j", "m.k")
    hooked.broken()
    hooked.world.clock.advance(600)
    path = hooked.world.root / "specs" / "m.py"
    path.write_text(path.read_text().replace("\nj = ", "\nk = "))
    hooked.world.apply()
    assert hooked.keys() == ["a", "b"]


@pytest.mark.parametrize(
    ("hook", "told"),
    [
        ("3", "is a function, a command as a list of words"),
        ("lambda: 1", "must take one value"),
        ("lambda a, b: 1", "must take one value"),
        ("[]", "a command is one text or more"),
        ("['a', 3]", "a command is one text or more"),
        ("Command('a b')", "a text is for a shell"),
        ("Command(['a'], timeout=0)", "`timeout` is in seconds"),
        ("Command(['a'], retries=-1)", "`retries` is a whole number"),
        ("Hook(3)", "is a function"),
        ("Hook(lambda: 1)", "must take one value"),
        ("Hook(print, timeout=0)", "`timeout` is in seconds"),
        ("Hook(print, timeout=float('inf'))", "`timeout` is in seconds"),
        ("Hook(print, retries=True)", "`retries` is a whole number"),
        ("['is-not-there']", "There is no program 'is-not-there'"),
        ("['./is-not-there']", "There is no program './is-not-there'"),
    ],
)
def test_what_cannot_be_a_hook_is_told_with_its_line(hooked: Hooked, hook: str, told: str) -> None:
    hooked.job("a", on_error=hook)
    with hooked.world.open() as project, pytest.raises(SpecError) as caught:
        _ = project.desired
    (problem,) = caught.value.diagnostics
    assert told in problem.detail
    assert problem.source is not None
    assert problem.source.line


def test_hooks_are_no_part_of_what_is_agreed_to(hooked: Hooked) -> None:
    hooked.job("a")
    hooked.world.apply()
    with hooked.world.open() as project:
        before = project.desired["m.j"]
    hooked.job("a", **ALL)
    with hooked.world.open() as project:
        after = project.desired["m.j"]
        assert not project.plan(refresh=False).can_apply
    assert (before.contract, before.policy) == (after.contract, after.policy)
