"""A small project, applied with `batchspec apply` as people do: a process of its own."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from batchspec.conformance.bodies import Json
from batchspec.conformance.server import Server, Target

_SPECS = '''\
from batchspec import Job, rows, tool

COLOURS = ["red", "green", "blue"]
METADATA = {"conformance": %(token)r}


@tool
def code_of(colour: str) -> str:
    """Look up the code of a colour."""
    return f"#{len(colour):06}"


plain = Job(
    model="openai:%(model)s",
    rows=rows.inline([{"id": colour, "colour": colour} for colour in COLOURS]),
    prompt="Name a fruit that is {colour}, in one word.",
    metadata=METADATA,
    settings=%(settings)r,
)

tools = Job(
    model="openai:%(model)s",
    rows=rows.inline([{"id": colour, "colour": colour} for colour in COLOURS[:2]]),
    prompt="What is the code of {colour}? Look it up with the tool, then answer with it alone.",
    tools=[code_of],
    metadata=METADATA,
    settings=%(settings)r,
)
'''
_MOST_PAGES = 40


@dataclass(frozen=True, slots=True)
class SmallProject:
    """Two jobs: `plain` with three rows, and `tools` with two rows and a tool.

    Attributes:
        folder: Where it is.
        token: What marks its batches on the server.
    """

    folder: Path
    token: str

    def write(self, target: Target, settings: Json | None = None) -> None:
        """Write its files."""
        (self.folder / "specs").mkdir(parents=True)
        values = {"model": target.model, "token": self.token, "settings": settings}
        (self.folder / "specs" / "jobs.py").write_text(_SPECS % values, encoding="utf-8")

    def apply(self, server: Server, job: str) -> None:
        """Apply one job and wait for its end."""
        with server.timeline.running():
            self._run(server.target, "apply", "--auto-approve", "--target", f"jobs.{job}")

    def results(self, server: Server, job: str) -> list[Json]:
        """Return the items of a job."""
        said = self._run(server.target, "results", f"jobs.{job}", "--format", "json")
        items: list[Json] = json.loads(said)["items"]
        return items

    def batches(self, server: Server) -> list[Json]:
        """Return what the server lists of its batches."""
        page = server.get("/batches", limit=100)
        found: list[Json] = page["data"]
        while page["has_more"] and len(found) < 100 * _MOST_PAGES:
            page = server.get("/batches", limit=100, after=found[-1]["id"])
            found += page["data"]
        return [server.note(batch) for batch in found if self._made(batch)]

    def _made(self, batch: Json) -> bool:
        metadata: Json = batch.get("metadata") or {}
        return metadata.get("conformance") == self.token

    def _run(self, target: Target, *arguments: str) -> str:
        command = f"batchspec {' '.join(arguments)}"
        try:
            done = subprocess.run(  # noqa: S603 - our own command
                [sys.executable, "-m", "batchspec", *arguments, "--project", str(self.folder)],
                env=_environment(target),
                capture_output=True,
                text=True,
                timeout=target.deadline,
                check=False,
            )
        except subprocess.TimeoutExpired:
            pytest.fail(
                f"{command} has not ended after {target.deadline:g} s; a larger --deadline waits "
                "longer.",
                pytrace=False,
            )
        if done.returncode != 0:
            said = done.stderr[-500:]
            pytest.fail(f"{command} exited with {done.returncode}: {said}", pytrace=False)
        return done.stdout


def _environment(target: Target) -> dict[str, str]:
    own = {n: v for n, v in os.environ.items() if not n.startswith(("BATCHSPEC_", "OPENAI_"))}
    return {
        **own,
        "OPENAI_BASE_URL": target.base_url,
        "OPENAI_API_KEY": target.key,
        "BATCHSPEC_POLL_INTERVAL": "0.3",
        "BATCHSPEC_MAX_POLL_INTERVAL": "15",
        "BATCHSPEC_RETRIES": "1",
    }
