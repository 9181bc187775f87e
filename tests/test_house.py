"""Rules of the house that no linter has."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import batchspec

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "batchspec").rglob("*.py"))
MACHINE_PATHS = re.compile(r"(?<![\w.~-])/(?:work|root|tmp|home/\w+|Users/\w+)/")


def _tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name]


def _functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def test_files_stay_under_400_lines() -> None:
    lines = {p: p.read_text(encoding="utf-8").count("\n") for p in SOURCES}
    assert not {str(p.relative_to(ROOT)): n for p, n in lines.items() if n >= 400}


def test_functions_fit_on_a_screen() -> None:
    long = [
        f"{path.relative_to(ROOT)}: {name} has {lines} lines"
        for path in SOURCES
        for name, lines in _functions(path)
        if lines > 50
    ]
    assert not long


def test_the_front_door_is_small() -> None:
    assert len(batchspec.__all__) <= 25
    for name in batchspec.__all__:
        assert getattr(batchspec, name) is not None


@pytest.mark.parametrize(
    "code",
    [
        "import batchspec",
        "import batchspec.cli.main",
        "from batchspec.cli.main import main; main(['--help'])",
    ],
)
def test_starting_loads_no_sdk(code: str) -> None:
    check = f"{code}\nimport sys\nassert 'openai' not in sys.modules"
    subprocess.run([sys.executable, "-c", check], check=True, capture_output=True)


def test_nothing_names_a_machine_of_ours() -> None:
    """Tests may use such paths as data; what people read and run may not."""
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in _tracked()
        if path.is_file() and "tests" not in path.relative_to(ROOT).parts
        for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1)
        if MACHINE_PATHS.search(line)
    ]
    assert not found


def test_no_merge_was_left_half_done() -> None:
    marks = re.compile(r"^(?:<{7}|={7}|>{7})(?: |$)", re.MULTILINE)
    found = [
        str(path.relative_to(ROOT))
        for path in _tracked()
        if path.is_file() and marks.search(path.read_text("utf-8", "replace"))
    ]
    assert not found


def test_the_lock_holds_what_pyproject_asks_for() -> None:
    """Else `make lock` was forgotten."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = project["dependency-groups"]
    wanted = map(Requirement, project["project"]["dependencies"] + groups["dev"] + groups["build"])
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pinned = dict(re.findall(r"^([\w.-]+)==([\w.]+)", lock, re.MULTILINE))
    missing = [str(w) for w in wanted if pinned.get(w.name.lower(), "0") not in w.specifier]
    assert not missing
