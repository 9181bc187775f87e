"""`init`: a project that works, and nothing overwritten."""

import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batchspec.cli.init import NAMES, TEMPLATES, template_files
from batchspec.config import Settings, load_settings

Run = Callable[..., Any]


@pytest.mark.parametrize("template", NAMES)
def test_a_template_becomes_a_project(run: Run, tmp_path: Path, template: str) -> None:
    """Specs that compile, configuration that loads, and a state that is not committed."""
    ended = run("init", "--template", template)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.rstrip().endswith("# run it against the embedded server")
    (spec,) = (tmp_path / "specs").iterdir()
    compile(spec.read_text(), spec, "exec")
    assert load_settings(tmp_path) == Settings()
    assert "state/" in (tmp_path / ".gitignore").read_text().splitlines()
    assert not list(tmp_path.rglob("*.tmpl"))


@pytest.mark.parametrize("template", NAMES)
def test_the_tests_of_a_template_pass_offline(run: Run, tmp_path: Path, template: str) -> None:
    """The first thing a newcomer may run, with nothing but pytest."""
    run("init", "--template", template)
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "2 passed" in ended.stdout
    assert not (tmp_path / "state").exists()


def test_the_folder_is_made_and_named_in_the_hints(run: Run, tmp_path: Path) -> None:
    """The hints can be pasted."""
    ended = run("init", "--project", "new folder")
    assert (tmp_path / "new folder" / "batchspec.toml").exists()
    assert "batchspec plan --simulate --project 'new folder'" in ended.out


def test_files_that_exist_are_listed_and_kept(run: Run, tmp_path: Path) -> None:
    """Nothing at all is written then."""
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "hello.py").write_text("mine")
    (tmp_path / "batchspec.toml").write_text("")
    ended = run("init")
    assert ended.code == 1
    assert "these files exist: specs/hello.py, batchspec.toml." in ended.err
    assert (tmp_path / "specs" / "hello.py").read_text() == "mine"
    assert not (tmp_path / "data").exists()


def test_a_gitignore_that_exists_is_no_obstacle(run: Run, tmp_path: Path) -> None:
    """A fresh repository has one."""
    (tmp_path / ".gitignore").write_text("*.log\n")
    ended = run("init")
    assert ended.code == 0
    assert (tmp_path / ".gitignore").read_text() == "*.log\n"
    assert ".gitignore was there and is unchanged; it should hold: state/" in ended.err


def test_the_commented_configuration_is_right(tmp_path: Path) -> None:
    """Each line can be uncommented as it stands."""
    text = dict(template_files("hello"))[Path("batchspec.toml")]
    lines = [line.removeprefix("# ") for line in text.splitlines() if "=" in line or "[" in line]
    live = "\n".join(line for line in lines if line[:1].islower() or line.startswith("["))
    assert tomllib.loads(live)
    (tmp_path / "batchspec.toml").write_text(live)
    assert load_settings(tmp_path).max_cost is not None


def test_every_folder_of_templates_is_offered() -> None:
    """A template that cannot be chosen is dead."""
    assert {path.name for path in TEMPLATES.iterdir()} == {*NAMES, "common"}
