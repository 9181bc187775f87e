"""What pytest loads for everyone who has batchspec installed, so as little as possible.

Whatever is needed only by tests that use batchspec is imported by the first of them.
"""

import sys
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from batchspec.testing.fixtures import RunJob
    from batchspec.testing.simulated import SimulatedProject

_PROJECTS = pytest.StashKey["list[SimulatedProject]"]()
"""What a test has run, to be shown when it fails."""
_FIXTURES = frozenset({"run_job", "batch_project"})
_MODES = ("fixtures", "guard", "allow")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options of the configuration file."""
    parser.addini(
        "batchspec_network",
        "which tests may not reach other machines: those that use its `fixtures`, all (`guard`), "
        "or none (`allow`)",
        default="fixtures",
    )
    parser.addini(
        "batchspec_project",
        "folder of the project under test, relative to pytest's root directory",
        default="",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker, watch the collection too, and make the project's modules importable."""
    config.addinivalue_line(
        "markers",
        "batchspec_network(*hosts): let this test reach no other machine but these hosts (globs)",
    )
    mode = config.getini("batchspec_network")
    if mode not in _MODES:
        raise pytest.UsageError(
            f"batchspec_network is one of {', '.join(_MODES)}; the configuration says {mode!r}."
        )
    if mode == "guard":
        from batchspec.testing.guard import GUARD  # noqa: PLC0415 - late

        watching = ExitStack()
        watching.enter_context(GUARD.watch())
        config.add_cleanup(watching.close)
    root = project_folder(config)
    if config.getini("batchspec_project") or (root / "batchspec.toml").is_file():
        sys.path.insert(0, str(root))


def project_folder(config: pytest.Config) -> Path:
    """Return the folder of the project under test."""
    return config.rootpath / str(config.getini("batchspec_project"))


def _allowed_hosts(item: pytest.Item) -> list[str] | None:
    """Return the hosts a test may reach beside this machine, None where it is not guarded."""
    mode = item.config.getini("batchspec_network")
    if mode == "allow":
        return None
    markers = list(item.iter_markers("batchspec_network"))
    own = _FIXTURES.intersection(getattr(item, "fixturenames", ()))
    if not (markers or own or mode == "guard"):
        return None
    return [str(host) for marker in markers for host in marker.args]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Watch what a guarded test does, from its first fixture to its last."""
    hosts = _allowed_hosts(item)
    if hosts is None:
        return (yield)
    from batchspec.testing.guard import GUARD, hidden_settings  # noqa: PLC0415 - late

    with GUARD.watch(hosts), hidden_settings():
        return (yield)


def _phase(item: pytest.Item) -> Generator[None, None, None]:
    if _allowed_hosts(item) is None:
        return (yield)
    from batchspec.testing.guard import GUARD  # noqa: PLC0415 - late

    with GUARD.phase():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    """Fail a test whose fixtures hid an attempt."""
    return (yield from _phase(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Fail a test that hid an attempt."""
    return (yield from _phase(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """Fail a test whose fixtures hid an attempt when they ended."""
    return (yield from _phase(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what ran in a test that failed."""
    report = yield
    projects = item.stash.get(_PROJECTS, None)
    if projects is not None and report.failed and report.when == "call":
        runs = [run for project in projects for run in project.runs]
        report.sections += [("batchspec", run.told()) for run in runs]
    return report


@pytest.fixture
def batch_project(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> "Iterator[SimulatedProject]":
    """The project under test, offline: its specs and configuration, a state of the test's own."""
    from batchspec.testing.simulated import SimulatedProject  # noqa: PLC0415 - late

    folder = tmp_path_factory.mktemp("batchspec")
    with SimulatedProject(project_folder(request.config), folder) as project:
        request.node.stash.setdefault(_PROJECTS, []).append(project)
        yield project


@pytest.fixture
def run_job(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> "Iterator[RunJob]":
    """Run a single job offline, with the jobs its rows are made of; returns what came of it."""
    from batchspec.testing.fixtures import RunJob  # noqa: PLC0415 - late

    root = project_folder(request.config)
    projects = request.node.stash.setdefault(_PROJECTS, [])
    with RunJob(root, lambda: tmp_path_factory.mktemp("batchspec"), projects) as run:
        yield run
