"""Reading Parquet with polars, a few rows at a time."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_CHUNK = 5000
"""Rows that are held at once."""


class TableInvalid(Exception):  # noqa: N818 - reads as what is said
    """A table cannot be read.

    Attributes:
        summary: What is wrong.
        detail: Why, and what to do.
    """

    def __init__(self, summary: str, detail: str) -> None:
        super().__init__(detail)
        self.summary = summary
        self.detail = detail


def table_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a Parquet file, a value for each column.

    Raises:
        TableInvalid: It is no Parquet, or polars is not installed.
        OSError: There is no such file.
    """
    try:
        polars: Any = importlib.import_module("polars")
    except ImportError as error:
        raise TableInvalid(
            "an extra is missing",
            "`rows.parquet` reads with polars, which is not installed: `pip install"
            " 'batchspec[data]'`.",
        ) from error
    path.open("rb").close()  # polars would take a folder, and expand a `*`
    try:
        scan = polars.scan_parquet(path, glob=False)
        for frame in scan.collect_batches(
            chunk_size=_CHUNK, maintain_order=True, lazy=True, engine="streaming"
        ):
            yield from frame.iter_rows(named=True)
    except polars.exceptions.PolarsError as error:
        said = str(error).partition("\n")[0].rstrip(".")
        raise TableInvalid("file is not Parquet", f"{path.name}: {said}.") from error
