"""Code of a spec that fails on an answer costs what is made of it, and nothing else."""

import json

import pytest
from worlds import World

from batchspec.cli.main import main
from batchspec.errors import ExitCode, SpecError

from .chains import Asked, chain

BAD = """
from pydantic import BaseModel

def raises(item):
    if item["key"] == "b":
        raise ValueError("no such thing")
    return item["output"]

class Short(BaseModel):
    key: str
    output: str = Field(pattern="^SAY [^B]$")
"""
MENDED = BAD.replace('raise ValueError("no such thing")', "return 'better'").replace("[^B]", ".")
BROKEN = {
    "where": (
        "rows.outputs_of(up, where=raises, eager={eager}), prompt='sum {{output}}'",
        "`where` failed",
    ),
    "prompt": ("rows.outputs_of(up, eager={eager}), prompt=raises", "prompt function failed"),
    "row_type": (
        "rows.outputs_of(up, eager={eager}), row_type=Short, prompt='sum {{output}}'",
        "row does not fit its row_type",
    ),
}


def write(world: World, down: str, bad: str = BAD) -> None:
    chain(
        world,
        *"abc",
        more="from pydantic import Field\n" + bad,
        down=f"rows={down}",
        whole="rows=rows.collect(down), prompt='all {outputs}'",
        other="rows=rows.inline([{'id': 'x'}]), prompt='other {id}'",
        more_of_it="rows=rows.outputs_of(other), prompt='more {output}'",
    )


@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize("kind", BROKEN)
def test_the_rest_of_the_run_goes_on(world: World, kind: str, *, eager: bool) -> None:
    world.model = asked = Asked()
    text, summary = BROKEN[kind]
    write(world, text.format(eager=eager))
    result = world.apply()
    assert (result.exit_code, result.done) == (ExitCode.ERROR, True)
    assert [(one.summary, one.address) for one in result.problems] == [(summary, "m.down")]
    assert "'b'" in result.problems[0].detail
    assert result.left == ("m.down", "m.whole")
    assert asked.taken() == ["more OTHER X", "other x", "say a", "say b", "say c"]
    with pytest.raises(SpecError, match=summary):
        world.plan()
    assert not world.plan(excludes=["m.down"]).can_apply, "all else is done"
    write(world, text.format(eager=eager), MENDED)
    assert world.apply().exit_code == ExitCode.DONE
    assert len(asked.taken()) == 4, "three rows, and the one of all of them"


def test_what_was_there_stays_as_it_is(world: World) -> None:
    """A row that cannot be made is not gone, and what is made of part of the answers costs."""
    world.model = asked = Asked()
    write(world, BROKEN["where"][0].format(eager=False), MENDED)
    assert world.apply().exit_code == ExitCode.DONE
    asked.taken()
    with world.open() as project:
        project.taint('m.up["a"]')
    asked.answers["say a"] = "SAY ANEW"
    write(world, BROKEN["where"][0].format(eager=False))
    assert world.apply().exit_code == ExitCode.ERROR
    assert asked.taken() == ["say a"]
    assert len(world.texts("m.down")) == 3
    assert len(world.texts("m.whole")) == 1


def test_the_command_says_what_was_left_alone(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(world.root)
    (world.root / "batchspec.toml").write_text("")
    write(world, BROKEN["where"][0].format(eager=False))
    assert main(["apply", "--simulate", "--auto-approve"]) == ExitCode.ERROR
    shown = capsys.readouterr()
    assert "nothing was sent" not in shown.err + shown.out
    assert "1 error; m.down and m.whole were left alone" in shown.err
    assert "Finished; 2 jobs were left alone." in shown.out


def test_the_last_event_says_it_too(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(world.root)
    (world.root / "batchspec.toml").write_text("")
    write(world, BROKEN["where"][0].format(eager=False))
    assert main(["apply", "--simulate", "--auto-approve", "--json"]) == ExitCode.ERROR
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (last["left"], last["exit_code"]) == (["m.down", "m.whole"], 1)
    assert last["problems"][0]["summary"] == "`where` failed"
