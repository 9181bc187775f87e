"""Reading rows: values, keys, and the line of everything that is wrong."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from batchspec.desired.expand import SourceRow
from batchspec.errors import Diagnostic
from batchspec.load import tables
from batchspec.load.rows import duplicate_key, read_rows
from batchspec.spec import rows
from batchspec.spec.rows import PlainSource


def read(source: PlainSource, root: Path = Path()) -> tuple[list[SourceRow], list[str]]:
    found = list(read_rows(source, root))
    good = [row for row in found if isinstance(row, SourceRow)]
    return good, [str(row) for row in found if isinstance(row, Diagnostic)]


def read_text(
    tmp_path: Path, text: str | bytes, **options: Any
) -> tuple[list[SourceRow], list[str]]:
    path = tmp_path / "d.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read(rows.csv("d.csv", **options), tmp_path)


def read_lines(
    tmp_path: Path, text: str | bytes, **options: Any
) -> tuple[list[SourceRow], list[str]]:
    (tmp_path / "d.jsonl").write_bytes(text if isinstance(text, bytes) else text.encode())
    return read(rows.jsonl("d.jsonl", **options), tmp_path)


def test_csv_rows_know_their_lines(tmp_path: Path) -> None:
    good, bad = read_text(tmp_path, 'id,text\r\n1,"a\nb"\r\n\r\n2,"c,""d"""\n')
    assert good == [
        SourceRow("1", {"id": "1", "text": "a\nb"}, 2, "d.csv"),
        SourceRow("2", {"id": "2", "text": 'c,"d"'}, 5, "d.csv"),
    ]
    assert bad == []


def test_parquet_rows_have_the_types_of_their_columns(tmp_path: Path) -> None:
    table = {
        "id": ["a", "b"],
        "n": [1, None],
        "x": [0.5, float("nan")],
        "day": [date(2026, 11, 28), None],
        "tags": [["p", "q"], []],
        "who": [{"name": "Ada"}, {"name": "Emmy"}],
    }
    pl.DataFrame(table).write_parquet(tmp_path / "d.parquet")
    good, bad = read(rows.parquet("d.parquet"), tmp_path)
    one = {"id": "a", "n": 1, "x": 0.5, "day": "2026-11-28", "tags": ["p", "q"]}
    other = {"id": "b", "n": None, "x": None, "day": None, "tags": []}
    assert good == [
        SourceRow("a", {**one, "who": {"name": "Ada"}}, 1),
        SourceRow("b", {**other, "who": {"name": "Emmy"}}, 2),
    ]
    assert bad == []


def test_parquet_is_read_in_order_and_in_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_CHUNK", 7)
    pl.DataFrame({"k": range(100)}).write_parquet(tmp_path / "d.parquet", row_group_size=13)
    good, bad = read(rows.parquet("d.parquet", key="k"), tmp_path)
    assert [row.key for row in good] == [str(n) for n in range(100)]
    assert bad == []
    first = next(read_rows(rows.parquet("d.parquet", key="k"), tmp_path))
    assert isinstance(first, SourceRow)


def test_what_is_wrong_with_parquet_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "data file cannot be read" in read(rows.parquet("no.parquet"), tmp_path)[1][0]
    assert "data file cannot be read" in read(rows.parquet("."), tmp_path)[1][0]
    (tmp_path / "d.parquet").write_text("id,text\n1,x\n")
    assert "file is not Parquet. d.parquet: " in read(rows.parquet("d.parquet"), tmp_path)[1][0]
    pl.DataFrame({"id": ["a", None], "b": [b"x", b"\xff"]}).write_parquet(tmp_path / "e.parquet")
    good, bad = read(rows.parquet("e.parquet"), tmp_path)
    assert [row.key for row in good] == ["a"]
    assert "Row 2" in bad[0]
    monkeypatch.setitem(sys.modules, "polars", None)
    assert "pip install 'batchspec[data]'" in read(rows.parquet("e.parquet"), tmp_path)[1][0]


def test_csv_may_have_a_bom_another_delimiter_and_another_encoding(tmp_path: Path) -> None:
    assert read_text(tmp_path, b"\xef\xbb\xbfid;t\n1;\xc3\xa9", delimiter=";")[0][0].data == {
        "id": "1",
        "t": "é",
    }
    assert read_text(tmp_path, b"id,t\n1,\xe9", encoding="cp1252")[0][0].data["t"] == "é"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "d.csv:1: file has no header."),
        ("id,,x\n1,2,3", "d.csv:1: column has no name. Column 2 of 3 has no name"),
        (
            "id,x,x\n1,2,3",
            "d.csv:1: column name is not unique. Columns 2 and 3 are both called 'x'",
        ),
        ("id,x\n1", "d.csv:2: row has too few fields. It has 1, the header has 2."),
        ("id,x\n1,2,3", "d.csv:2: row has too many fields. It has 3, the header has 2."),
        ("id,x\n,2", "d.csv:2: row has no key. 'id' is empty; every row needs a key of its own."),
        ("id,x\n  ,2", "d.csv:2: row has no key. 'id' is empty"),
        ('id,x\n1,"a\nb"\n2', "d.csv:4: row has too few fields."),
        ('id,x\n1,a\n2,"b\nc\n', "d.csv:3: line is not CSV. In the row that starts here: a quote"),
        ('id,x\n1,"a"b', "d.csv:2: line is not CSV. In the row that starts here: ',' expected"),
        (b"id,x\n1,a\n2,\xff\n", "d.csv:3: not valid utf-8. Invalid start byte (byte 0xff). Save"),
        (b'id,x\n1,"a\n\xff"\n', "d.csv:3: not valid utf-8."),
        (b"i\xff,x\n1,2", "d.csv:1: not valid utf-8."),
    ],
)
def test_a_bad_csv_line_is_told(tmp_path: Path, text: str | bytes, told: str) -> None:
    _, bad = read_text(tmp_path, text)
    assert [line.startswith(told) for line in bad] == [True]


def test_good_csv_rows_go_on_after_a_bad_one(tmp_path: Path) -> None:
    good, bad = read_text(tmp_path, b'id,x\n1,a\n2\n3,\xff\n4,"b"c\n5,e\n')
    assert [(row.key, row.line) for row in good] == [("1", 2), ("5", 6)]
    assert [line.split(": ")[0] for line in bad] == ["d.csv:3", "d.csv:4", "d.csv:5"]


@pytest.mark.parametrize(
    ("header", "key", "told"),
    [
        ("a,b", None, "No field is called key or id; name the one that identifies a row: key=…"),
        ("ident,b", "idnt", "There is no column 'idnt'. Did you mean 'ident'?"),
        ("id;b", "id", "The columns seem to be divided by ';': delimiter=';'."),
    ],
)
def test_a_csv_without_its_key_column_is_told_once(
    tmp_path: Path, header: str, key: str | None, told: str
) -> None:
    _, bad = read_text(tmp_path, f"{header}\n1,2\n3,4\n", key=key)
    assert len(bad) == 1
    assert told in bad[0]


def test_jsonl_rows_know_their_lines(tmp_path: Path) -> None:
    good, bad = read_lines(
        tmp_path, b'\xef\xbb\xbf{"id": 1, "n": null}\n\n{"id": "b", "x": [1.5]}\n'
    )
    assert good == [
        SourceRow("1", {"id": 1, "n": None}, 1, "d.jsonl"),
        SourceRow("b", {"id": "b", "x": [1.5]}, 3, "d.jsonl"),
    ]
    assert bad == []


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"id": 1,}', "d.jsonl:2: line is not JSON. Trailing comma at column 10."),
        ("", None),
        ("{", "d.jsonl:2: line is not JSON. EOF while parsing an object."),
        ('{"id": NaN}', "d.jsonl:2: line is not JSON."),
        (b'{"id": "\xff"}', "d.jsonl:2: line is not JSON. Invalid unicode code point at column"),
        ("3", "d.jsonl:2: line is not an object. A row is an object such as"),
        ('[{"id": 1}]', "Is it one JSON document? JSON Lines holds an object per line."),
        ('{"ID": 1}', "d.jsonl:2: row has no key. The row has no field 'id'. Did you mean 'ID'?"),
        ('{"id": null}', "d.jsonl:2: row has no key. 'id' is empty"),
        ('{"id": ""}', "d.jsonl:2: row has no key. 'id' is empty"),
        ('{"id": 1.5}', "'id' must be a text or a whole number; got 1.5."),
        ('{"id": true}', "'id' must be a text or a whole number; got True."),
        ('{"id": [1]}', "'id' must be a text or a whole number; got [1]."),
    ],
)
def test_a_bad_jsonl_line_is_told_and_the_others_go_on(
    tmp_path: Path, line: str | bytes, told: str | None
) -> None:
    raw = line if isinstance(line, bytes) else line.encode()
    good, bad = read_lines(tmp_path, b'{"id": 0}\n' + raw + b'\n{"id": 9}', key="id")
    assert [row.key for row in good] == ["0", "9"]
    assert [told in found for found in bad] == ([] if told is None else [True])  # type: ignore[operator]


def test_the_first_row_decides_where_the_key_is(tmp_path: Path) -> None:
    good, bad = read_lines(tmp_path, '{"id": 1}\n{"key": "b"}\n{"key": "c", "id": 3}')
    assert [row.key for row in good] == ["1", "3"]
    assert bad == ["d.jsonl:2: row has no key. The row has no field 'id'. Known: key."]


@pytest.mark.parametrize("source", [rows.csv("no.csv"), rows.jsonl("no.jsonl"), rows.csv(".")])
def test_a_file_that_cannot_be_read_is_told_where_it_is_named(
    tmp_path: Path, source: rows.Csv | rows.Jsonl
) -> None:
    (line,) = read(source, tmp_path)[1]
    assert line.startswith(f"{source.source}: data file cannot be read. {source.path}: ")
    assert str(tmp_path) in line
    assert "Paths are relative to the project's folder." in line


def test_files_are_rows(tmp_path: Path) -> None:
    for name, text in {
        "docs/b.md": "B",
        "docs/sub/a.md": "\ufeffA",
        "docs/.hidden.md": "H",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    good, _ = read(rows.files("docs/**/*.md"), tmp_path)
    assert good == [
        SourceRow(
            "docs/b.md", {"path": "docs/b.md", "name": "b.md", "text": "B"}, None, "docs/b.md"
        ),
        SourceRow(
            "docs/sub/a.md",
            {"path": "docs/sub/a.md", "name": "a.md", "text": "A"},
            None,
            "docs/sub/a.md",
        ),
    ]
    assert [row.key for row in read(rows.files("docs/**/*.md", key="name"), tmp_path)[0]] == [
        "b.md",
        "a.md",
    ]


def test_files_that_are_no_text_or_do_not_exist_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xff")
    assert read(rows.files("*.txt"), tmp_path)[1][0].startswith("a.txt: not valid utf-8.")
    (line,) = read(rows.files("*.md"), tmp_path)[1]
    assert "no file matches. '*.md' matches nothing in" in line


@dataclass
class Point:
    id: int
    when: date


class Model(BaseModel):
    key: str


def test_values_of_python_become_json_values() -> None:
    given = [
        {"id": 1, "when": date(2026, 1, 2), "amount": Decimal("1.10"), "nan": float("nan")},
        {"id": 2, "tags": ("a", "b")},
    ]
    good, bad = read(rows.iterable(lambda: given))
    assert bad == []
    assert good == [
        SourceRow("1", {"id": 1, "when": "2026-01-02", "amount": "1.10", "nan": None}, 1),
        SourceRow("2", {"id": 2, "tags": ["a", "b"]}, 2),
    ]
    assert read(rows.inline(given))[0] == good


def test_dataclasses_and_models_are_rows() -> None:
    assert read(rows.iterable(lambda: [Point(1, date(2026, 1, 2))]))[0][0].data == {
        "id": 1,
        "when": "2026-01-02",
    }
    assert read(rows.iterable(lambda: [Model(key="a")]))[0][0].key == "a"


def broken() -> Iterator[dict[str, Any]]:
    yield {"id": 1}
    raise RuntimeError("gone")


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (rows.inline([{"x": 1}]), "row has no key. Row 1: No field is called key or id"),
        (rows.iterable(lambda: [3]), "row is not a mapping. Row 1 must be a dict, dataclass"),
        (rows.iterable(lambda: None), "rows.iterable got no rows. The function must give rows"),  # type: ignore[arg-type, return-value]
        (rows.iterable(lambda: "abc"), "it gave str."),
        (rows.iterable(lambda: [{"id": 1, "x": object()}]), "row is not JSON. Row 1: "),
        (rows.iterable(broken), "reading rows failed. RuntimeError: gone."),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_rows_of_python_that_are_none_are_told(source: PlainSource, told: str) -> None:
    (line,) = read(source)[1]
    assert told in line


def test_an_exception_names_the_users_line() -> None:
    good, (line,) = read(rows.iterable(broken))
    assert len(good) == 1
    assert line.startswith(f"{__file__}:{broken.__code__.co_firstlineno + 2}: ")


def test_reading_streams() -> None:
    seen: list[int] = []

    def source() -> Iterator[dict[str, Any]]:
        for number in range(1000):
            seen.append(number)
            yield {"id": number}

    next(read_rows(rows.iterable(source), Path()))
    assert seen == [0]


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (
            duplicate_key("a.b", "k", 2, 7, "d.csv"),
            "d.csv:7: a.b: key is not unique. 'k' is the key of a row in line 2. Keys identify",
        ),
        (
            duplicate_key("a.b", "k", 2, 7, None),
            "a.b: key is not unique. 'k' is the key of a row in row 2 and again in row 7. Keys",
        ),
        (duplicate_key("a.b", "k", None, None, None), "'k' is the key of a row before. Keys"),
    ],
    ids=str,
)
def test_a_double_key_is_told_with_both_lines(found: Diagnostic, told: str) -> None:
    assert told in str(found)


cell = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@given(st.lists(st.tuples(cell, cell), min_size=1))
def test_whatever_csv_writes_is_read(tmp_path_factory: pytest.TempPathFactory, cells: Any) -> None:
    import csv  # noqa: PLC0415

    root = tmp_path_factory.mktemp("csv")
    with (root / "d.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerow(["id", "a", "b"])
        writer.writerows([number, *pair] for number, pair in enumerate(cells))
    good, bad = read(rows.csv("d.csv", key="id"), root)
    assert bad == []
    assert [(row.data["a"], row.data["b"]) for row in good] == cells


def test_a_pattern_is_spelled_in_several_ways_and_the_keys_are_the_same(tmp_path: Path) -> None:
    for name in ("data/a.txt", "data/deep/b.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    found = [
        [row.key for row in read_rows(rows.files(pattern), tmp_path) if isinstance(row, SourceRow)]
        for pattern in ("data/**/*.txt", "./data/**/*.txt", "data//**/*.txt")
    ]
    assert found == [["data/a.txt", "data/deep/b.txt"]] * 3
