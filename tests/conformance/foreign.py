"""Two servers of other people, installed when they are asked for, on ports of this machine."""

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".foreign"
AIMOCK = "@copilotkit/aimock@1.43.0"
AIBRIX = "aibrix==0.8.0"
_LONGEST_INSTALL = 900
_FIXTURES = HERE / "aimock_fixtures.json"


@dataclass(frozen=True)
class Foreign:
    """A running server, and what it is known to do otherwise."""

    base_url: str
    departures: Path


@contextmanager
def aimock(folder: Path) -> Iterator[Foreign]:
    """Run `@copilotkit/aimock`, of npm."""
    root = CACHE / "aimock"
    program = root / "node_modules" / "@copilotkit" / "aimock" / "dist" / "cli.js"
    npm = shutil.which("npm")
    assert npm, "npm is needed to install aimock; it comes with Node.js, of which 20.15 or later"
    _install(
        root, AIMOCK, [npm, "install", "--no-audit", "--no-fund", "--prefix", str(root), AIMOCK]
    )
    command = ["node", str(program), "--port", "0", "--fixtures", str(_FIXTURES)]
    with _running(command, folder, r"listening on (http://\S+)") as url:
        yield Foreign(f"{url}/v1", HERE / "departures" / "aimock.toml")


@contextmanager
def aibrix(folder: Path, engine: str | None = None) -> Iterator[Foreign]:
    """Run the metadata service of `aibrix`, of PyPI, in dry run.

    Args:
        folder: Where it keeps its files.
        engine: Base URL of a server that answers requests, without `/v1`; by default the dry run
            answers each request with itself.
    """
    root = CACHE / "aibrix"
    python = str(root / "bin" / "python")
    _install(
        root,
        AIBRIX,
        [sys.executable, "-m", "venv", "--clear", str(root)],
        [python, "-m", "pip", "install", "--quiet", AIBRIX],
    )
    program = [python, "-m", "aibrix.metadata.app"]
    if engine:
        program = [python, str(HERE / "aibrix_with_engine.py"), engine]
    command = [*program, "--dry-run", "--host", "127.0.0.1", "--port", "0"]
    storage = {"STORAGE_LOCAL_PATH": str(folder / "storage")}
    with _running(command, folder, r"running on (http://\S+)", storage) as url:
        yield Foreign(f"{url}/v1", HERE / "departures" / "aibrix.toml")


def _install(root: Path, version: str, *commands: Sequence[str]) -> None:
    """Install once; a mark says which version is whole."""
    mark = root / "installed"
    if mark.exists() and mark.read_text() == version:
        return
    for command in commands:
        subprocess.run(command, check=True, timeout=_LONGEST_INSTALL)
    mark.write_text(version)


@contextmanager
def _running(
    command: Sequence[str], folder: Path, announced: str, variables: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Run a server until the block ends; gives what it says of where it listens."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, **(variables or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    said: list[str] = []
    # What it says later on must be read too, or it would wait for a reader.
    listening = threading.Thread(target=said.extend, args=[process.stdout])
    try:
        for line in process.stdout:
            said.append(line)
            if found := re.search(announced, line):
                listening.start()
                yield found[1]
                return
        raise AssertionError(f"{command[0]} did not start:\n{''.join(said[-20:])}")
    finally:
        _end(process)
        if listening.ident is not None:
            listening.join()
        process.stdout.close()


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
