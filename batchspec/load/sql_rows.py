"""Reading what a database answers to a query, with SQLAlchemy, some rows at a time.

Only this file imports SQLAlchemy. What is told of a database never holds its password: messages of
drivers are looked through, and of a URL all is left out that may hold one.
"""

import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic_core import PydanticSerializationError, from_json, to_json
from sqlalchemy import (
    URL,
    Connection,
    CursorResult,
    Engine,
    NullPool,
    TextClause,
    create_engine,
    make_url,
    text,
)
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from batchspec.load.tables import TableInvalid
from batchspec.redaction import redacted
from batchspec.spec.rows import Sql
from batchspec.spec.shapes import is_list
from batchspec.spec.suggest import did_you_mean

# Without a handler Python writes to stderr what closing a broken cursor raised.
logging.getLogger("sqlalchemy").addHandler(logging.NullHandler())

_CHUNK = 1000
"""Rows that are held at once."""
_PLAIN = frozenset({str, int, bool, type(None)})
"""Types of values that are JSON as they are; a float may be NaN."""
_INSTALL = {
    "psycopg": "pip install 'psycopg[binary]'",
    "psycopg2": "pip install psycopg2-binary",
    "MySQLdb": "pip install mysqlclient",
}
"""How a driver is installed whose package has another name."""


def query_rows(source: Sql, root: Path) -> Iterator[dict[str, Any] | str]:
    """Yield the rows of a query as JSON values by column, or why a row cannot be one.

    Nothing is committed: the transaction is rolled back and the connection closed, also when the
    reader stops before the end.

    Raises:
        TableInvalid: The database or the query cannot be read.
    """
    url = _url(source.url)
    statement = _statement(source)
    seen = 0
    with _connect(_engine(url, root), url) as connection:
        try:
            result = connection.execute(statement, dict(source.params))
            names = _names(result)
            for chunk in result.partitions(_CHUNK):
                for row in chunk:
                    seen += 1
                    yield _json(names, tuple(row))
        except TableInvalid:
            raise
        except Exception as error:  # a driver may raise anything
            after = f" after row {seen}" if seen else ""
            raise TableInvalid(f"query failed{after}", _said(error, url)) from error


def _url(given: str) -> URL:
    try:
        return make_url(given)
    except (ArgumentError, ValueError) as error:
        raise TableInvalid(
            "the URL of the database cannot be read",
            "One is like postgresql+psycopg://user:password@host/db or sqlite:///data/shop.db;"
            " what is special in a password is written with %: p%40ss for p@ss. (It is not shown"
            " here, because it may hold a password.)",
        ) from error


def _statement(source: Sql) -> TextClause:
    """Return the query, whose parameters all have values."""
    statement = text(source.query)
    wanted, given = set(statement.compile().params), set(source.params)
    for name in sorted(wanted - given):
        raise TableInvalid(
            "parameter of the query has no value",
            f"The query has :{name}, `params` does not. Where it is no parameter, write it with a"
            rf" backslash: \:{name}.",
        )
    for name in sorted(given - wanted):
        raise TableInvalid(
            "parameter is not in the query",
            f"`params` has {name!r}, the query has no :{name}. {did_you_mean(name, wanted)}",
        )
    return statement


def _engine(url: URL, root: Path) -> Engine:
    if url.get_backend_name() == "sqlite":
        url = _read_only_file(url, root)
    try:
        engine = create_engine(url, poolclass=NullPool, hide_parameters=True)
    except NoSuchModuleError as error:
        raise TableInvalid(
            "kind of database is not known",
            f"No dialect of SQLAlchemy is called {url.drivername!r}; is the package that has it"
            " installed?",
        ) from error
    except ImportError as error:
        name = error.name or url.get_driver_name()
        install = _INSTALL.get(name, f"pip install {name}")
        raise TableInvalid(
            "driver of the database is missing",
            f"{url.drivername} needs {name}, which cannot be imported: `{install}`.",
        ) from error
    except (SQLAlchemyError, TypeError, ValueError) as error:
        raise TableInvalid("database cannot be opened", _said(error, url)) from error
    if engine.dialect.is_async:
        raise TableInvalid(
            "driver of the database is asynchronous",
            f"{url.drivername} waits in an event loop, and rows are read without one: choose"
            " another driver, such as postgresql+psycopg.",
        )
    return engine


def _read_only_file(url: URL, root: Path) -> URL:
    """Return the URL of a SQLite file, in the project's folder, that is opened for reading only.

    SQLite would make a file that is not there.
    """
    name = url.database
    if not name or name == ":memory:" or name.startswith("file:"):
        return url
    path = (root / name).absolute()
    try:
        path.open("rb").close()
    except OSError as error:
        raise TableInvalid(
            "database cannot be opened",
            f"{name}: {(error.strerror or str(error)).lower()} (looked for {path}). Paths are"
            " relative to the project's folder.",
        ) from error
    return url.set(database=path.as_uri()).update_query_dict({"mode": "ro", "uri": "true"})


def _connect(engine: Engine, url: URL) -> Connection:
    try:
        # Dialects do not look at options of others.
        return engine.connect().execution_options(stream_results=True, postgresql_readonly=True)
    except Exception as error:  # a driver may raise anything
        raise TableInvalid(
            "database cannot be opened", f"{_shown(url)}: {_said(error, url)}"
        ) from error


def _names(result: CursorResult[Any]) -> list[str]:
    if not result.returns_rows:
        raise TableInvalid("query gives no rows", "It has to be one that reads: SELECT …")
    columns = list(result.keys())
    doubled = next((name for name in columns if columns.count(name) > 1), None)
    if doubled is not None:
        raise TableInvalid(
            "column name is not unique",
            f"Two columns of the query are called {doubled!r}; give one another name with AS.",
        )
    return columns


def _json(names: list[str], values: tuple[Any, ...]) -> dict[str, Any] | str:
    if _PLAIN.issuperset(map(type, values)):
        return dict(zip(names, values, strict=True))
    row: dict[str, Any] = {}
    for name, value in zip(names, values, strict=True):
        if type(value) in _PLAIN:
            row[name] = value
            continue
        try:
            row[name] = from_json(to_json(_plain(value), inf_nan_mode="null"))
        except (PydanticSerializationError, TypeError, ValueError):
            return _no_json(name, value)
    return row


def _no_json(name: str, value: Any) -> str:
    kind, cast = f"a {type(value).__name__}", f"CAST({name} AS TEXT)"
    if _is_bytes(value):
        kind = "bytes"
        cast = f"encode({name}, 'base64') in PostgreSQL, hex({name}) in SQLite"
    return (
        f"column {name!r} holds {kind}, which JSON cannot. Leave it out of the query, or make a"
        f" text of it there: {cast}."
    )


def _plain(value: Any) -> Any:
    if _is_bytes(value):
        raise TypeError
    if is_list(value):
        return [_plain(item) for item in value]
    if isinstance(value, datetime) and value.utcoffset() is not None:
        # The zone is that of the session, so the same moment would be another request elsewhere.
        return value.astimezone(UTC)
    return value


def _is_bytes(value: Any) -> bool:
    return isinstance(value, bytes | bytearray | memoryview)


def _shown(url: URL) -> str:
    """Return a URL without its password, and without its query, which may hold another."""
    return url.set(query={}).render_as_string(hide_password=True)


def _said(error: Exception, url: URL) -> str:
    """Return what a driver said in one line, without the password."""
    said = str(error.orig) if isinstance(error, DBAPIError) else str(error)
    kept = [line for line in said.splitlines() if not re.fullmatch(r"LINE \d+:.*|[\s^]*", line)]
    told = re.sub(r"[\s.]*HINT: ", ". ", " ".join(" ".join(kept).split())).rstrip(".")
    for secret in (url.password, *_secret_values(url)):
        if secret:
            told = told.replace(str(secret), "***")
    told = redacted(told)[:600] or type(error).__name__
    return told if told.endswith("?") else f"{told}."


def _secret_values(url: URL) -> Iterator[str]:
    for name, value in url.query.items():
        if re.search("pass|pwd|secret|token|key|odbc", name, re.IGNORECASE):
            yield from (value,) if isinstance(value, str) else value
