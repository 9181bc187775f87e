"""The data sets, a server with a proxy in front of it, and the table of counts."""

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sweep.forks import Forks

from acceptance.proxy import Proxy
from acceptance.rig import ROOT, Executed, ProjectOnDisk, Server, environment, executed

DATA = ROOT.parent / "shared" / "data"
_COUNTS = pytest.StashKey[list[tuple[object, ...]]]()
_HEAD = ("run", "rows", "outcomes", "batches", "lines executed", "duplicates", "kills")


def _data(*parts: str) -> Path:
    path = DATA.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"real data is not there: {path} (it lies beside the checkout, not in it)")
    return path


@dataclass
class Service:
    """The server and the proxy in front of it."""

    server: Server
    proxy: Proxy

    def executed(self) -> Executed:
        """Read what was executed."""
        return executed(self.server, self.proxy.uploads)

    def restart(self) -> None:
        """Kill the server and start it again over the same directory, on another port."""
        self.server.die()
        self.proxy.upstream = self.server.start()


@dataclass
class Bench:
    """Makes projects and services, and puts them away."""

    folder: Path
    counts: list[tuple[object, ...]]
    forks: Forks
    _services: list[Service] = field(default_factory=list)
    _servers: list[Server] = field(default_factory=list)

    def service(self, name: str, *options: str, **variables: str) -> Service:
        """Start a server with a proxy."""
        server = self.server(self.folder / f"{name}-server", *options, **variables)
        service = Service(server, Proxy(server.port))
        self._services.append(service)
        return service

    def server(self, directory: Path, *options: str, **variables: str) -> Server:
        """Start a server over a directory."""
        server = Server(directory, options, variables)
        server.start()
        self._servers.append(server)
        return server

    def banking77(self, name: str, service: Service | None = None) -> ProjectOnDisk:
        """Make the project with the 3,080 questions."""
        project = self._project("banking77", "intents.classify", name, service)
        for file in ("test.csv", "categories.json"):
            shutil.copy(_data("banking77", file), project.folder / "data")
        return project

    def gsm8k(self, name: str, service: Service | None = None) -> ProjectOnDisk:
        """Make the project with the 1,319 problems."""
        project = self._project("gsm8k", "problems.solve", name, service)
        shutil.copy(self.problems(), project.folder / "data")
        return project

    def compare(self, name: str, service: Service) -> ProjectOnDisk:
        """Make the project that puts the 1,319 problems through two variants."""
        project = self._project("compare", "ab.solved", name, service)
        shutil.copy(self.problems(), project.folder / "data")
        return project

    def chain(self, name: str, service: Service) -> ProjectOnDisk:
        """Make the project with three jobs in a chain; it needs no data."""
        return self._project("chain", "chain.whole", name, service)

    def vectors(self, name: str, service: Service | None = None) -> ProjectOnDisk:
        """Make the project that embeds the 3,080 questions."""
        project = self._project("vectors", "search.vectors", name, service)
        shutil.copy(_data("banking77", "test.csv"), project.folder / "data")
        return project

    def outcomes(self, name: str, service: Service, provider: str) -> ProjectOnDisk:
        """Make the project whose jobs end in every way; it needs no data."""
        project = self._project("outcomes", "ends.succeeded", name, service)
        project.variables["ENDS_AT"] = provider
        return project

    def flow(self, name: str, service: Service) -> ProjectOnDisk:
        """Make the project with three eager jobs; it needs no data."""
        return self._project("flow", "flow.third", name, service)

    def problems(self) -> Path:
        """Return the problems with an id each, as a person would prepare them."""
        path = self.folder / "problems.jsonl"
        if not path.exists():
            source = _data("gsm8k", "test.jsonl").read_text(encoding="utf-8").splitlines()
            rows = [{"id": f"p-{n:04}", **json.loads(line)} for n, line in enumerate(source, 1)]
            path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
        return path

    def _project(
        self, kind: str, address: str, name: str, service: Service | None
    ) -> ProjectOnDisk:
        variables: dict[str, str] = {}
        if service:
            variables |= {"OPENAI_API_KEY": "none", "OPENAI_BASE_URL": service.proxy.base_url}
        return ProjectOnDisk(
            kind, address, self.folder / name, self.forks, variables, simulate=service is None
        )

    def count(self, run: str, results: list[dict[str, object]], done: Executed, kills: str) -> None:
        """Add a line to the table."""
        outcomes = sum(item["outcome"] is not None for item in results)
        line = (run, len(results), outcomes, done.batches, done.total, done.doubled, kills)
        self.counts.append(line)

    def close(self) -> None:
        with ExitStack() as stack:
            for service in self._services:
                stack.callback(service.proxy.close)
            for server in self._servers:
                stack.callback(server.stop)


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """Starts commands; what one has imported, those after it need not import again."""
    made = Forks(environment())
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def bench(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest, forks: Forks
) -> Iterator[Bench]:
    """A place for real processes."""
    counts = request.config.stash.setdefault(_COUNTS, [])
    made = Bench(tmp_path_factory.mktemp("acceptance"), counts, forks)
    try:
        yield made
    finally:
        made.close()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Show the counts."""
    counts = config.stash.get(_COUNTS, [])
    if not counts:
        return
    lines = [[str(cell) for cell in line] for line in (_HEAD, *counts)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    terminalreporter.section("acceptance: counts")
    for name, *cells in lines:
        numbers = "  ".join(c.rjust(w) for c, w in zip(cells, widths[1:], strict=True))
        terminalreporter.write_line(f"{name.ljust(widths[0])}  {numbers}")
