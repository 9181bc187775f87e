"""Where the rows of a job come from: `from batchspec import rows`.

Each function returns a description; nothing is read here. Every source takes `key`, the name of
the field that identifies a row. Without it the field `key` is used, or else `id`, whichever the
first row has.
"""

import codecs
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike, fsencode, fspath
from typing import TYPE_CHECKING, Any, Protocol

from batchspec.errors import Diagnostic, Source, SpecError
from batchspec.spec.origin import call_site
from batchspec.spec.shapes import is_mapping, is_rows

if TYPE_CHECKING:
    from batchspec.spec.job import Job

KEY_FIELDS = ("key", "id")
"""Fields that may hold the key when a source names none."""
FILE_FIELDS = ("path", "name", "text")
"""Fields of a row of `files`."""
OUTPUT_FIELDS = ("key", "row", "output")
"""Fields of a row of `outputs_of`."""
MEMBER_FIELDS = ("variant", "sample")
"""Further fields of a row of `outputs_of`, and of the items of `collect`, where the other job has
variants or samples."""
COLLECT_FIELDS = ("key", "items", "outputs", "count")
"""Fields of the one row of `collect`."""


class DatabaseUrl(Protocol):
    """A `sqlalchemy.URL`."""

    def render_as_string(self, hide_password: bool) -> str:  # noqa: FBT001 - as SQLAlchemy has it
        """Return the URL as text."""
        ...


Where = Callable[[Any], bool]
"""Decides which answered items count; gets `{"key", "row", "output"}`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inline:
    """Rows written in the spec."""

    data: tuple[Mapping[str, Any], ...]
    key: str | None = None
    source: Source = field(default_factory=call_site, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Jsonl:
    """A file of JSON objects, one a line."""

    path: str
    key: str | None = None
    source: Source = field(default_factory=call_site, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Csv:
    """A table with a header line; every value is a string."""

    path: str
    key: str | None = None
    delimiter: str = ","
    encoding: str = "utf-8"
    source: Source = field(default_factory=call_site, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parquet:
    """A Parquet file; values have the types of their columns."""

    file: str
    key: str | None = None
    source: Source = field(default_factory=call_site, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """A row per file: `path` (relative to the project), `name` and, if wanted, `text`."""

    pattern: str
    key: str | None = "path"
    encoding: str = "utf-8"
    text: bool = True
    source: Source = field(default_factory=call_site, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sql:
    """What a database answers to a query; the URL, which may hold a password, is in no `repr`."""

    url: str = field(repr=False)
    query: str
    params: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    key: str | None = None
    source: Source = field(default_factory=call_site, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class FromCallable:
    """Rows a function yields; it is called anew for every pass."""

    function: Callable[[], Iterable[Any]]
    key: str | None = None
    source: Source = field(default_factory=call_site, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputsOf:
    """A row per answered item of another job; `eager`: each as soon as it is answered."""

    job: "Job | str"
    where: Where | None = None
    eager: bool = False
    source: Source = field(default_factory=call_site, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Collect:
    """One row that holds all answers of another job."""

    job: "Job | str"
    where: Where | None = None
    source: Source = field(default_factory=call_site, compare=False)


JUDGED = OutputsOf(job="", source=Source("<judge>"))
"""Of a job without rows, which grades another one: it gets the answers of that one."""
PlainSource = Inline | Jsonl | Csv | Parquet | Files | Sql | FromCallable
"""Sources that can be read without knowing any answer."""
DerivedSource = OutputsOf | Collect
"""Sources made of the answers of another job."""
RowSource = PlainSource | DerivedSource


def inline(data: Sequence[Mapping[str, Any]], *, key: str | None = None) -> Inline:
    """Return rows written in the spec, a mapping each."""
    if not is_rows(data):
        raise _wrong("`rows.inline` takes a list of mappings", data)
    rows = tuple(data)
    for number, row in enumerate(rows, 1):
        if not is_mapping(row):
            raise _wrong(f"`rows.inline` takes a list of mappings; row {number} is none", row)
    return Inline(data=rows, key=_key(key))


def jsonl(path: str | PathLike[str], *, key: str | None = None) -> Jsonl:
    """Return the rows of a JSON Lines file, an object a line.

    Args:
        path: Relative to the project's folder, the one that holds `specs/`.
        key: The field that identifies a row.
    """
    return Jsonl(path=_path("jsonl", path), key=_key(key))


def csv(
    path: str | PathLike[str],
    *,
    key: str | None = None,
    delimiter: str = ",",
    encoding: str = "utf-8",
) -> Csv:
    """Return the rows of a CSV file with a header line; values stay strings.

    Args:
        path: Relative to the project's folder, the one that holds `specs/`.
        key: The column that identifies a row.
        delimiter: One character.
        encoding: Any that keeps ASCII as it is, for example `cp1252`.
    """
    if len(delimiter) != 1:
        raise _wrong("`delimiter` must be one character", delimiter)
    return Csv(
        path=_path("csv", path), key=_key(key), delimiter=delimiter, encoding=_encoding(encoding)
    )


def parquet(path: str | PathLike[str], *, key: str | None = None) -> Parquet:
    """Return the rows of a Parquet file; needs the extra `data`.

    Values become JSON values as those of `iterable` do: a date is its ISO text, NaN is null.

    Args:
        path: Relative to the project's folder, the one that holds `specs/`.
        key: The column that identifies a row.
    """
    return Parquet(file=_path("parquet", path), key=_key(key))


def files(
    pattern: str, *, key: str | None = "path", encoding: str = "utf-8", text: bool = True
) -> Files:
    """Return a row per file that matches a glob: `path`, `name` and `text`.

    Args:
        pattern: Relative to the project's folder; `**` matches folders at any depth. Hidden files
            are left out.
        key: `path` (unique by nature) or `name`.
        encoding: Of all files.
        text: Whether they are read; False for images and other files that are no texts.
    """
    if key not in FILE_FIELDS[: 3 if text else 2]:
        raise _wrong('`key` of `rows.files` is "path" or "name"', key)
    return Files(pattern=_path("files", pattern), key=key, encoding=_encoding(encoding), text=text)


def sql(
    url: str | DatabaseUrl,
    query: str,
    *,
    key: str | None = None,
    params: Mapping[str, Any] | None = None,
) -> Sql:
    """Return the rows a query gives, by the names of its columns; needs the extra `sql`.

    Values become JSON values as those of `iterable` do; times with a zone are told in UTC, and
    bytes are refused. The query runs whenever rows are needed, its transaction is rolled back, and
    PostgreSQL and SQLite are asked to refuse what writes.

    Args:
        url: Of the database, as SQLAlchemy writes it: `postgresql+psycopg://user:password@host/db`,
            or a `sqlalchemy.URL`. The path in `sqlite:///data/shop.db` is relative to the
            project's folder. It reaches no state, plan or message; take it from `os.environ`.
        query: One statement; `:name` in it stands for a value of `params`.
        key: The column that identifies a row.
        params: From the names in the query to values.
    """
    text = url if isinstance(url, str) else _rendered(url)
    if not _is_text(query):
        raise _wrong("`rows.sql` takes a query as second argument", query)
    given: Any = {} if params is None else params
    if not is_mapping(given) or not all(isinstance(name, str) for name in given):
        raise _wrong('`params` is a mapping such as {"since": "2026-01-01"}', type(params).__name__)
    return Sql(url=text, query=query, params=dict(given), key=_key(key))


def iterable(function: Callable[[], Iterable[Any]], *, key: str | None = None) -> FromCallable:
    """Return the rows a function yields: mappings, dataclasses or Pydantic models.

    Values become JSON values, as if they had been read from a file: a date is its ISO text, a
    `Decimal` its digits, NaN is null. The function is called anew whenever rows are needed, and
    must give the same rows each time.
    """
    if not callable(function):
        raise _wrong(
            "`rows.iterable` takes a function without parameters, because rows are read more than"
            " once. Write `lambda: …`, or use `rows.inline` for a list",
            function,
        )
    return FromCallable(function=function, key=_key(key))


def outputs_of(job: "Job | str", where: Where | None = None, *, eager: bool = False) -> OutputsOf:
    """Return a row `{"key", "row", "output"}` per answered item of another job.

    Args:
        job: The other job, or its address where importing it would go in circles.
        where: Keeps a row when it returns true for it.
        eager: Send rows on as answers come in, instead of all once the last one is in.
    """
    return OutputsOf(job=_upstream("outputs_of", job), where=where, eager=_flag("eager", eager))


def collect(job: "Job | str", where: Where | None = None, *, eager: bool = False) -> Collect:
    """Return one row, `{"key": "all", "items", "outputs", "count"}`, of all answers of another job.

    Args:
        job: The other job, or its address where importing it would go in circles.
        where: Keeps an item when it returns true for its `{"key", "row", "output"}`.
        eager: Is refused: the one row needs every answer.
    """
    if eager is not False:
        raise _wrong(
            "`rows.collect` cannot be `eager`: its one row holds all answers, so that it waits for"
            " the last one. `rows.outputs_of` can",
            eager,
        )
    return Collect(job=_upstream("collect", job), where=where)


def known_fields(source: RowSource) -> tuple[str, ...] | None:
    """Return the fields of every row where the kind of source fixes them."""
    match source:
        case Files(text=text):
            return FILE_FIELDS if text else FILE_FIELDS[:2]
        case OutputsOf():
            return OUTPUT_FIELDS
        case Collect():
            return COLLECT_FIELDS
        case _:
            return None


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _rendered(url: Any) -> str:
    """Return a `sqlalchemy.URL` as text, with its password; what is wrong is not repeated."""
    render = getattr(url, "render_as_string", None)
    if callable(render):
        return str(render(hide_password=False))
    summary = "`rows.sql` takes the URL of a database"
    hint = " Is the environment variable set?" if url is None else ""
    like = "One is like postgresql+psycopg://user:password@host/db"
    # What was given instead is not shown: it may hold the password all the same.
    detail = f"{like}; got {type(url).__name__}.{hint}"
    raise SpecError([Diagnostic(summary=summary, detail=detail, source=call_site())])


def _upstream(function: str, job: Any) -> Any:
    # Late: a Job holds rows, and rows hold a Job.
    from batchspec.spec.job import Job  # noqa: PLC0415

    if not isinstance(job, Job | str):
        raise _wrong(f"`rows.{function}` takes a Job or its address", job)
    return job


def _path(function: str, path: str | PathLike[str]) -> str:
    try:
        text: Any = fspath(path)
    except TypeError:
        text = ""
    if not isinstance(text, str) or not text:
        raise _wrong(f"`rows.{function}` takes a path", path)
    try:
        unnamed = b"\0" in fsencode(text)
    except UnicodeError:
        unnamed = True
    if unnamed:
        raise _wrong(f"`rows.{function}` takes a path, and no file can be called so", path)
    return text


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _wrong(f"`{name}` is True or False", value)
    return value


def _key(key: Any) -> str | None:
    if key is not None and (not isinstance(key, str) or not key):
        raise _wrong("`key` is the name of the field that identifies a row", key)
    return key


def _encoding(name: str) -> str:
    try:
        plain = codecs.lookup(name).name == "utf-8-sig" or "\n,".encode(name) == b"\n,"
    except (LookupError, UnicodeError):
        plain = False
    if not plain:
        raise _wrong("`encoding` must be a text encoding that keeps ASCII, like utf-8", name)
    return name


def _wrong(summary: str, got: object) -> SpecError:
    where = call_site()
    return SpecError([Diagnostic(summary=summary, detail=f"Got {got!r:.200}.", source=where)])
