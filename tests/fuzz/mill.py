"""A provider that grinds: every batch ends at once, and its result files have had an accident.

Implements `ports.Client` in memory, so that thousands of files pass through the real path within a
minute: packing, input files, polling, download, settling, tools, retries, all on a real state.
"""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from batchspec.ids import FileId, RemoteId
from batchspec.providers.openai.client import OpenAIClient
from batchspec.state.records import RemoteStatus, RequestCounts
from batchspec.state.remote import RemoteBatch
from fuzz.corpus import FINAL, corpus, line_for
from fuzz.mutations import mutated

_STATUSES: list[RemoteStatus] = ["completed", "completed", "completed", "expired", "cancelled"]
_WEIGHTS = {"answer": 6, "wide": 2, "call": 3, "calls": 2, "again": 2}
"""How often a kind is said; the others once."""


@dataclass(frozen=True, slots=True)
class Certain:
    """What must become of a request whose line no accident touched."""

    kind: str
    said: str

    @property
    def outcome(self) -> str | None:
        """How the item ends, where the line alone decides it."""
        return FINAL.get(self.kind)


@dataclass(slots=True)
class Grist:
    """One batch of the mill: what was asked, and the bytes of both files."""

    batch: RemoteBatch
    files: dict[str, bytes] = field(default_factory=dict)
    certain: dict[str, Certain] = field(default_factory=dict)
    claimed: dict[str, set[str]] = field(default_factory=dict)


class Mill(OpenAIClient):
    """Serves mutated files for whatever is asked of it.

    Args:
        seed: Of everything it does.

    Attributes:
        files: Result files made so far, empty ones too.
        lines: Requests answered so far.
        batches: By the id of the batch.
    """

    def __init__(self, seed: int) -> None:
        super().__init__(api_key="mill", base_url="http://mill/v1")
        self._random = Random(seed)
        self._uploads: dict[str, list[tuple[str, str]]] = {}
        self.batches: dict[str, Grist] = {}
        self._contents: dict[str, bytes] = {}
        self.files = self.lines = 0

    # --- the client

    async def upload(self, path: Path, name: str) -> FileId:
        file = FileId(f"file-{len(self._uploads)}")
        sent = path.read_bytes()  # noqa: ASYNC240 - a few lines
        self._uploads[file] = [_asked(line) for line in sent.splitlines()]
        return file

    async def create(
        self, file: FileId, endpoint: str, window: str, metadata: Mapping[str, str]
    ) -> RemoteBatch:
        grist = self._ground(file, dict(metadata))
        self.batches[grist.batch.id] = grist
        return grist.batch

    async def retrieve(self, batch: RemoteId) -> RemoteBatch:
        return self.batches[batch].batch

    async def recent(self, since: float) -> AsyncIterator[RemoteBatch]:
        for grist in reversed(self.batches.values()):
            yield grist.batch

    async def content(self, file: FileId) -> AsyncIterator[bytes]:
        data = self._contents[file]
        size = Random(file).choice([1 << 20, 1 << 16, 1000, 7]) if len(data) < 5000 else 1 << 16
        for at in range(0, len(data), size):
            yield data[at : at + size]

    async def cancel(self, batch: RemoteId) -> RemoteBatch:
        return self.batches[batch].batch

    async def delete_file(self, file: FileId) -> None:
        pass

    # --- the grinding

    def _ground(self, file: FileId, metadata: dict[str, str]) -> Grist:
        random, number = self._random, len(self.batches)
        output: list[bytes] = []
        errors: list[bytes] = []
        said: dict[bytes, tuple[str, Certain]] = {}
        for custom_id, job in self._uploads[file]:
            kinds = corpus()[job]
            kind = random.choices(list(kinds), [_WEIGHTS.get(name, 1) for name in kinds])[0]
            words = f"<{custom_id} {number}>" + " again" * (kind == "again")
            line = line_for(kinds[kind], custom_id, f"<{custom_id} {number}>")
            said[line] = (custom_id, Certain(kind, words))
            good = kind not in {"rejected", "busy", "broken", "expired"}
            (output if good else errors).append(line)
        data = mutated(random, output, errors)
        names = [FileId(f"file-{number}-{kind}") for kind in ("output", "error")]
        self._contents.update(zip(names, data, strict=True))
        self.files += 2
        self.lines += len(said)
        claims = random.choice([0, 0, 0, 0, 0, 0, 0, len(output)])
        batch = RemoteBatch(
            id=RemoteId(f"batch_{number}"),
            status=random.choice(_STATUSES),
            created_at=0.0,
            counts=RequestCounts(len(said), claims, 0),
            input_file_id=file,
            output_file_id=names[0],
            error_file_id=names[1],
            metadata=metadata,
        )
        grist = Grist(batch, dict(zip(names, data, strict=True)))
        _note(grist, said)
        return grist


def _asked(line: bytes) -> tuple[str, str]:
    """Return the custom_id of a request, and its job, which its prompt begins with."""
    request = json.loads(line)
    return request["custom_id"], request["body"]["messages"][0]["content"].split()[0]


def _note(grist: Grist, said: Mapping[bytes, tuple[str, Certain]]) -> None:
    """Note what is certain whatever a reader thinks of the rest, and what lines claim."""
    whole = b"\n".join(grist.files.values())
    for number, raw in enumerate(whole.split(b"\n")):
        line = (
            raw.rstrip(b"\r ").removeprefix(b"\xef\xbb\xbf") if number == 0 else raw.rstrip(b"\r ")
        )
        custom_id, certain = said.get(line, ("", None))
        if certain is not None and whole.count(custom_id.encode()) == 1:
            grist.certain[custom_id] = certain
    for line in whole.split(b"\n"):
        custom_id, text = _claim(line)
        if custom_id:
            grist.claimed.setdefault(custom_id, set()).add(text)


def _claim(line: bytes) -> tuple[str, str]:
    """Return whom a line says it is for, and all of it as text, read by another parser."""
    try:
        data: Any = json.loads(line.strip(b" \t\r").removeprefix(b"\xef\xbb\xbf").strip(b" \t\r"))
        custom_id = data.get("custom_id")
    except (ValueError, AttributeError, RecursionError):
        return "", ""
    return (
        (custom_id, json.dumps(data, ensure_ascii=False))
        if isinstance(custom_id, str)
        else ("", "")
    )
