"""Telling systemd how a service is: one datagram each, to the socket it names.

The protocol is that of sd_notify(3); nothing happens where nobody listens.
"""

import os
import socket
from contextlib import suppress

_ABSTRACT = "@"


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
