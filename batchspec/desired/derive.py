"""Rows made of the answers of another job."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from batchspec.desired.expand import SourceRow
from batchspec.errors import Diagnostic
from batchspec.ids import Member, answer_key
from batchspec.redaction import raised
from batchspec.spec.origin import raise_site
from batchspec.spec.rows import Collect, DerivedSource, OutputsOf

COLLECTED_KEY = "all"
"""Key of the one row of `collect`."""


class Answered(NamedTuple):
    """An item of the other job that has an output; row and output are JSON values."""

    key: str
    row: Any
    output: Any
    of: Member | None = None
    """Which variant and sample it is of; None: the other job has no several."""


def derive(source: DerivedSource, answered: Iterable[Answered]) -> Iterator[SourceRow | Diagnostic]:
    """Yield the rows a job gets from the answers of the one it depends on.

    `outputs_of` streams; `collect` holds all answers, because its one row does, and has no row
    where nothing was answered. What a `where` raises is told and leaves the item out.
    """
    if not isinstance(source, Collect):
        for number, item in enumerate(_kept(source, answered), 1):
            if isinstance(item, Diagnostic):
                yield item
            else:
                yield SourceRow(item["key"], item, number)
        return
    items: list[dict[str, Any]] = []
    for item in _kept(source, answered):
        if isinstance(item, Diagnostic):
            yield item
        else:
            items.append(item)
    if not items:
        return
    outputs = [item["output"] for item in items]
    row = {"key": COLLECTED_KEY, "items": items, "outputs": outputs, "count": len(items)}
    yield SourceRow(COLLECTED_KEY, row)


def told(source: DerivedSource) -> str:
    """Return how rows come from another job, for people: `outputs_of, eager, where is_angry`."""
    words = ["collect" if isinstance(source, Collect) else "outputs_of"]
    if isinstance(source, OutputsOf) and source.eager:
        words.append("eager")
    if source.where is not None:
        name = getattr(source.where, "__name__", "")
        words.append(f"where {name}" if name.isidentifier() else "where")
    return ", ".join(words)


def _kept(
    source: DerivedSource, answered: Iterable[Answered]
) -> Iterator[dict[str, Any] | Diagnostic]:
    where = source.where
    for key, row, output, of in answered:
        item = {"key": key, "row": row, "output": output}
        if of is not None:
            item |= {"key": answer_key(key, of), "variant": of.variant, "sample": of.sample}
        try:
            if where is None or where(item):
                yield item
        except (Exception, SystemExit) as error:  # noqa: BLE001 - users' code may raise anything
            yield Diagnostic(
                summary="`where` failed",
                detail=f"For item {key!r}: {raised(error)}.",
                source=raise_site(error) or source.source,
            )
