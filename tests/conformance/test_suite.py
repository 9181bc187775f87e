"""The suite itself: its checks can fail, it tells what it finds, and it minds what it is told."""

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from batchspec.conformance import checks
from batchspec.conformance.checks import Check
from batchspec.conformance.departures import read_departures
from batchspec.conformance.timeline import MovableTime
from batchspec.errors import ConfigurationError
from batchspec.simulator import serving

from .conftest import Suite


async def _yes(_: Request) -> JSONResponse:
    return JSONResponse({})


@pytest.fixture
def yes_man() -> Iterator[str]:
    """A server that answers everything with 200 and nothing in it."""
    methods = ["GET", "POST", "DELETE"]
    with serving(Starlette(routes=[Route("/{path:path}", _yes, methods=methods)])) as url:
        yield url


def test_every_check_can_fail_and_the_key_is_never_told(suite: Suite, yes_man: str) -> None:
    """The longest tracebacks are asked for, with all variables."""
    options = ("--base-url", yes_man, "--deadline", "5", "--api-key-env", "SOME_KEY", "--tb=long")
    run = suite(*options, "--showlocals", "-k", "not job", SOME_KEY="sk-conformance-secret")
    assert run.ids("failed") == {check["id"] for check in run.report["checks"]}
    assert len(run.ids("failed")) > 140
    assert run.code == 1
    assert "sk-conformance-secret" not in run.said
    assert "sk-conformance-secret" not in str(run.report)


def test_that_nothing_is_there_is_told_once(suite: Suite) -> None:
    with serving(Starlette()) as url:
        pass
    run = suite("--base-url", url)
    assert f"Exit: Nothing answers at {url}: " in run.said
    assert run.code == 1
    assert not run.ids("failed")


async def _doorkeeper(request: Request) -> JSONResponse:
    known = request.headers["authorization"] == "Bearer right"
    return JSONResponse({} if known else {"error": {"message": "No."}}, 200 if known else 401)


def test_a_server_that_asks_for_keys_refuses_a_wrong_one(suite: Suite) -> None:
    app = Starlette(routes=[Route("/{path:path}", _doorkeeper)])
    with serving(app) as url:
        options = ("--base-url", url, "--api-key-env", "SOME_KEY", "-k", "wrong-key")
        run = suite(*options, SOME_KEY="right")
    assert run.ids("passed") == {"errors.wrong-key-401"}


def _departures(folder: Path, text: str) -> Path:
    path = folder / "departures.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_known_departures_fail_as_agreed_and_others_are_told(
    suite: Suite, yes_man: str, tmp_path: Path
) -> None:
    path = _departures(tmp_path, '[departures]\n"list.limit-0" = "It takes any limit."\n')
    run = suite("--base-url", yes_man, "-k", "list.limit", "--departures", str(path))
    assert run.ids("departed") == {"list.limit-0"}
    assert run.ids("failed") == {"list.limit-101", "list.limit-negative", "list.limit-word"}
    assert run.code == 1
    assert f"conformance of {yes_man}" in run.said
    assert "4 checks: 1 departed, 3 failed" in run.said
    line = r"^failed  should  list\.limit-101 +Failed: GET .*answered 200"
    assert re.search(line, run.said, re.MULTILINE)
    details = {check["id"]: check["detail"] for check in run.report["checks"]}
    assert details["list.limit-0"] == "It takes any limit."


def test_a_departure_that_is_mended_is_told(suite: Suite, tmp_path: Path) -> None:
    """And checks are chosen by what they cost."""
    path = _departures(tmp_path, '[departures]\n"list.shape" = "It has another shape."\n')
    run = suite("-m", "read", "--departures", str(path))
    assert run.code == 1
    assert run.ids("mended") == {"list.shape"}
    assert run.ids("failed") == set()
    assert "take it out of the departures" in run.said
    assert {check["cost"] for check in run.report["checks"]} == {"read"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[departures]\n"list.shap" = "r"', "Did you mean 'list.shape'?"),
        ('[departures]\n"zzz.*" = "r"', "docs/conformance.md lists them"),
        ('[departures]\n"list.shape" = " "', "needs a reason"),
        ('[departures]\n"list.shape" = 5', "needs a reason"),
        ("departures = 5", "no table [departures]"),
        ("", "no table [departures]"),
        ("[", "is not valid TOML"),
    ],
)
def test_departures_that_make_no_sense_are_refused(tmp_path: Path, text: str, words: str) -> None:
    path = _departures(tmp_path, text)
    with pytest.raises(ConfigurationError, match=re.escape(words)) as raised:
        read_departures(path, ["list.shape", "list.ids"])
    assert str(path) in str(raised.value)


def test_an_id_wins_over_a_pattern_and_a_pattern_over_later_ones(tmp_path: Path) -> None:
    text = '[departures]\n"a.*" = "first"\n"*" = "second"\n"a.b" = "itself"\n'
    found = read_departures(_departures(tmp_path, text), ["a.b", "a.c", "d"])
    assert found == {"a.b": "itself", "a.c": "first", "d": "second"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--departures", "nowhere.toml"), "nowhere.toml cannot be read"),
        (("--api-key-env", "NOT_SET"), "NOT_SET is not set in the environment"),
        (("--endpoint", "/v1/none"), "invalid choice: '/v1/none'"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    suite: Suite, options: tuple[str, ...], words: str
) -> None:
    run = suite(*options)
    assert run.code == pytest.ExitCode.USAGE_ERROR
    assert words in run.said
    assert "Traceback" not in run.said


@pytest.mark.parametrize(("mode", "code"), [("guard", 0), ("fixtures", 5)])
def test_where_every_test_is_guarded_the_server_may_be_reached(
    suite: Suite, tmp_path: Path, mode: str, code: int
) -> None:
    """Nothing is run: checks with the guard's mark are counted, and 5 says that there are none."""
    (tmp_path / "pytest.ini").write_text(f"[pytest]\nbatchspec_network = {mode}\n")
    options = ("--collect-only", "-m", "batchspec_network", "-k", "list.limit-101")
    run = suite("--base-url", "http://server.example/v1", *options)
    assert run.code == code, run.said


async def _guarded_clock(request: Request) -> JSONResponse:
    known = request.headers.get("authorization") == "Bearer of-the-admin"
    return JSONResponse({"speed": 1.0}, 200 if known else 401)


def test_a_clock_that_asks_for_a_token_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Route("/admin/clock", _guarded_clock, methods=["GET", "POST"])
    with serving(Starlette(routes=[clock])) as url:
        admin_url = f"{url.removesuffix('/v1')}/admin"
        with pytest.raises(ConfigurationError, match="401"):
            MovableTime(admin_url)
        monkeypatch.setenv("BATCHSPEC_SIMULATOR_ADMIN_TOKEN", "of-the-admin")
        time = MovableTime(admin_url)
        time.sleep(5)
        time.close()


def test_an_admin_url_without_a_clock_is_told(suite: Suite, yes_man: str) -> None:
    run = suite("--base-url", yes_man, "--admin-url", f"{yes_man}/admin", "-k", "list.shape")
    assert "moves no clock" in run.said
    assert run.code == 1


def _modules() -> list[ModuleType]:
    checks.every()
    names = {f"{checks.__package__}.{path.stem}" for path in _folder().glob("test_*.py")}
    return [__import__(name, fromlist=["_"]) for name in sorted(names)]


def _folder() -> Path:
    return Path(inspect.getfile(checks)).parent


def test_every_test_of_the_suite_has_a_check() -> None:
    for module in _modules():
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if name.startswith("test_") and function.__module__ == module.__name__:
                marks = {mark.name for mark in getattr(function, "pytestmark", [])}
                assert marks & {"conformance", "parametrize"}, f"{module.__name__}.{name}"


@pytest.mark.parametrize("each", checks.every(), ids=lambda check: check.id)
def test_checks_say_what_they_expect_and_why(each: Check) -> None:
    assert re.fullmatch(r"[a-z]+(\.[a-z0-9-]+)+", each.id)
    assert each.reason.endswith(".")
    assert len(each.reason) <= 100
    assert each.source


@pytest.mark.parametrize("first", ["test_client", "test_validation"])
def test_the_order_of_checks_is_that_of_their_files(first: str) -> None:
    """Whatever else of the suite a process has imported by then."""
    code = (
        f"import batchspec.conformance.{first}\n"
        "from batchspec.conformance import checks\n"
        "print(*[check.id for check in checks.every()])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == [check.id for check in checks.every()]
    assert len(run.stdout.split()) == len(checks._declared)
