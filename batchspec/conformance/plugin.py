"""The suite as pytest runs it: options, departures, the server, and a report at the end."""

import os
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import httpx2
import pytest

from batchspec.conformance.bodies import DIALECTS
from batchspec.conformance.checks import Check, every
from batchspec.conformance.clients import ClientUnderTest
from batchspec.conformance.departures import read_departures
from batchspec.conformance.embedded import embedded_server
from batchspec.conformance.report import PROPERTY, Report
from batchspec.conformance.scenarios import Finished, Scenarios
from batchspec.conformance.server import Server, Target
from batchspec.conformance.timeline import MovableTime, RealTime, Timeline
from batchspec.errors import ConfigurationError
from batchspec.ports import Client
from batchspec.providers.openai.client import OpenAIClient

_MARKERS = {
    "must": "clients break without it",
    "should": "clients lose something without it",
    "cosmetic": "hardly anybody notices",
    "read": "changes nothing on the server",
    "free": "makes files and batches that nobody charges for",
    "paid": "asks the model a few small questions",
}
_REPORT = pytest.StashKey[Report]()
_DEPARTURES = pytest.StashKey["dict[str, str]"]()
_KEY = pytest.StashKey["str | None"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the suite's options."""
    group = parser.getgroup("conformance", "conformance of a Files and Batches server")
    with suppress(ValueError):  # pytest-base-url has the same option, and its value will do
        group.addoption("--base-url", metavar="URL", help=_BASE_URL)
    group.addoption("--api-key-env", metavar="NAME", help="environment variable with the key")
    group.addoption("--model", default="gpt-5-mini", help="model to ask (default: gpt-5-mini)")
    group.addoption(
        "--endpoint",
        default="/v1/chat/completions",
        choices=sorted(DIALECTS),
        help="endpoint of the batches (default: /v1/chat/completions)",
    )
    group.addoption(
        "--deadline",
        type=float,
        default=600.0,
        metavar="SECONDS",
        help="time for a batch to end (default: 600)",
    )
    group.addoption("--admin-url", metavar="URL", help=_ADMIN_URL)
    group.addoption("--departures", type=Path, metavar="FILE", help="TOML of known departures")
    group.addoption("--report", type=Path, metavar="FILE", help="write all results as JSON")


_ADMIN_URL = "admin endpoints of an embedded server whose clock may be moved, with /admin"
_BASE_URL = "where the API is, with /v1; by default an embedded server is started"


def pytest_configure(config: pytest.Config) -> None:
    """Read what the options name; a mistake in them ends the run."""
    for name, meaning in _MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")
    path = config.option.departures
    try:
        departures = dict(read_departures(path, (c.id for c in every()))) if path else {}
        config.stash[_KEY] = _key(config.option.api_key_env)
    except ConfigurationError as error:
        raise pytest.UsageError(str(error)) from error
    config.stash[_DEPARTURES] = departures
    facts = {name: getattr(config.option, name) for name in ("base_url", "model", "endpoint")}
    facts["base_url"] = facts["base_url"] or "the embedded server"
    config.stash[_REPORT] = Report(facts, departures)
    config.pluginmanager.register(config.stash[_REPORT], "conformance-report")


def _key(variable: str | None) -> str | None:
    if variable is None:
        return None
    if not os.environ.get(variable):
        raise ConfigurationError(f"--api-key-env: {variable} is not set in the environment.")
    return os.environ[variable]


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say what is tested and what that leaves behind."""
    url = config.option.base_url
    if not url:
        return ["conformance: of the embedded server"]
    return [
        f"conformance: of {url}, with model {config.option.model}",
        "conformance: asks the model about 15 small questions in 7 batches; about 25 more batches",
        "conformance: fail validation and cost nothing; files are deleted, batches stay listed;",
        'conformance: -m "not paid" asks no model, -m read changes nothing',
    ]


# --- checks


def _check(item: pytest.Item) -> Check | None:
    mark = item.get_closest_marker("conformance")
    return mark.args[0] if mark else None


def _guarded(config: pytest.Config) -> bool:
    """Tell whether our other plugin shuts the network off for every test."""
    try:
        return bool(config.getini("batchspec_network") == "guard")
    except ValueError:  # it is not loaded
        return False


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let checks be chosen by what they cost and weigh, and departures fail as agreed."""
    departures = config.stash[_DEPARTURES]
    host = httpx2.URL(config.option.base_url or "").host if _guarded(config) else ""
    for item in items:
        check = _check(item)
        if check is None:
            continue
        item.add_marker(check.severity)
        item.add_marker(check.cost)
        item.extra_keyword_matches.add(check.id)
        item.user_properties.append((PROPERTY, check.id))
        if host:
            item.add_marker(pytest.mark.batchspec_network(host))
        if check.id in departures:
            item.add_marker(pytest.mark.xfail(reason=departures[check.id], strict=True))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Tell what nobody agreed to, and write the report."""
    report = config.stash[_REPORT]
    report.tell(terminalreporter)
    path = config.option.report
    if path is not None:
        report.write(path)


# --- the server


@pytest.fixture(scope="session")
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Timeline]]:
    """Where the server is, and how its time passes."""
    url, admin_url = request.config.option.base_url, request.config.option.admin_url
    if not url:
        with embedded_server(tmp_path_factory.mktemp("embedded")) as started:
            yield started
    elif admin_url:
        with closing(MovableTime(admin_url)) as time:
            yield url.rstrip("/"), time
    else:
        yield url.rstrip("/"), RealTime()


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest, place: tuple[str, Timeline]) -> Target:
    """What is tested; that nothing is there is told once, and not by every check."""
    config = request.config
    try:
        httpx2.get(f"{place[0]}/batches", params={"limit": 1}, timeout=30)
    except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
        pytest.exit(f"Nothing answers at {place[0]}: {error}.", returncode=1)
    except httpx2.HTTPError:
        pass  # something is there, and the checks say what is wrong with it
    return Target(
        base_url=place[0],
        api_key=config.stash[_KEY],
        model=config.option.model,
        endpoint=config.option.endpoint,
        deadline=config.option.deadline,
    )


@pytest.fixture(scope="session")
def server(
    request: pytest.FixtureRequest, place: tuple[str, Timeline], target: Target
) -> Iterator[Server]:
    """The server, which is left as it was found."""
    made = Server(target, place[1])
    yield made
    left = made.close()
    if left:
        request.config.stash[_REPORT].left = left


@pytest.fixture(scope="session")
def scenarios(server: Server) -> Scenarios:
    """The batches that checks share."""
    return Scenarios(server)


@pytest.fixture
def clean(scenarios: Scenarios) -> Finished:
    """A batch whose requests are all answered."""
    return scenarios.finished("clean")


@pytest.fixture
def mixed(scenarios: Scenarios) -> Finished:
    """A batch of two requests, of which one is refused."""
    return scenarios.finished("mixed")


@pytest.fixture
def refused_batch(scenarios: Scenarios) -> Finished:
    """A batch of one request, which is refused."""
    return scenarios.finished("refused")


@pytest.fixture
def tested(server: Server, tmp_path: Path) -> ClientUnderTest:
    """The client of ours that speaks to the server."""
    target = server.target

    def make(transport: httpx2.AsyncBaseTransport) -> Client:
        return OpenAIClient(api_key=target.key, base_url=target.base_url, transport=transport)

    return ClientUnderTest(
        target=target,
        make=make,
        transport=httpx2.AsyncHTTPTransport,
        sleep=server.timeline.sleep,
        note_file=server.note_file,
        folder=tmp_path,
    )
