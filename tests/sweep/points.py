"""Where a process can die: every effect on the world outside it, found while it runs.

Nothing here knows what the product does. Effects are seen where they leave the process: calls of
the provider's API, commits of the state's database, files made, moved or removed below the state's
folder, and whatever else a scene declares (its tools). So an effect that is new has its points too.
"""

import asyncio  # noqa: TID251 - the SDK's threads are its own
import inspect
import os
import re
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, cast

import anyio
import httpx2
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from worlds import failure

from batchspec.apply.threads import FunctionRaised, Threads
from batchspec.apply.userloop import UserLoop

When = Literal["before", "inside", "after"]
Trouble = Literal["reset", "503", "500", "429", "refused"]
_NAMES = re.compile(r"(batch|file|resp)[_-]\w+|[0-9a-f-]{8,}|\d+")
_WRITES = re.compile(
    r"\s*(?:INSERT (?:OR \w+ )?INTO|UPDATE(?: OR \w+)?|DELETE FROM|REPLACE INTO)\s+([\w.]+)",
    re.IGNORECASE,
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Killed(BaseException):
    """The process dies here; nothing may catch this."""


@dataclass(frozen=True, slots=True)
class Point:
    """A moment before, inside or after the nth effect of a kind, in the nth life."""

    life: int
    when: When
    what: str
    nth: int

    def __str__(self) -> str:
        return f"{self.life} {self.when} {self.what} #{self.nth}"

    @property
    def is_call(self) -> bool:
        """Whether it is about a call of the provider's API."""
        return self.what.startswith(("GET ", "POST ", "DELETE "))

    @property
    def begins(self) -> bool:
        """Whether something may change between this point and the next one."""
        return self.when == "before" and not self.what.startswith("GET ")

    @classmethod
    def parse(cls, text: str) -> "Point":
        """Read what `str` wrote."""
        life, when, rest = text.split(" ", 2)
        what, _, nth = rest.rpartition(" #")
        return cls(int(life), cast("When", when), what, int(nth))


def distinct(points: Sequence[Point]) -> list[Point]:
    """Leave out points at which everything outside the process is as at the one before.

    For who dies there without another word they are one.
    """
    kept = list(points[:1])
    for before, point in pairwise(points):
        if before.begins or point.life != before.life:
            kept.append(point)
    return kept


@dataclass
class Process:
    """One life of the program under test.

    Attributes:
        folder: Of its state; files elsewhere are none of its effects.
        life: Its number.
        dies_at: The point it does not survive.
        unwinds: Whether what is on its way is tidied up, as after an exception that nobody
            expected; else nothing happens after death, as after SIGKILL.
        died: Called at the very moment.
        troubles: Calls that go wrong without killing anybody: `before` or `after` their effect.
        points: All it came by.
    """

    folder: Path
    life: int = 1
    dies_at: Point | None = None
    unwinds: bool = False
    died: Callable[[], None] = lambda: None
    troubles: dict[Point, Trouble] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)
    dead: bool = False
    struck: list[Point] = field(default_factory=list)
    _seen: Counter[tuple[When, str]] = field(default_factory=Counter)
    _connections: list[sqlite3.Connection] = field(default_factory=list)

    def reach(self, when: When, what: str) -> Point | None:
        """Come by a point, and die there if it is the one; tells which it was."""
        if self.dead:
            # What it still writes here is undone when it is buried; elsewhere it cannot be.
            if self.unwinds or what.startswith(("commit ", "fsync")):
                return None
            raise Killed
        self._seen[when, what] += 1
        point = Point(self.life, when, what, self._seen[when, what])
        self.points.append(point)
        if point == self.dies_at:
            self.dead = True
            self.died()
            raise Killed(str(point))
        return point

    @contextmanager
    def alive(self) -> Generator[None]:
        """Watch what this thread and its own do, as this process."""
        global _current  # noqa: PLW0603 - an audit hook has no other way to know
        before, connect, fsync = _current, sqlite3.connect, os.fsync
        _current = self
        _audit_once()

        def watched(path: Any, *args: Any, **options: Any) -> sqlite3.Connection:
            if Path(os.fspath(path)).name != "batchspec.db":
                return connect(path, *args, **options)
            db = connect(path, *args, **{"factory": _Connection, **options})
            self._connections.append(db)
            return db

        sqlite3.connect = watched  # type: ignore[assignment]
        os.fsync = lambda _descriptor: reach("before", "fsync")
        try:
            yield
        finally:
            sqlite3.connect, os.fsync = connect, fsync
            _current = before

    def bury(self) -> None:
        """Let go of what the operating system would."""
        for db in self._connections:
            db.close()


_current: Process | None = None
_audited: list[bool] = []


def reach(when: When, what: str) -> None:
    """Come by a point of the process that runs, if one is watched."""
    if _current is not None:
        _current.reach(when, what)


@contextmanager
def _effect(what: str) -> Generator[None]:
    reach("before", what)
    yield
    reach("after", what)


# --- files, and what scenes declare


def _audit_once() -> None:
    """Hear of every file that is opened; an audit hook stays for good, so there is one."""
    if not _audited:
        _audited.append(True)
        sys.addaudithook(_audit)


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if event == "sweep":  # specs say so: their own code must not depend on ours
        reach(*args)
    if _current is None or event not in _FILE_EVENTS or (_current.dead and not _current.unwinds):
        return
    name = str(args[0])
    if not name.startswith(str(_current.folder)) or _is_sqlite(name):
        return
    if event == "open" and not (args[2] or 0) & _WRITING:
        return
    what = _NAMES.sub("*", name.removeprefix(str(_current.folder)).strip("/"))
    reach("before", f"{event.removeprefix('os.')} {what or 'state'}")


_FILE_EVENTS = {
    "open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.link",
    "shutil.rmtree", "shutil.copyfile",
}  # fmt: skip


def _is_sqlite(name: str) -> bool:
    return name.endswith((".db", ".db-wal", ".db-shm", ".db-journal"))


# --- the database


class _Connection(sqlite3.Connection):
    """Tells when something is about to be, and was, committed."""

    _changed: dict[str, None] | None = None

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Run a statement; what commits has a point before and after."""
        if sql.startswith("PRAGMA synchronous"):
            sql = "PRAGMA synchronous = OFF"  # the machine survives, and time is short
        word = sql.lstrip()[:6].upper()
        if word == "COMMIT":
            with _effect(f"commit {self._label()}"):
                return super().execute(sql, parameters)
        self._note(sql, parameters)
        if self.in_transaction or not _WRITES.match(sql):
            return super().execute(sql, parameters)
        with _effect(f"commit {self._label()}"):
            return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> sqlite3.Cursor:
        """Run a statement often; part of a transaction."""
        self._note(sql, ())
        return super().executemany(sql, parameters)

    def executescript(self, sql: str, /) -> sqlite3.Cursor:
        """Run a script, which commits."""
        with _effect("commit a script"):
            return super().executescript(sql)

    def _note(self, sql: str, parameters: Any) -> None:
        if not self.in_transaction:
            self._changed = {}
        found = _WRITES.match(sql)
        if found is None or self._changed is None:
            return
        table = found[1].lower()
        if table == "journal":
            table = next((p for p in parameters if isinstance(p, str) and p.isidentifier()), table)
        self._changed[table] = None

    def _label(self) -> str:
        """Say what a transaction is about: its events, or its tables if it has none."""
        changed, self._changed = self._changed or {}, {}
        events = [name for name in changed if name[:1].isupper()]
        return "+".join(events or [name for name in changed if name != "meta"] or ["meta"])


# --- calls of the provider


class Seam:
    """An ASGI application with a point on either side of each call, and in the middle of files.

    A call that was sent takes its effect, whoever dies meanwhile.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a call on."""
        process = _current
        if process is None:
            await self._app(scope, receive, send)
            return
        path = _NAMES.sub("*", scope["path"].removeprefix("/v1"))
        what = f"{scope['method']} {path}"
        if await _goes_wrong(process, process.reach("before", what), send):
            return
        messages: list[Message] = []
        with anyio.CancelScope(shield=True):
            await self._app(scope, receive, _kept(messages))
        if await _goes_wrong(process, process.reach("after", what), send):
            return
        body = b"".join(message.get("body", b"") for message in messages)
        if what != "GET /files/*/content" or messages[0].get("status") != 200 or len(body) < 2:
            for message in messages:
                await send(message)
            return
        half = len(body) // 2
        await send(messages[0])
        await send({"type": "http.response.body", "body": body[:half], "more_body": True})
        await _goes_wrong(process, process.reach("inside", what), send)
        await send({"type": "http.response.body", "body": body[half:]})


def _kept(messages: list[Message]) -> Send:
    async def keep(message: Message) -> None:
        messages.append(message)

    return keep


async def _goes_wrong(process: Process, point: Point | None, send: Send) -> bool:
    trouble = None if point is None else process.troubles.get(point)
    if trouble is None or point is None:
        return False
    process.struck.append(point)
    if trouble == "refused":
        raise httpx2.ConnectError("connection refused")
    if trouble == "reset" or point.when == "inside":
        raise httpx2.ReadError("connection reset by peer")
    # The SDK's own patience takes real time.
    headers = [(b"x-should-retry", b"false"), (b"content-type", b"application/json")]
    start: Message = {"type": "http.response.start", "status": int(trouble), "headers": headers}
    await send(start)
    text = str(failure("The server is overloaded.")).replace("'", '"').replace("None", "null")
    await send({"type": "http.response.body", "body": text.encode()})
    return True


# --- one order of things


@contextmanager
def in_order(breathe: Callable[[], int] = lambda: 1) -> Iterator[None]:
    """Let everything happen in one order, which depends on nothing but `breathe`.

    Work for threads is done at once in the event loop, and the clock jumps when nobody has
    anything left to do.

    Args:
        breathe: How many turns others get before a thread's work begins; other numbers make
            another order.
    """

    async def inline(
        function: Callable[..., Any],
        *args: Any,
        limiter: anyio.CapacityLimiter | None = None,
        **_: object,
    ) -> Any:
        async def run() -> Any:
            for _ in range(breathe()):
                await anyio.lowlevel.checkpoint()
            return function(*args)

        if limiter is None:
            return await run()
        async with limiter:
            return await run()

    async def at_once(_: object, call: Callable[[], Any]) -> Any:
        try:
            result = await inline(call)
            return await result if inspect.isawaitable(result) else result
        except Killed:  # the process, not what a tool raised
            raise
        except BaseException as error:
            raise FunctionRaised(error) from error

    before, of_the_sdk = anyio.to_thread.run_sync, asyncio.to_thread
    in_threads, in_a_loop = Threads.run, UserLoop.run
    anyio.to_thread.run_sync = asyncio.to_thread = inline  # type: ignore[assignment]
    Threads.run = UserLoop.run = at_once  # type: ignore[method-assign]
    try:
        yield
    finally:
        anyio.to_thread.run_sync, asyncio.to_thread = before, of_the_sdk
        Threads.run, UserLoop.run = in_threads, in_a_loop  # type: ignore[method-assign]
