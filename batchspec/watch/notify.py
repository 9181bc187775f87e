"""Telling systemd how a service is: one datagram each, to the socket it names.

The protocol is that of sd_notify(3); nothing happens where nobody listens.
"""

import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic_ns

_ABSTRACT = "@"
_LONGEST = 200
"""Characters of a status; the rest is in `batchspec status` and in the log."""


def notify(*said: str) -> None:
    """Tell the service manager, if there is one; never raises and never blocks.

    Args:
        said: Such as `READY=1`, `STATUS=…`, `STOPPING=1` or `WATCHDOG=1`.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address or not hasattr(socket, "AF_UNIX"):
        return
    if address.startswith(_ABSTRACT):
        address = "\0" + address[1:]
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sending:
        sending.settimeout(0)
        sending.sendto("\n".join(said).encode(), address)


@dataclass(slots=True)
class Service:
    """What the service manager was told, so that it is told news only."""

    _status: str = ""
    _reloading: bool = False

    def ready(self) -> None:
        """Say that signals are heard and engines started.

        Specs that do not load are no reason to start the process anew, so nothing waits for them.
        """
        notify("READY=1")

    def reloads(self) -> None:
        """Say that a reload begins; `loaded` ends it, also where specs turn out to be wrong."""
        self._reloading = True
        # systemd takes the time to tell this reload from one before it.
        notify("RELOADING=1", f"MONOTONIC_USEC={monotonic_ns() // 1000}")

    def loaded(self) -> None:
        """Say that it is known whether the specs load."""
        if self._reloading:
            self._reloading = False
            notify("READY=1")

    def stops(self) -> None:
        """Say that it drains."""
        self._reloading = False
        notify("STOPPING=1")

    def lives(self, *, well: bool, status: str) -> None:
        """Give a sign of life if it is well, and its status where that is another one.

        Args:
            well: Whether neither the watcher nor its engine hangs.
            status: How it is; what is more than a line is left out.
        """
        line = next(iter(status.splitlines()), "")[:_LONGEST]
        if line != self._status:
            self._status = line
            notify(f"STATUS={line}")
        if well:
            notify("WATCHDOG=1")
