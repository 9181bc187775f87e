"""Rows made of answers."""

from typing import Any

from batchspec.desired.derive import Answered, derive
from batchspec.desired.expand import SourceRow
from batchspec.errors import Diagnostic
from batchspec.spec import rows

ANSWERED = [Answered("1", {"id": 1}, "a"), Answered("2", {"id": 2}, {"x": "b"})]


def test_outputs_of_gives_a_row_per_answer() -> None:
    assert list(derive(rows.outputs_of("a.b"), iter(ANSWERED))) == [
        SourceRow("1", {"key": "1", "row": {"id": 1}, "output": "a"}, 1),
        SourceRow("2", {"key": "2", "row": {"id": 2}, "output": {"x": "b"}}, 2),
    ]


def test_collect_gives_one_row_of_all() -> None:
    (row,) = derive(rows.collect("a.b"), ANSWERED)
    assert isinstance(row, SourceRow)
    assert row.key == "all"
    assert row.data["count"] == 2
    assert row.data["outputs"] == ["a", {"x": "b"}]
    assert row.data["items"][0] == {"key": "1", "row": {"id": 1}, "output": "a"}
    assert not list(derive(rows.collect("a.b", where=lambda item: False), ANSWERED))


def test_where_keeps_and_its_exceptions_are_told() -> None:
    def where(item: dict[str, Any]) -> bool:
        return item["output"]["x"] == "b"

    found, kept = derive(rows.outputs_of("a.b", where=where), ANSWERED)
    assert isinstance(found, Diagnostic)
    assert str(found) == (
        f"{__file__}:{where.__code__.co_firstlineno + 1}: `where` failed. For item '1': TypeError:"
        " string indices must be integers, not 'str'."
    )
    assert isinstance(kept, SourceRow)
    assert kept.key == "2"
