"""Rows of a database: values, what is wrong with a query, and a password nobody is told."""

import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from worlds import World

from batchspec.desired.expand import SourceRow
from batchspec.errors import Diagnostic, SpecError
from batchspec.load.rows import read_rows
from batchspec.plan.changes import Kind
from batchspec.redaction import redacted
from batchspec.spec import rows

sqlalchemy = pytest.importorskip("sqlalchemy")
sql_rows = pytest.importorskip("batchspec.load.sql_rows")

SECRET = "hunter2-and-more"
URL = "sqlite:///shop.db"


def database(folder: Path, *statements: str) -> None:
    """Run statements in `shop.db`."""
    with closing(sqlite3.connect(folder / "shop.db")) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def read(folder: Path, query: str, url: str = URL, **more: Any) -> tuple[list[SourceRow], str]:
    found = list(read_rows(rows.sql(url, query, **more), folder))
    good = [row for row in found if isinstance(row, SourceRow)]
    return good, "\n".join(str(row) for row in found if isinstance(row, Diagnostic))


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder with a database of three tickets."""
    database(
        tmp_path,
        "create table tickets (id integer, body text, price real, note text)",
        "insert into tickets values (1, 'late', 1.5, null), (2, 'lost', null, 'x'),"
        " (3, 'torn', 9e999, 'y')",
    )
    return tmp_path


def test_rows_have_the_names_of_columns_and_json_values(shop: Path) -> None:
    good, bad = read(shop, "select * from tickets order by id")
    assert good == [
        SourceRow("1", {"id": 1, "body": "late", "price": 1.5, "note": None}, 1),
        SourceRow("2", {"id": 2, "body": "lost", "price": None, "note": "x"}, 2),
        SourceRow("3", {"id": 3, "body": "torn", "price": None, "note": "y"}, 3),
    ]
    assert bad == ""


def test_a_query_has_parameters_and_a_key(shop: Path) -> None:
    query = r"select body, id as n from tickets where id > :least and '\:x' <> body"
    good, bad = read(shop, query, key="body", params={"least": 1})
    assert ([row.key for row in good], bad) == (["lost", "torn"], "")
    assert ":least, `params` does not" in read(shop, query)[1]
    told = read(shop, query, params={"least": 1, "leest": 1})[1]
    assert "no :leest. Did you mean 'least'?" in told


def test_the_path_of_a_sqlite_file_may_be_absolute_or_have_options(shop: Path) -> None:
    for url in (f"sqlite+pysqlite:///{shop}/shop.db", f"{URL}?timeout=1"):
        good, bad = read(shop, "select id from tickets", url)
        assert (len(good), bad) == (3, "")


def test_values_of_drivers_become_json_values() -> None:
    """SQLite has few types; what drivers of others return is given here."""
    east = timezone(timedelta(hours=9))
    given = {
        "at": datetime(2026, 11, 29, 3, tzinfo=east),
        "local": datetime(2026, 11, 29, 3),  # noqa: DTZ001 - a column without a zone
        "times": [datetime(2026, 1, 1, tzinfo=UTC)],
        "day": date(2026, 11, 29),
        "price": Decimal("12.50"),
        "nan": float("nan"),
        "json": {"a": [1, None]},
        "uuid": UUID(int=7),
        "big": 2**80,
    }
    assert sql_rows._json([*given], (*given.values(),)) == {
        "at": "2026-11-28T18:00:00Z",
        "local": "2026-11-29T03:00:00",
        "times": ["2026-01-01T00:00:00Z"],
        "day": "2026-11-29",
        "price": "12.50",
        "nan": None,
        "json": {"a": [1, None]},
        "uuid": "00000000-0000-0000-0000-000000000007",
        "big": 2**80,
    }
    for value, told in (
        (memoryview(b"x"), "column 'b' holds bytes"),
        ([b"x"], "column 'b' holds a list"),
        (range(3), "column 'b' holds a range, which JSON cannot."),
    ):
        assert told in sql_rows._json(["a", "b"], (1, value))


def test_bytes_are_refused_with_row_and_column(shop: Path) -> None:
    good, bad = read(shop, "select id, case id when 2 then x'ff' end as photo from tickets")
    assert [row.key for row in good] == ["1", "3"]
    assert bad.startswith(f"{__file__}:")
    assert "Row 2 of the query: column 'photo' holds bytes" in bad
    assert "hex(photo) in SQLite" in bad


def test_rows_are_read_as_they_are_needed(shop: Path) -> None:
    """The query never ends."""
    endless = "with recursive n(id) as (select 1 union all select id + 1 from n) select id from n"
    found = list(islice(read_rows(rows.sql(URL, endless), shop), 2500))
    assert [row.key for row in found if isinstance(row, SourceRow)][-1] == "2500"


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("select id from tickts", "query failed. no such table: tickts."),
        ("select id, boddy from tickets", "query failed. no such column: boddy."),
        ("selec", 'query failed. near "selec": syntax error.'),
        ("select body from tickets", "No field is called key or id"),
        ("select id, body as id from tickets", "Two columns of the query are called 'id'"),
        ("delete from tickets", "attempt to write a readonly database."),
        ("delete from tickets returning id", "attempt to write a readonly database."),
        ("pragma user_version = 3", "attempt to write a readonly database."),
        ("select id, abs(iif(id = 3, -9223372036854775808, 1)) from tickets", "integer overflow."),
    ],
)
def test_what_is_wrong_with_a_query_is_told(shop: Path, query: str, told: str) -> None:
    before = (shop / "shop.db").read_bytes()
    assert told in read(shop, query)[1]
    assert (shop / "shop.db").read_bytes() == before


def test_a_failure_in_the_middle_says_after_which_row(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_rows, "_CHUNK", 2)
    query = "with recursive n(id) as (select 1 union all select id + 1 from n where id < 9)"
    good, bad = read(shop, f"{query} select id, abs({-(2**63) + 5} - id) from n")
    assert [row.key for row in good] == ["1", "2"]
    assert "query failed after row 2. integer overflow." in bad


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("sqlite:///no.db", "no.db: no such file or directory (looked for "),
        ("sqlite:///.", "is a directory"),
        ("sqlite:///text.db", "file is not a database"),
        (f"no-url-{SECRET}", "the URL of the database cannot be read"),
        (f"postgresql://u:{SECRET}@h:port/x", "the URL of the database cannot be read"),
        (f"nosuchkind://u:{SECRET}@h/x", "No dialect of SQLAlchemy is called 'nosuchkind'"),
        (f"mysql+mysqldb://u:{SECRET}@h/x", "`pip install mysqlclient`"),
        ("sqlite+aiosqlite:///shop.db", "aiosqlite"),
    ],
)
def test_what_is_wrong_with_a_database_is_told(shop: Path, url: str, told: str) -> None:
    (shop / "text.db").write_text("This is a text, and not a database at all. " * 9)
    good, bad = read(shop, "select 1 as id from tickets", url)
    assert good == []
    assert told in bad
    assert bad.startswith(f"{__file__}:")
    assert SECRET not in bad
    assert not (shop / "no.db").exists()


def test_a_missing_extra_is_told(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "batchspec.load.sql_rows")
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    assert "pip install 'batchspec[sql]'" in read(shop, "select 1 as id")[1]


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: rows.sql(None, "select 1"), "Is the environment variable set?"),  # type: ignore[arg-type]
        (lambda: rows.sql([SECRET], "select 1"), "host/db; got list."),  # type: ignore[arg-type]
        (lambda: rows.sql(URL, " "), "takes a query as second argument"),
        (lambda: rows.sql(URL, 3), "as second argument. Got 3."),  # type: ignore[arg-type]
        (lambda: rows.sql(URL, "q", params=[1]), "`params` is a mapping"),  # type: ignore[arg-type]
        (lambda: rows.sql(URL, "q", key=""), "`key` is the name of the field"),
    ],
)
def test_a_wrong_argument_is_told(make: Callable[[], Any], told: str) -> None:
    with pytest.raises(SpecError) as caught:
        make()
    assert told in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_password_is_in_no_text_of_a_source() -> None:
    url = sqlalchemy.URL.create("postgresql", "me", "p@ss/w:rd", "h", database="shop")
    source = rows.sql(url, "select :p", params={"p": SECRET})
    assert source.url == "postgresql://me:p%40ss%2Fw%3Ard@h/shop"
    assert "p@ss" not in repr(source)
    assert SECRET not in repr(source)
    assert "p%40ss" not in repr(source)


@pytest.mark.parametrize(
    "text",
    [
        f"rows.sql('postgresql://me:{SECRET}@h/db', …)",
        f"postgresql://:{SECRET}@h",
        f"could not parse 'mysql://me:a/b@{SECRET}@h/db'",
        f"postgresql://h/db?user=me&password={SECRET}&x=1",
        f"DRIVER=x;PWD={SECRET};SERVER=y",
    ],
)
def test_urls_lose_their_passwords_in_what_is_told(text: str) -> None:
    assert SECRET not in redacted(text)


def test_addresses_without_a_password_stay_as_they_are() -> None:
    text = "POST http://127.0.0.1:11434/v1/batches failed; write to me@example.org"
    assert redacted(text) == text


def test_what_a_driver_says_is_told_without_the_password() -> None:
    url = sqlalchemy.make_url(f"postgresql://me:{SECRET}@h/db?sslpassword=other-{SECRET}")
    orig = ValueError(f'no column "x" in {SECRET}\nLINE 1: select x\n   ^\nHINT:  Try "y".')
    error = sqlalchemy.exc.DBAPIError("select x", {}, orig)
    assert sql_rows._said(error, url) == 'no column "x" in ***. Try "y".'
    assert SECRET not in sql_rows._shown(url)


def spec(world: World, query: str, **more: str) -> None:
    given = "".join(f", {name}={value}" for name, value in more.items())
    world.spec(
        f"j = Job(model='openai:gpt-5-nano', rows=rows.sql('sqlite:///shop.db', {query!r}{given}),"
        " prompt='say {body}')"
    )


@pytest.fixture
def world(world: World) -> World:
    database(
        world.root,
        "create table t (id integer, body text)",
        "insert into t values (1, 'a'), (2, 'b'), (3, 'c')",
    )
    return world


def test_rows_of_a_database_are_paid_once_in_whatever_order_they_come(world: World) -> None:
    spec(world, "select * from t order by id")
    assert world.apply().done
    assert world.texts() == {"1": "SAY A", "2": "SAY B", "3": "SAY C"}
    spec(world, "select * from t order by body desc")
    assert world.plan().counts == {Kind.KEEP: 3}
    database(world.root, "update t set body = 'B' where id = 2", "delete from t where id = 3")
    assert world.plan().counts == {Kind.KEEP: 1, Kind.RESUBMIT: 1, Kind.FORGET: 1}


def test_problems_of_rows_are_collected_with_the_line_of_the_spec(world: World) -> None:
    database(world.root, "insert into t values (null, 'd'), (2, 'e'), (5, x'00')")
    spec(world, "select * from t")
    with pytest.raises(SpecError) as caught:
        world.plan()
    told = [str(found) for found in caught.value.diagnostics]
    assert len(told) == 3
    assert all("m.py:" in one for one in told)
    assert any("Row 4: 'id' is empty" in one for one in told)
    assert any("in row 2 and again in row 5" in one for one in told)
    assert any("Row 6 of the query: column 'body' holds bytes" in one for one in told)
    spec(world, "select id, body as bodi from t")
    with pytest.raises(SpecError, match="Did you mean 'bodi'"):
        world.plan()


def test_no_password_reaches_the_state_or_what_is_told(world: World) -> None:
    """SQLite takes none, and leaves alone what it does not know."""
    world.spec(
        f"URL = 'sqlite:///shop.db?password={SECRET}'\n"
        "def check(value: str) -> None: assert URL\n"
        "j = Job(model='openai:gpt-5-nano', rows=rows.sql(URL, 'select * from t'),"
        " prompt='say {body}', output_validators=[check])"
    )
    assert SECRET not in repr(world.plan())
    assert world.apply().done
    database(world.root, "drop table t")
    with pytest.raises(SpecError) as caught:
        world.plan()
    assert "no such table" in str(caught.value)
    assert SECRET not in repr(caught.value.diagnostics)
    files = [file for file in world.state.rglob("*") if file.is_file()]
    assert files
    assert not any(SECRET.encode() in file.read_bytes() for file in files)
