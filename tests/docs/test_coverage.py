"""What the code has, the documents name; and the other way round."""

import inspect
import json
import re
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import fields
from pathlib import Path
from typing import get_args

import click
import pytest
from documents import ROOT, captured, main

from batchspec import EmbeddingJob, Job, RunContext, rows, testing
from batchspec.cli.main import COMMANDS, batchspec
from batchspec.errors import ExitCode
from batchspec.messages import Outcome
from batchspec.spec.settings import Settings
from batchspec.state.kinds import Kind
from batchspec.testing import Run, ToolRun
from batchspec.testing.fixtures import RunJob
from batchspec.testing.server import Server


def _text(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def _table(text: str, title: str) -> dict[str, list[str]]:
    """Return the rows of the first table after a title, by their first cell."""
    lines = text.partition(f"\n## {title}\n")[2].splitlines()
    cells = [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in lines[: next(n for n, line in enumerate(lines) if line.startswith("## "))]
        if line.startswith("|")
    ]
    return {row[0].strip("` "): row[1:] for row in cells[2:]}


def test_every_exit_code_is_told() -> None:
    told = {
        int(c): row[0].strip("`") for c, row in _table(_text("commands.md"), "Exit codes").items()
    }
    assert told == {code.value: code.name for code in ExitCode}


def test_every_field_of_a_job_is_told() -> None:
    told = _table(_text("specs.md"), "Fields of `Job`")
    has = [field for field in fields(Job) if field.init]
    assert list(told) != []
    assert set(told) == {field.name for field in has}


def test_every_field_of_an_embedding_job_is_told() -> None:
    told = _table(_text("embeddings.md"), "Fields of `EmbeddingJob`")
    assert set(told) == {field.name for field in fields(EmbeddingJob) if field.init}


def test_every_source_of_rows_is_told() -> None:
    told = set(re.findall(r"^\| `rows\.(\w+)\(", _text("specs.md"), re.MULTILINE))
    functions = {
        name
        for name, value in vars(rows).items()
        if callable(value)
        and value.__module__ == rows.__name__
        and name[0].islower()
        and name[0] != "_"
    }
    assert told == functions - {"known_fields"}


@pytest.mark.parametrize(
    "names",
    [Settings.__optional_keys__, get_args(Outcome), [f.name for f in fields(RunContext)]],
    ids=["settings", "outcomes", "RunContext"],
)
def test_every_word_of_the_language_is_told(names: list[str]) -> None:
    assert not {name for name in names if f"`{name}`" not in _text("specs.md")}


def test_every_symbol_is_told() -> None:
    told = {
        symbol: row[0].strip("`")
        for symbol, row in _table(_text("commands.md"), "Symbols of a plan").items()
    }
    assert told == {kind.value: kind.name.lower() for kind in Kind if kind is not Kind.KEEP}


def _options(command: click.Command) -> Iterator[str]:
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            yield from (name for name in parameter.opts if name not in {"-h", "--help"})
    if isinstance(command, click.Group) and command is not batchspec:
        for name in command.list_commands(click.Context(command)):
            found = command.get_command(click.Context(command), name)
            assert found is not None
            yield from _options(found)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_told(name: str) -> None:
    command = batchspec.get_command(click.Context(batchspec), name)
    assert command is not None
    text = _text("commands.md")
    assert f"| `{name}" in text
    assert not {option for option in _options(command) if not re.search(rf"`{option}[` ]", text)}


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, object]]:
    """Return what `--json` prints for a small project."""
    found: dict[str, dict[str, object]] = {}
    with chdir(tmp_path_factory.mktemp("json")):
        for line in (
            "init",
            "plan --simulate --json",
            "apply --simulate --auto-approve",
            "status --simulate --json",
            "results hello.greet --simulate --json",
        ):
            with captured() as out:
                assert main(line.split()) == 0
            if "--json" in line:
                found[line.split()[0]] = json.loads(out())
    return found


@pytest.mark.parametrize(
    ("command", "inner"), [("plan", "jobs"), ("status", "jobs"), ("results", "items")]
)
def test_every_field_of_a_document_is_told(
    documents: dict[str, dict[str, object]], command: str, inner: str
) -> None:
    lines = _text("commands.md").splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith(f"| `{command} --json`"))
    outer, own = (
        set(re.findall(r"`(\w+)`", line.split(" | ", 1)[1])) for line in lines[at : at + 2]
    )
    document = documents[command]
    parts = document[inner]
    assert isinstance(parts, list)
    assert outer == set(document) - {"format_version"}
    assert own == set(parts[0])


def test_every_table_of_the_state_is_told() -> None:
    sql = "".join(p.read_text() for p in sorted((ROOT / "batchspec/store/sql").glob("*.sql")))
    tables = set(re.findall(r"CREATE TABLE (\w+)", sql))
    assert set(_table(_text("architecture.md"), "The state")) == tables


def test_every_failure_seen_in_the_wild_has_a_test_of_its_number() -> None:
    """And no test carries a number the page does not have."""
    page = _text("reliability.md").partition("## Failures seen in the wild")[2].partition("## ")[0]
    numbers = {int(n) for n in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)}
    sources = (path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    proven = {int(n) for text in sources for n in re.findall(r"def test_failure_(\d\d)_", text)}
    assert numbers == set(range(1, 40))
    assert proven == numbers


def test_every_folder_of_the_readme_exists() -> None:
    """A path in a table that says where to look must be one."""
    looked = _text("architecture.md").partition("| to change | look in |")[2].partition("\n\n")[0]
    paths = [p for p in re.findall(r"`([\w/]+(?:\.py|/))`", looked) if "/" in p]
    assert paths
    assert not [p for p in paths if not Path(ROOT / "batchspec" / p).exists()]


def test_every_word_of_the_test_kit_is_told() -> None:
    """Names that only appear in signatures are left out."""
    public = [
        *testing.__all__,
        *inspect.signature(RunJob.__call__).parameters,
        *(n for c in (Run, Server) for n in dir(c) if isinstance(getattr(c, n), property)),
        *(field.name for field in fields(Run)),
        *(field.name for field in fields(ToolRun)),
        *("batch_project", "run_job", "batchspec_network", "batchspec_project"),
    ]
    silent = {"RunItem", "ScriptError", "SimulatedProject", "ToolRun", "Turn", "VirtualClock"}
    silent |= {"Run", "self", "job", "others", "options", "whole", "items"}
    text = _text("testing.md")
    assert not {name for name in public if not re.search(rf"\b{name}\b", text)} - silent
