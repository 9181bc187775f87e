"""Which rows a job made of answers does not have, and why: counted by the database."""

import re
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from batchspec.ids import JobAddress, Member, RecordRef, answer_key, member
from batchspec.messages import Outcome
from batchspec.state.missing import Absence, Missing

SHOWN = 3
"""Items without an answer that are named, of each job."""
_SOURCES = """
SELECT s.job, j.address, s.upstream, u.address, s.collects, s.picks, s.seen FROM sources s
JOIN jobs j ON j.id = s.job JOIN jobs u ON u.id = s.upstream
WHERE NOT j.removed ORDER BY s.job, s.upstream
"""
# Where an older answer is shown, that is what a row is made of.
_LACKING = """
FROM items i JOIN conversations c ON c.id = i.conversation
WHERE i.job = :stage AND c.phase = 'final' AND c.outcome <> 'succeeded'
  AND c.kept IS NULL AND i.previous IS NULL
  AND (:collects OR NOT EXISTS (
    SELECT 1 FROM items d WHERE d.job = :job AND d.key = key_below(i.key)))
"""
_COUNTS = f"SELECT c.outcome, COUNT(*) {_LACKING} GROUP BY 1 ORDER BY 1"
_FIRST = f"SELECT i.key, c.outcome, c.reason {_LACKING} ORDER BY i.id LIMIT :limit"
_CHANGED = """
SELECT EXISTS (SELECT 1 FROM items i JOIN conversations c ON c.id = i.conversation
  WHERE i.job = :stage AND (c.phase <> 'final' OR c.settled >= :seen))
"""
_ANSWERED = """
SELECT COUNT(*) FROM items i JOIN conversations c ON c.id = i.conversation
WHERE i.job = :stage AND (c.outcome = 'succeeded' OR c.kept IS NOT NULL OR i.previous IS NOT NULL)
"""
_ITEMS = "SELECT COUNT(*) FROM items WHERE job = ?"
_ONE_ROW = "SELECT row FROM items WHERE job = ? LIMIT 1"
_COUNT = re.compile(rb'"count":(\d+)\}\Z')
"""At the end of the one row of `collect`, which may be large."""


class _Edge(NamedTuple):
    job: int
    address: JobAddress
    upstream: int
    source: JobAddress
    collects: bool
    picks: bool
    seen: int


_Graph = Mapping[int, Sequence[_Edge]]
_Names = Sequence[Member]
"""Variants and samples whose names are part of the keys below them, nearest to the answer first."""


def find_missing(db: sqlite3.Connection, body: Callable[[RecordRef], bytes]) -> list[Missing]:
    """Return what jobs made of answers lack, those that lack something."""
    graph: defaultdict[int, list[_Edge]] = defaultdict(list)
    for row in db.execute(_SOURCES):
        graph[row[0]].append(_Edge._make(row))
    found = (_missing(db, body, graph, job) for job in list(graph))
    return [one for one in found if one.outcomes or one.left_out]


def _missing(
    db: sqlite3.Connection, body: Callable[[RecordRef], bytes], graph: _Graph, job: int
) -> Missing:
    edges = graph[job]
    collects = edges[0].collects
    outcomes: dict[JobAddress, Mapping[Outcome, int]] = {}
    first: list[Absence] = []
    for stage, address, names in _stages(db, graph, job):
        db.create_function("key_below", 1, partial(_key_below, names), deterministic=True)
        values = {"stage": stage, "job": job, "collects": collects, "limit": SHOWN}
        counts = dict(db.execute(_COUNTS, values))
        if counts:
            outcomes[address] = Counter(counts)
            rows = db.execute(_FIRST, values)
            first += [Absence(address, *row) for row in rows]
    return Missing(
        job=edges[0].address,
        sources=tuple(edge.source for edge in edges),
        collected=bool(collects),
        outcomes=outcomes,
        first=tuple(first),
        left_out=_left_out(db, body, edges) if edges[0].picks else 0,
    )


def _stages(
    db: sqlite3.Connection, graph: _Graph, job: int
) -> Iterator[tuple[int, JobAddress, _Names]]:
    """Yield the jobs above one whose failures cost it rows, nearest first, and names in its keys.

    One answer more or less makes another row of `collect`, but no answer at all makes none.
    """
    todo, seen = _above(graph, job, ()), set[int]()
    while todo:
        edge, names = todo.pop(0)
        if edge.upstream in seen:
            continue
        seen.add(edge.upstream)
        yield edge.upstream, edge.source, names
        above = _above(graph, edge.upstream, names)
        collects = bool(above) and above[0][0].collects
        if collects and db.execute(_ONE_ROW, (edge.upstream,)).fetchone():
            continue
        todo += above


def _above(graph: _Graph, job: int, names: _Names) -> list[tuple[_Edge, _Names]]:
    """Return what a job is made of; with several, their names are in the keys of its rows."""
    edges = graph.get(job, ())
    if len(edges) < 2:
        return [(edge, names) for edge in edges]
    return [(edge, (member(edge.source), *names)) for edge in edges]


def _key_below(names: _Names, key: str) -> str:
    """Return the key of what is made of an answer, some stages below it."""
    for of in names:
        key = answer_key(key, of)
    return key


def _left_out(
    db: sqlite3.Connection, body: Callable[[RecordRef], bytes], edges: Sequence[_Edge]
) -> int:
    """Return how many answers `where` did not take, when it was last asked about all of them."""
    answers = 0
    for edge in edges:
        values = {"stage": edge.upstream, "seen": edge.seen}
        if not edge.seen or db.execute(_CHANGED, values).fetchone()[0]:
            return 0
        answers += db.execute(_ANSWERED, values).fetchone()[0]
    job = edges[0].job
    if not edges[0].collects:
        return max(0, answers - int(db.execute(_ITEMS, (job,)).fetchone()[0]))
    row = db.execute(_ONE_ROW, (job,)).fetchone()
    taken = None if row is None else _COUNT.search(body(row[0])[-40:])
    return max(0, answers - int(taken[1])) if taken else answers
