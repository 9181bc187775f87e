"""Vectors as files: npy and Parquet are what NumPy and polars read, and hold every bit."""

import io
import json
import math
import subprocess
import sys
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from batchspec.errors import BatchspecError, UsageError
from batchspec.results import npy, parquet
from batchspec.results.export import Exported
from batchspec.results.npy import export_npy, keys_file
from batchspec.results.parquet import export_parquet
from results.answered import Answered


def vector(*numbers: float) -> bytes:
    return array("f", numbers).tobytes()


def item(key: str, *numbers: float, **more: Any) -> Answered:
    """Return an item with a vector, as 32-bit floats round it."""
    packed = vector(*numbers) if numbers else None
    output = list(array("f", numbers)) if numbers else None
    outcome = "succeeded" if numbers else "failed"
    return Answered(key=key, output=output, packed=packed, outcome=outcome, **more)


def written(*items: Answered) -> tuple[Any, list[dict[str, Any]], Exported]:
    file, keys = io.BytesIO(), io.BytesIO()
    exported = export_npy(iter(items), file, keys)
    file.seek(0)
    lines = [json.loads(line) for line in keys.getvalue().splitlines()]
    return np.load(file), lines, exported


def frame(*items: Answered) -> pl.DataFrame:
    file = io.BytesIO()
    exported = export_parquet(lambda: iter(items), file)
    assert exported.items == len(items)
    file.seek(0)
    return pl.read_parquet(file)


# --- npy


@given(
    arrays(
        np.float32,
        st.tuples(st.integers(1, 7), st.integers(1, 5)),
        elements=st.floats(width=32, allow_nan=False),
    )
)
def test_a_matrix_is_read_as_it_was_kept(matrix: "np.ndarray[Any, np.dtype[np.float32]]") -> None:
    items = [item(f"k{n}", *row.tolist()) for n, row in enumerate(matrix)]
    found, keys, exported = written(*items)
    assert found.dtype == np.float32
    assert found.tobytes() == matrix.tobytes()
    assert found.shape == matrix.shape
    assert keys == [{"row": n, "key": f"k{n}"} for n in range(len(matrix))]
    assert (exported.items, exported.without) == (len(matrix), 0)


def test_a_file_can_be_mapped_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is also the same where the vectors do not fit the buffer, and keys may be any text."""
    monkeypatch.setattr(npy, "_CHUNK", 16)
    path = tmp_path / "v.npy"
    with path.open("wb") as file, keys_file(path).open("wb") as keys:
        export_npy((item(f'"{n}\n', n, -n) for n in range(50)), file, keys)
    found = np.load(path, mmap_mode="r")
    assert found.tolist() == [[n, -n] for n in range(50)]
    lines = keys_file(path).read_text().splitlines()
    assert [json.loads(line)["key"] for line in lines] == [f'"{n}\n' for n in range(50)]
    assert keys_file(path).name == "v.npy.keys.jsonl"


def test_items_without_a_vector_are_left_out_and_counted() -> None:
    found, keys, exported = written(item("a", 1, 2), item("b"), item("c", 3, 4))
    assert found.tolist() == [[1, 2], [3, 4]]
    assert [line["key"] for line in keys] == ["a", "c"]
    assert (exported.items, exported.without) == (2, 1)


def test_vectors_of_two_lengths_are_no_matrix() -> None:
    with pytest.raises(BatchspecError, match=r'triage\["b"\] has 1 components, and those'):
        written(item("a", 1, 2), item("b", 3))


def test_texts_are_no_matrix() -> None:
    with pytest.raises(UsageError, match="There is no vector to write"):
        written(Answered(key="a", output="text"))


def test_a_pipe_gets_no_matrix() -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    with pytest.raises(UsageError, match="give a file, not a pipe"):
        export_npy(iter([item("a", 1)]), Pipe(), io.BytesIO())


# --- parquet


def test_vectors_are_arrays_of_floats() -> None:
    found = frame(item("a", 0.1, 2, row={"text": "x"}), item("b", row={"text": "y"}))
    assert found.schema["output"] == pl.Array(pl.Float32, 2)
    assert found["output"].to_list() == [list(array("f", [0.1, 2])), None]
    assert found["row.text"].to_list() == ["x", "y"]
    assert found["outcome"].to_list() == ["succeeded", "failed"]
    assert found["input_tokens"].to_list() == [10, 10]
    assert found["cost_usd"].to_list() == [0.0000042] * 2
    names = ["key", "row.text", "output", "outcome", "reason", "input_tokens", "output_tokens"]
    assert found.columns == [*names, "cost_usd", "turns", "grade"]


def test_vectors_of_two_lengths_are_lists() -> None:
    found = frame(item("a", 1, 2), item("b", 3), item("c"))
    assert found.schema["output"] == pl.List(pl.Float32)
    assert found["output"].to_list() == [[1, 2], [3], None]


@pytest.mark.parametrize(
    ("values", "dtype", "kept"),
    [
        ([1, None, 2], pl.Int64, [1, None, 2]),
        ([1, 2.5], pl.Float64, [1.0, 2.5]),
        ([True, False], pl.Boolean, [True, False]),
        (["a", "é\n"], pl.String, ["a", "é\n"]),
        ([None, None], pl.String, [None, None]),
        (["a", 1, None], pl.String, ["a", "1", None]),
        ([True, 1], pl.String, ["true", "1"]),
        ([[1], {"a": 2}], pl.String, ["[1]", '{"a":2}']),
        ([2**63, 1], pl.String, [str(2**63), "1"]),
        ([-(2**63), 2**63 - 1], pl.Int64, [-(2**63), 2**63 - 1]),
    ],
)
def test_a_column_has_the_type_of_its_values(values: list[Any], dtype: Any, kept: Any) -> None:
    found = frame(*(Answered(key=str(n), row={"v": v}) for n, v in enumerate(values)))
    assert found.schema["row.v"] == dtype
    assert found["row.v"].to_list() == kept


def test_objects_have_a_column_for_each_field() -> None:
    found = frame(
        Answered(key="a", output={"queue": "bug", "urgency": 5}),
        Answered(key="b", output={"queue": "bill", "more": [1]}),
        Answered(key="c", output=None, outcome="refused", reason="no"),
    )
    assert found["output.queue"].to_list() == ["bug", "bill", None]
    assert found["output.urgency"].to_list() == [5, None, None]
    assert found["output.more"].to_list() == [None, "[1]", None]
    assert found["reason"].to_list() == [None, None, "no"]
    assert "output" not in found.columns


def test_a_text_and_objects_have_both() -> None:
    found = frame(Answered(key="a", output="text"), Answered(key="b", output={"x": 1}))
    assert found["output"].to_list() == ["text", None]
    assert found["output.x"].to_list() == [None, 1]


def test_no_items_are_an_empty_table() -> None:
    found = frame()
    assert found.columns[:2] == ["key", "output"]
    assert found.height == 0


def test_items_are_written_in_row_groups_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "_CHUNK", 7)
    monkeypatch.setattr(parquet, "_GROUP", 80)
    monkeypatch.setattr(parquet, "_ROWS", 10)
    found = frame(*(item(str(n), n, math.pi) for n in range(100)))
    assert found["key"].to_list() == [str(n) for n in range(100)]
    assert found["output"].to_list() == [[n, float(np.float32(math.pi))] for n in range(100)]
    texts = frame(*(Answered(key=str(n), output=str(n)) for n in range(100)))
    assert texts["output"].to_list() == texts["key"].to_list()


def test_columns_that_come_in_between_are_told() -> None:
    turns: Iterator[list[Answered]] = iter(
        [[item("a", 1, 2)], [item("a", 1, 2, row={"new": 1}), item("b", 1)]]
    )
    file = io.BytesIO()
    exported = export_parquet(lambda: iter(next(turns)), file)
    assert exported.left_out == {"row.new", "output"}
    file.seek(0)
    assert pl.read_parquet(file)["output"].to_list() == [[1, 2], None]


def test_values_that_became_something_else_in_between_are_told() -> None:
    turns = iter([[Answered(key="a", row={"v": 1})], [Answered(key="a", row={"v": "one"})]])
    exported = export_parquet(lambda: iter(next(turns)), io.BytesIO())
    assert exported.left_out == {"row.v"}


def test_what_reading_the_items_raises_comes_through() -> None:
    def items() -> Iterator[Answered]:
        yield item("a", 1)
        raise BatchspecError("the state is gone")

    with pytest.raises(BatchspecError, match="the state is gone"):
        export_parquet(items, io.BytesIO())
    turns = iter([iter([item("a", 1)]), items()])
    with pytest.raises(BatchspecError, match="the state is gone"):
        export_parquet(lambda: next(turns), io.BytesIO())


@pytest.mark.parametrize("missing", ["polars", "numpy"])
def test_a_missing_extra_is_a_sentence(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(UsageError, match=rf"{missing} is not installed.*batchspec\[data\]"):
        export_parquet(lambda: iter([]), io.BytesIO())


def test_neither_extra_is_loaded_before_it_is_needed() -> None:
    code = (
        "import sys, batchspec.cli.main, batchspec.cli.results, batchspec.results.npy;"
        "print({'polars', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_column_of_json_has_none_of_what_json_does_not_have() -> None:
    deep = {"x": [float("nan"), float("inf"), 1.5]}
    found = frame(
        Answered(key="a", output={"deep": deep, "x": float("nan"), "any": float("nan")}),
        Answered(key="b", output={"deep": None, "x": 1.5, "any": "text"}),
    )
    assert found["output.deep"].to_list() == ['{"x":[null,null,1.5]}', None]
    assert found["output.any"].to_list() == ["null", "text"]
    assert str(found["output.x"].to_list()) == "[nan, 1.5]"
