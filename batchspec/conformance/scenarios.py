"""The batches that the checks share: few, small, and submitted together so that they wait once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from batchspec.conformance.bodies import Json
from batchspec.conformance.server import Results, Server, Target

TOKEN = {"batchspec": "conformance"}
LONG_ID = "Long_custom-id_" + "0123456789" * 5
"""64 characters of every kind that all providers take."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A batch that ended, with what was sent and what came of it."""

    custom_ids: list[str]
    created: Json
    batch: Json
    results: Results


def line(target: Target, custom_id: str, body: Json | None = None, **changes: object) -> Json:
    """Return a request as a line of an input file."""
    content = {"model": target.model, **(target.dialect.plain if body is None else body)}
    return {
        "custom_id": custom_id,
        "method": "POST",
        "url": target.endpoint,
        "body": content,
        **changes,
    }


def refused_line(target: Target, custom_id: str) -> Json:
    """Return a line that passes validation and is refused when it runs, at no cost."""
    dialect = target.dialect
    return line(target, custom_id, {**dialect.plain, **dialect.refused})


def accepted_lines(target: Target) -> list[Json]:
    """Return one line for everything that a model is asked for."""
    dialect = target.dialect
    lines = [line(target, "plain"), line(target, LONG_ID)]
    special = {"tool": dialect.tool, "schema": dialect.schema}
    return lines + [line(target, name, body) for name, body in special.items() if body]


class Scenarios:
    """Batches by name, submitted on first use and waited for one at a time."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._created: Mapping[str, tuple[list[str], Json]] = {}
        self._finished: dict[str, Finished] = {}

    def finished(self, name: str) -> Finished:
        """Wait for a batch: `clean`, `mixed` (one line of two is refused) or `refused`."""
        if name not in self._finished:
            custom_ids, created = self._submitted()[name]
            batch = self._server.ended(created["id"])
            results = self._server.results(batch)
            self._finished[name] = Finished(custom_ids, created, batch, results)
        return self._finished[name]

    def _submitted(self) -> Mapping[str, tuple[list[str], Json]]:
        if not self._created:
            target = self._server.target
            self._created = {
                "clean": self._submit(accepted_lines(target)),
                "mixed": self._submit([line(target, "good"), refused_line(target, "bad")]),
                "refused": self._submit([refused_line(target, "bad")]),
            }
        return self._created

    def _submit(self, lines: Sequence[Json]) -> tuple[list[str], Json]:
        created = self._server.submit(lines, metadata=TOKEN)
        return [str(each["custom_id"]) for each in lines], created
