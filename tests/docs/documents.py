"""Runs the blocks of a Markdown document in a scratch project, and writes its generated parts.

A block with a path after its language is a file of the project. `console` blocks are commands
after `$` with what they print, of batchspec and of pytest; `python` blocks are run; others, as
`sh`, are for reading.
`<!-- project -->` starts an empty project, `<!-- project: NAME -->` one from a template of
`batchspec init`. A line `…` stands for any lines.
"""

import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from batchspec.cli.main import main

ROOT = Path(__file__).parents[2]
DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
_PARTS = re.compile(
    r"^```(?P<language>\w+)(?: +(?P<path>\S+))?\n(?P<text>.*?)^```$"
    r"|^<!-- project(?:: (?P<template>\w+))? -->$",
    re.MULTILINE | re.DOTALL,
)
_COMMAND = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
_GENERATED = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_VARYING = (
    (re.compile(r"lineage …[0-9a-f]{8}"), "lineage …0198f1c2"),
    (re.compile(r"serial [1-9]\d*"), "serial 8"),
    (re.compile(r"batch_[0-9a-f]{32}"), "batch_5f1e…"),
    (
        re.compile(r"\d+\.\d{3} s, \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"),
        "0.001 s, 2026-11-28T09:30:00.000Z",
    ),
    (re.compile(r"(passed|failed) in \d+\.\d+s"), r"\1 in 0.42s"),
)


@dataclass(frozen=True, slots=True)
class Told:
    """A command of a document: what the document says it prints, and what it really prints."""

    line: int
    command: str
    expected: str
    printed: str

    @property
    def agrees(self) -> bool:
        """Tell whether the document is right."""
        lines = [
            "(?:.*\n)*?" if line == "…" else re.escape(f"{line}\n")
            for line in self.expected.splitlines()
        ]
        return re.fullmatch("".join(lines), self.printed) is not None

    @property
    def mended(self) -> str:
        """Return what the document should say; what was left out stays left out."""
        head, left_out, tail = self.expected.partition("…\n")
        if self.agrees or not left_out:
            return self.expected if self.agrees else self.printed
        lines = self.printed.splitlines(keepends=True)
        first, last = head.count("\n"), len(lines) - tail.count("\n")
        return "".join([*lines[:first], left_out, *lines[last:]])


def run(document: Path, folder: Path) -> Iterator[tuple[re.Match[str], list[Told]]]:
    """Run a document's blocks in order; yields each, and the commands of `console` blocks.

    Args:
        document: The Markdown file.
        folder: An empty folder for its projects.
    """
    text = document.read_text(encoding="utf-8")
    names: dict[str, object] = {"__name__": "document"}
    project = folder / "0"
    project.mkdir()
    for part in _PARTS.finditer(text):
        line = text.count("\n", 0, part.start()) + 1
        told: list[Told] = []
        with chdir(project):
            if part["language"] is None:
                project = _project(folder / str(line), part["template"])
            elif part["path"]:
                path = project / part["path"]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(part["text"], encoding="utf-8")
            elif part["language"] == "console":
                told = list(_session(part["text"], line))
            elif part["language"] == "python":
                code = compile("\n" * line + part["text"], str(document), "exec")
                exec(code, names)
        yield part, told


def _project(folder: Path, template: str | None) -> Path:
    folder.mkdir()
    if template:
        with chdir(folder), captured():
            assert main(["init", "--template", template]) == 0
    return folder


def _session(text: str, line: int) -> Iterator[Told]:
    """Run the commands of a console block; only stdout counts."""
    code = 0
    for command, expected in _COMMAND.findall(text):
        if command == "echo $?":
            printed = f"{int(code)}\n"
        else:
            code, printed = _run(*shlex.split(command, comments=True))
        for pattern, constant in _VARYING:
            printed = pattern.sub(constant, printed)
        yield Told(line, command, expected, printed)


def _run(program: str, *arguments: str) -> tuple[int, str]:
    """Run a command, batchspec in this process and pytest in its own."""
    if program == "pytest":
        ended = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
            env=os.environ | {"COLUMNS": "80", "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        return ended.returncode, ended.stdout
    assert program == "batchspec", f"only batchspec and pytest run in a document: {program}"
    with captured() as out:
        code = main(arguments)
    return code, out()


@contextmanager
def captured() -> Iterator[Callable[[], str]]:
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    with redirect_stdout(out), redirect_stderr(io.StringIO()):
        yield lambda: out.buffer.getvalue().decode()  # type: ignore[attr-defined]


def generated(text: str, parts: Mapping[str, Callable[[], str]]) -> str:
    """Return a document with its generated parts as they should be."""
    return _GENERATED.sub(lambda m: f"{m[1]}{parts[m[2]]().rstrip()}\n{m[3]}", text)
