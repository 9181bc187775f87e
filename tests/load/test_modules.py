"""Loading spec modules: every job, every problem, no traces."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

from batchspec.load.imports import Imports
from batchspec.load.modules import load_modules

from .conftest import HEADER, Project

JOB = 'Job(model="openai:m", rows=rows.inline([{"id": 1}]), prompt="{id}")'


def told(root: Path) -> list[str]:
    return [str(d) for d in load_modules(root).diagnostics]


def test_every_module_level_job_is_found(project: Project) -> None:
    root = project(
        {
            "specs/a.py": f"one = {JOB}\ntwo = {JOB}\n_hidden = {JOB}\nother = 3",
            "specs/b.py": f"one = {JOB}",
            "specs/_common.py": f"three = {JOB}",
            "specs/notes.txt": "",
        }
    )
    loaded = load_modules(root)
    assert loaded.diagnostics == ()
    assert sorted(loaded.jobs) == ["a._hidden", "a.one", "a.two", "b.one"]
    assert loaded.jobs["a.two"].source.line == 9  # type: ignore[index]


def test_a_job_belongs_to_the_module_whose_import_made_it(project: Project) -> None:
    root = project(
        {
            "specs/a.py": f"one = {JOB}",
            "specs/b.py": "from a import one\nfrom specs.a import one as two\nassert one is two",
            "specs/c.py": "from _factory import make\nmade = make()",
            "specs/_factory.py": f"def make():\n    return {JOB}",
            "specs/d.py": "from c import made",
        }
    )
    loaded = load_modules(root)
    assert loaded.diagnostics == ()
    assert sorted(loaded.jobs) == ["a.one", "c.made"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = (", "specs/bad.py:8: syntax error. '(' was never closed in `x = (`."),
        ("x = 1\nimport nowhere", "specs/bad.py:9: import failed. No module named 'nowhere'."),
        ("from _common import y", "specs/bad.py:8: import failed. cannot import name 'y'"),
        (
            "1 / 0",
            "specs/bad.py:8: loading the module failed. ZeroDivisionError: division by zero.",
        ),
        ("raise SystemExit(3)", "specs/bad.py:8: loading the module ended the program. exit(3)"),
        ("from _common import fail\nfail()", "specs/_common.py:9: loading the module failed."),
        (
            "import json\njson.loads('x')",
            "specs/bad.py:9: loading the module failed. JSONDecodeError",
        ),
        ("j = Job(model='x')", "specs/bad.py:8: Job is not valid. Job needs `prompt`."),
        ("j = Job(promt='x')", "specs/bad.py:8: Job is not valid. Job has no argument 'promt'."),
        ("rows.csv(3)", "specs/bad.py:8: `rows.csv` takes a path. Got 3."),
        ("@tool(timeout=-1)\ndef f(): pass", "specs/bad.py:8: `timeout` of tool 'f' is not a time"),
        (
            f"x = {JOB}\nx = {JOB}",
            "specs/bad.py:9: bad.x: job is declared twice. 'x' is already declared in line 8",
        ),
        (
            f"x = {JOB}\ny = x",
            "specs/bad.py:8: bad.x: job has two names. It is known as bad.x and bad.y",
        ),
    ],
)
def test_a_bad_module_is_told_and_the_others_load(
    project: Project, text: str, expected: str
) -> None:
    root = project(
        {
            "specs/bad.py": text,
            "specs/good.py": f"one = {JOB}",
            "specs/_common.py": "def fail():\n    raise ValueError('no')",
        }
    )
    loaded = load_modules(root)
    assert str(loaded.diagnostics[0]).startswith(expected)
    assert "good.one" in loaded.jobs


def test_all_problems_of_all_modules_are_told(project: Project) -> None:
    root = project(
        {
            "specs/a.py": "x = Job(model='x')\ny = Job(prompt='{')\n1 / 0",
            "specs/b.py": "x = (",
            "specs/c.py": "from b import x",
        }
    )
    assert [line.partition(". ")[0] for line in told(root)] == [
        "specs/a.py:8: Job is not valid",
        "specs/a.py:8: Job is not valid",
        "specs/a.py:9: Job is not valid",
        "specs/a.py:9: Job is not valid",
        "specs/a.py:10: loading the module failed",
        "specs/b.py:8: syntax error",
    ]


def test_a_file_name_must_be_a_module_name(project: Project) -> None:
    (line,) = told(project({"specs/my-jobs.py": ""}))
    assert line.startswith("specs/my-jobs.py: spec's file name is not a module name.")


def test_no_folder_and_no_text_are_told(tmp_path: Path) -> None:
    (line,) = told(tmp_path)
    assert line.startswith("specs: there are no specs. A project keeps its specs in specs/*.py.")
    (tmp_path / "specs").mkdir()
    assert told(tmp_path) == []
    (tmp_path / "specs" / "bad.py").write_bytes(b"x = '\xff'")
    (line,) = told(tmp_path)
    assert line.startswith("specs/bad.py")
    assert "syntax error" in line


def test_jobs_in_a_collection_are_a_warning(project: Project) -> None:
    root = project({"specs/a.py": f"x = {JOB}\nall = [x, {JOB}]\nby = {{'k': {JOB}}}\nok = [x]"})
    loaded = load_modules(root)
    assert list(loaded.jobs) == ["a.x"]
    assert [d.severity for d in loaded.diagnostics] == ["warning", "warning"]
    assert str(loaded.diagnostics[0]) == (
        "specs/a.py:9: jobs in a collection are not resources. a.all holds 1 of them. Give each a"
        " variable of its own, or set them with `globals()[name] = Job(…)`."
    )


def test_a_loop_may_make_jobs(project: Project) -> None:
    text = f"for n in 'ab':\n    globals()[n] = {JOB}"
    assert sorted(load_modules(project({"specs/s.py": text})).jobs) == ["s.a", "s.b"]


def test_modules_are_fresh_each_time(project: Project) -> None:
    root = project({"specs/a.py": "from helper import N\n" + JOB.replace('"{id}"', "str(N)")})
    project(
        {"specs/a.py": f"from helper import N\nx = {JOB.replace('1}', 'N}')}", "helper.py": "N = 1"}
    )
    assert load_modules(root).jobs["a.x"].rows.data[0]["id"] == 1  # type: ignore[index, union-attr]
    project({"helper.py": "N = 2"})
    assert load_modules(root).jobs["a.x"].rows.data[0]["id"] == 2  # type: ignore[index, union-attr]
    assert not list(root.rglob("*.pyc"))


def test_nothing_is_left_behind(project: Project) -> None:
    modules, path, finders = set(sys.modules), list(sys.path), list(sys.meta_path)
    load_modules(project({"specs/a.py": f"import b\nx = {JOB}", "specs/b.py": "print('loaded')"}))
    assert not {name for name in set(sys.modules) - modules if name.split(".")[0] in "a b specs"}
    assert (sys.path, sys.meta_path) == (path, finders)


def test_a_spec_may_be_called_like_a_module_of_the_standard_library(project: Project) -> None:
    root = project({"specs/email.py": f"import email.message\nx = {JOB}", "specs/queue.py": ""})
    loaded = load_modules(root)
    assert loaded.diagnostics == ()
    assert list(loaded.jobs) == ["email.x"]


def test_late_imports_work_while_the_modules_are_importable(project: Project) -> None:
    late = "def prompt(row):\n    from helper import N\n    return str(N)\n"
    root = project({"specs/a.py": f"{late}x = {JOB.replace(chr(34) + '{id}' + chr(34), 'prompt')}"})
    project({"helper.py": "N = 5"})
    loaded = load_modules(root)
    prompt = loaded.jobs["a.x"].prompt  # type: ignore[index]
    assert callable(prompt)
    with loaded.imports(), loaded.imports():
        assert prompt({}) == "5"
    with pytest.raises(ModuleNotFoundError):
        prompt({})


def test_the_users_program_keeps_its_own_modules(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = project({"helper.py": "N = []", "specs/a.py": f"import helper\nx = {JOB}"})
    monkeypatch.syspath_prepend(str(root))
    import helper  # type: ignore[import-not-found]  # noqa: PLC0415

    load_modules(root)
    assert sys.modules.pop("helper") is helper


def test_the_header_is_as_long_as_the_tests_believe() -> None:
    assert HEADER.count("\n") == 7


def test_a_module_is_known_by_itself_not_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was looked at once is not looked at again; another one of the same name is."""
    imports = Imports(tmp_path, "specs")
    monkeypatch.setitem(sys.modules, "mine", ModuleType("mine"))
    with imports():
        assert "mine" in sys.modules
    of_the_project = ModuleType("mine")
    of_the_project.__file__ = str(tmp_path / "mine.py")
    monkeypatch.setitem(sys.modules, "mine", of_the_project)
    with imports():
        assert "mine" not in sys.modules
    assert sys.modules["mine"] is of_the_project


def test_another_thread_may_import_while_modules_are_put_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a thread does that a run left behind: `sys.modules` grows while it is looked through."""
    found = iter(range(10_000))

    class Growing(ModuleType):
        @property
        def __file__(self) -> str:
            name = f"imported_meanwhile_{next(found)}"
            monkeypatch.setitem(sys.modules, name, ModuleType(name))
            return "elsewhere.py"

    monkeypatch.setitem(sys.modules, "growing", Growing("growing"))
    with Imports(tmp_path, "specs")():
        assert "growing" in sys.modules
        monkeypatch.setitem(sys.modules, "growing_later", Growing("growing_later"))
    assert next(found) >= 2, "it grew while it was looked through, before and after"
