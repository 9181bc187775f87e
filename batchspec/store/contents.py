"""Checks what the rows of a state point at: bodies, and what requests share."""

import json
import sqlite3
from collections.abc import Iterator, Mapping

from batchspec.errors import StateError
from batchspec.fingerprint import Fingerprinter, digest
from batchspec.ids import RecordRef
from batchspec.messages import Contract
from batchspec.store.reader import StateReader
from batchspec.store.refingerprint import FIRST_TURNS, version_of
from batchspec.store.rules import BODY_COLUMNS, SEGMENT, body_references
from batchspec.store.segments import segment_path

_CONTRACTS = """
SELECT k.id, k.fingerprint, k.body, l.provider, l.endpoint, l.model
FROM contracts k JOIN lanes l ON l.id = k.lane ORDER BY k.id
"""
_FIRST_VERSION = 1
"""Once another algorithm was put in place, requests that became equal keep what they had."""
_Turn = tuple[int, int, str | None, int, bytes, int]


def contracts(reader: StateReader) -> Iterator[str]:
    """Hold every contract against its fingerprint and its lane."""
    for number, fingerprint, body, *lane in reader.db.execute(_CONTRACTS):
        contract = _contract(body)
        if contract is None:
            yield f"contract {number} cannot be read"
            continue
        if digest(contract.canonical()) != fingerprint:
            yield f"contract {number} is not what its fingerprint says"
        if [contract.provider, contract.endpoint, contract.model] != lane:
            yield f"contract {number} is in the lane of another model"


def bodies(reader: StateReader) -> Iterator[str]:
    """Read every body, in the order of the disk, and hold requests against their fingerprints."""
    names = tuple(BODY_COLUMNS.values())
    turns, pointed = _FirstTurns(reader.db), _Pointed(reader)
    for column, owner, ref in reader.db.execute(f"{body_references()} ORDER BY ref"):
        yield from pointed.at(ref)
        body = None
        try:
            body = reader.bodies.get(RecordRef(ref))
        except (StateError, OSError, IndexError) as error:
            yield f"the {names[int(column)].format(owner)} cannot be read: {error}"
        for conversation in turns.differing(ref, body):
            yield f"conversation {conversation} has another request than its fingerprint says"
    yield from pointed.end()


class _Pointed:
    """Compares the files that rows point at with what is on record of them."""

    def __init__(self, reader: StateReader) -> None:
        self._folder = reader.path.parent / "artifacts"
        self._records: Mapping[int, int] = dict(
            reader.db.execute("SELECT id, records FROM artifacts")
        )
        self._segment, self._last, self._seen = -1, -1, 0

    def at(self, ref: int) -> Iterator[str]:
        """Note a pointer; they come in order."""
        if ref // SEGMENT != self._segment:
            yield from self.end()
            self._segment, self._seen = ref // SEGMENT, 0
        self._seen += ref != self._last
        self._last = ref

    def end(self) -> Iterator[str]:
        """Tell what is wrong with the file the last pointers were at."""
        known = self._records.get(self._segment, 0)
        if self._seen > known:
            name = segment_path(self._folder, self._segment).name
            yield f"rows point at {self._seen} bodies of the file {name}, which has {known}"


class _FirstTurns:
    """Requests of first turns, which are what fingerprints are of, in the order of the disk."""

    def __init__(self, db: sqlite3.Connection) -> None:
        bodies = db.execute("SELECT id, body FROM contracts")
        read = {number: _contract(body) for number, body in bodies}
        self._hashes = {n: Fingerprinter(c.canonical()) for n, c in read.items() if c is not None}
        known = version_of(db) == _FIRST_VERSION
        self._turns: Iterator[_Turn] = iter(db.execute(FIRST_TURNS) if known else ())
        self._next = next(self._turns, None)

    def differing(self, ref: int, body: bytes | None) -> Iterator[int]:
        """Yield the conversations whose first request is at a place and not what it should be."""
        while self._next is not None and self._next[3] <= ref:
            conversation, contract, scope, at, fingerprint, sample = self._next
            self._next = next(self._turns, None)
            hashed = self._hashes.get(contract)
            if at == ref and body is not None and hashed is not None:
                messages = body.partition(b"\t")[0]
                if hashed(messages, sample, scope) != fingerprint:
                    yield conversation


def _contract(body: str) -> Contract | None:
    try:
        return Contract.from_json(json.loads(body))
    except (ValueError, KeyError, TypeError):
        return None
