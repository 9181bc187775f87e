"""Answers as text: whole, in order, and never half a file."""

import csv
import io
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from batchspec.errors import BatchspecError, UsageError
from batchspec.results.export import TextFormat, export, format_for, replacing
from results.answered import Answered


def _exported(form: TextFormat, *items: Answered) -> str:
    file = io.BytesIO()
    export(lambda: iter(items), file, form, address="tickets.triage")
    return file.getvalue().decode()


def _table(*items: Answered) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(_exported("csv", *items), newline="")))


def test_a_line_of_json_holds_everything_of_one_item() -> None:
    """Money is a number, tokens stand together, the address can be pasted into `render`."""
    item = Answered(key="a", row={"text": "é\n"}, output={"queue": "bug"}, grade=0.5)
    assert json.loads(_exported("jsonl", item)) == {
        "key": "a",
        "variant": None,
        "sample": 1,
        "address": 'tickets.triage["a"]',
        "row": {"text": "é\n"},
        "output": {"queue": "bug"},
        "outcome": "succeeded",
        "reason": None,
        "usage": {
            "input_tokens": 10,
            "cached_tokens": 4,
            "output_tokens": 2,
            "reasoning_tokens": 1,
        },
        "cost_usd": 0.0000042,
        "turns": 1,
        "grade": 0.5,
        "previous": False,
    }


@pytest.mark.parametrize("number", [0, 1, 3])
def test_the_json_document_is_valid_for_any_number_of_items(number: int) -> None:
    """It names its format version and the job."""
    items = [Answered(key=str(n)) for n in range(number)]
    document = json.loads(_exported("json", *items))
    assert document["format_version"] == "1"
    assert document["address"] == "tickets.triage"
    assert [item["key"] for item in document["items"]] == [item.key for item in items]


def test_csv_has_a_column_per_field_in_the_order_of_the_contract() -> None:
    """Objects are flattened one level, deeper values are JSON, nothing is empty text."""
    item = Answered(
        key="a",
        row={"id": "a", "text": 'say "hi", now'},
        output={"queue": "bug", "tags": ["x"], "sure": True, "score": 0.5, "note": None},
        cost=None,
    )
    assert _exported("csv", item) == (
        "key,row.id,row.text,output.queue,output.tags,output.sure,output.score,output.note,"
        "outcome,reason,input_tokens,output_tokens,cost_usd,turns,grade\n"
        'a,a,"say ""hi"", now",bug,"[""x""]",true,0.5,,succeeded,,10,2,,1,\n'
    )


def test_variants_and_samples_have_columns_where_there_are_any() -> None:
    plain, second = Answered(key="a"), Answered(key="a", variant="terse", sample=2)
    assert "variant" not in _table(plain)[0]
    rows = _table(plain, second)
    assert list(rows[0])[:3] == ["key", "variant", "sample"]
    assert [(row["variant"], row["sample"]) for row in rows] == [("", "1"), ("terse", "2")]


def test_csv_columns_are_those_of_all_items() -> None:
    """A field that only a late row or answer has gets its column, and none is lost."""
    table = _table(
        Answered(key="a", row={"x": 1}, output={"p": 1}),
        Answered(key="b", row={"y": 2}, output=None, outcome="failed", reason="line\nbreak"),
        Answered(key="c", row={"x": 3, "z": None}, output={"q": {"deep": 1}}, outcome=None),
    )
    assert [name for name in table[0] if "." in name] == [
        "row.x",
        "row.y",
        "row.z",
        "output.p",
        "output.q",
    ]
    assert [row["row.y"] for row in table] == ["", "2", ""]
    assert (table[1]["reason"], table[1]["outcome"]) == ("line\nbreak", "failed")
    assert (table[2]["output.q"], table[2]["outcome"]) == ('{"deep":1}', "")


@pytest.mark.parametrize(
    ("outputs", "columns"),
    [
        (["text"], ["output"]),
        ([None], ["output"]),
        ([["a", 1]], ["output"]),
        ([{"p": 1}, "text"], ["output", "output.p"]),
    ],
    ids=["text", "nothing yet", "list", "both"],
)
def test_an_output_that_is_no_object_has_one_column(outputs: list[Any], columns: list[str]) -> None:
    """Text stays text, lists are JSON."""
    table = _table(*(Answered(key=str(n), output=o) for n, o in enumerate(outputs)))
    assert [name for name in table[0] if name.startswith("output") and "token" not in name] == (
        columns
    )
    assert table[-1]["output"] in {"text", "", '["a",1]'}


def test_what_appears_between_the_two_readings_is_told() -> None:
    """The header is written already; leaving columns out in silence would be a lie."""
    readings = iter([[Answered(key="a", row={"x": 1})], [Answered(key="a", row={"y": 1})]])
    exported = export(lambda: next(readings), io.BytesIO(), "csv")
    assert exported.left_out == {"row.y"}
    assert exported.items == 1


@pytest.mark.parametrize("form", ["jsonl", "json", "csv"])
def test_items_are_streamed(form: TextFormat) -> None:
    """Long before the last item is read the first ones are written."""

    class Watched(io.BytesIO):
        largest = 0

        def write(self, data: Any, /) -> int:
            Watched.largest = max(Watched.largest, len(data))
            return super().write(data)

    def items() -> Iterable[Answered]:
        return (Answered(key=str(n), row={"text": "x" * 100}) for n in range(20_000))

    file = Watched()
    assert export(items, file, form).items == 20_000
    assert Watched.largest < 400_000 < len(file.getvalue())


@pytest.mark.parametrize(
    ("form", "output", "chosen"),
    [
        (None, None, "table"),
        (None, "a.csv", "csv"),
        (None, "a.JSON", "json"),
        (None, "a.txt", "jsonl"),
        ("csv", "a.json", "csv"),
        ("json", None, "json"),
    ],
)
def test_the_format_follows_the_option_then_the_name(
    form: str | None, output: str | None, chosen: str
) -> None:
    """A file without a telling name gets lines of JSON."""
    assert format_for(form, Path(output) if output else None) == chosen


@pytest.mark.parametrize(
    ("form", "output", "told"),
    [
        ("parquet", None, "parquet is no text: say where it goes with `-o FILE.parquet`."),
        ("npy", None, "npy is no text"),
        ("table", "a.txt", "A table is for the terminal"),
    ],
)
def test_what_cannot_be_written_is_told(form: str | None, output: str | None, told: str) -> None:
    """The message says what works instead."""
    with pytest.raises(UsageError, match=told):
        format_for(form, Path(output) if output else None)


def test_a_file_is_replaced_only_when_all_went_well(tmp_path: Path) -> None:
    """A crash in the middle leaves the old file, and nothing else."""
    path = tmp_path / "answers.csv"
    path.write_text("old")
    with pytest.raises(TypeError), replacing(path) as file:
        file.writelines([b"half", "the other half"])  # type: ignore[list-item]
    assert [p.read_text() for p in tmp_path.iterdir()] == ["old"]
    with replacing(path) as file:
        file.write(b"new")
    assert [p.read_text() for p in tmp_path.iterdir()] == ["new"]


def test_new_files_have_the_usual_rights(tmp_path: Path) -> None:
    """Results are not private by the accident of a temporary file."""
    (tmp_path / "usual").touch()
    with replacing(tmp_path / "answers") as file:
        file.write(b"")
    assert (tmp_path / "answers").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    """Before anything is read."""
    file = replacing(tmp_path / "nowhere" / "a.csv")
    with pytest.raises(BatchspecError, match="cannot be written: No such file"):
        file.__enter__()


def test_what_is_no_number_is_null_in_json_and_nothing_in_a_column() -> None:
    output = {"x": math.nan, "deep": {"x": [math.inf, 1.5]}, "name": "NaN"}
    item = Answered(key="a", row={"r": -math.inf, "s": [math.nan]}, output=output)
    line = json.loads(_exported("jsonl", item), parse_constant=pytest.fail)
    assert (line["row"], line["output"]) == (
        {"r": None, "s": [None]},
        {"x": None, "deep": {"x": [None, 1.5]}, "name": "NaN"},
    )
    (found,) = _table(item)
    assert (found["row.r"], found["row.s"]) == ("", "[null]")
    assert (found["output.x"], found["output.deep"]) == ("", '{"x":[null,1.5]}')
    assert found["output.name"] == "NaN"
