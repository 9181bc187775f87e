"""No test reaches a real provider by mistake: what Python says about sockets is watched.

An audit hook sees every socket call of this process, also those of libraries in C. It cannot be
removed, so it is put in by the first test that is guarded, and does nothing between such tests.
Processes that a test starts are not seen; they get no keys either.
"""

import inspect
import ipaddress
import os
import socket
import sys
import threading
from collections.abc import Collection, Generator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, cast

import pytest

from batchspec.spec.origin import is_users

_LOOKUPS = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"})
_CALLS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_HIDDEN = ("OPENAI_", "BATCHSPEC_")


class Guard:
    """Refuses to reach other machines while it watches; watches may be nested.

    Attributes:
        attempts: What was refused in this phase of the test, a sentence each.
    """

    def __init__(self) -> None:
        self.attempts: list[str] = []
        self._allowed: list[_Allowed] = []
        self._installed = False

    @contextmanager
    def watch(self, hosts: Collection[str] = ()) -> Generator[None]:
        """Refuse every host but this machine and those that match one of `hosts`, as globs."""
        if not self._installed:
            self._installed = True
            sys.addaudithook(self._see)
        self._allowed.append(_Allowed(hosts))
        try:
            yield
        finally:
            self._allowed.pop()

    @contextmanager
    def phase(self) -> Generator[None]:
        """Fail a part of a test whose attempt was swallowed: by a retry, a task or a thread."""
        self.attempts.clear()
        try:
            yield
        except (KeyboardInterrupt, pytest.exit.Exception):
            raise
        except BaseException as error:
            if self.attempts and str(error) not in self.attempts:
                raise pytest.fail.Exception(self.attempts[0], pytrace=False) from error
            raise
        else:
            if self.attempts:
                raise pytest.fail.Exception(self.attempts[0], pytrace=False)
        finally:
            self.attempts.clear()

    def _see(self, event: str, args: tuple[Any, ...]) -> None:
        if not self._allowed:
            return
        if event in _LOOKUPS:
            host = _text(args[0])
            refused = not self._allowed[-1].look_up(host)
        elif event in _CALLS and isinstance(args[1], tuple):  # a path is a local socket
            host = _text(cast("tuple[object, ...]", args[1])[0])
            refused = not self._allowed[-1].call(host)
        else:
            return
        if refused:
            self.attempts.append(_told(host, event))
            pytest.fail(self.attempts[-1], pytrace=False)


class _Allowed:
    """The hosts of one watch, by name and, once looked up, by number."""

    def __init__(self, patterns: Collection[str]) -> None:
        self._patterns = patterns
        self._numbers: set[str] = set()
        self._looking: set[int] = set()
        """The threads that look up for us, whose own calls are seen as well."""

    def look_up(self, host: str) -> bool:
        thread = threading.get_ident()
        if thread in self._looking:
            return True
        if not self._named(host):
            return self.call(host)
        # A later connection knows the number only.
        self._looking.add(thread)
        try:
            found = socket.getaddrinfo(host, None)
        except OSError:  # the test shall see this error, not us
            found = []
        finally:
            self._looking.remove(thread)
        self._numbers |= {str(address[0]) for *_, address in found}
        return True

    def call(self, host: str) -> bool:
        return _is_local(host) or host in self._numbers or self._named(host)

    def _named(self, host: str) -> bool:
        return any(fnmatch(host, pattern) for pattern in self._patterns)


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        # Servers ask for the name of the machine they run on.
        return host in {"", "localhost", socket.gethostname()}


def _text(host: object) -> str:
    return host.decode("ascii", "replace") if isinstance(host, bytes) else str(host or "")


def _told(host: str, event: str) -> str:
    test = os.environ.get("PYTEST_CURRENT_TEST", "pytest")
    return (
        f"{test} tried to reach {host!r}{_place()} ({event}). Tests run offline: let the fixtures "
        "`run_job` or `batch_project` answer. If this one must reach out, mark it with "
        f"@pytest.mark.batchspec_network({host!r})."
    )


def _place() -> str:
    """Return where in the user's own code the call was made, as far as the thread knows it."""
    frame = inspect.currentframe()
    while frame is not None:
        if is_users(frame.f_code.co_filename):
            return f" in {Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


@contextmanager
def hidden_settings() -> Generator[None]:
    """Hide keys and settings of whoever runs the tests: `OPENAI_…`, `BATCHSPEC_…`, `…_API_KEY`."""
    names = [n for n in os.environ if n.startswith(_HIDDEN) or n.endswith("_API_KEY")]
    hidden = {name: os.environ.pop(name) for name in names}
    try:
        yield
    finally:
        os.environ.update(hidden)


GUARD = Guard()
