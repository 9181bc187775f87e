"""No test reaches the network or sees the settings of whoever runs it."""

import ipaddress
import os
import sys
from collections.abc import Generator
from typing import Any

import pytest

_LOOKUPS = {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}
_CALLS = {"socket.connect", "socket.sendto", "socket.sendmsg"}
_ATTEMPTS: list[str] = []


def _is_local(host: object) -> bool:
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host or "")
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return name in {"", "localhost"}


def _guard(event: str, args: tuple[Any, ...]) -> None:
    """See every socket call of this process, also those of libraries in C."""
    if event in _LOOKUPS:
        host = args[0]
    elif event in _CALLS and isinstance(args[1], tuple):
        host = args[1][0]
    else:
        return
    if not _is_local(host):
        test = os.environ.get("PYTEST_CURRENT_TEST", "pytest")
        _ATTEMPTS.append(f"{test} tried to reach {host!r}; tests use loopback only ({event})")
        pytest.fail(_ATTEMPTS[-1])


def pytest_configure() -> None:
    """Shut the network off; it cannot be turned on again."""
    sys.addaudithook(_guard)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    """Fail a test whose attempt was swallowed: by a retry, or by a thread."""
    _ATTEMPTS.clear()
    result = yield
    if _ATTEMPTS:
        pytest.fail(_ATTEMPTS[0])
    return result


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("OPENAI_", "BATCHSPEC_")):
            monkeypatch.delenv(name)
