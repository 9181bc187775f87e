"""Names and addresses of machines."""

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

import httpx2


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine and nobody else's; names are not looked up."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def parse_url(text: str) -> SplitResult:
    """Return the parts of an HTTP or HTTPS URL.

    Raises:
        ValueError: It is none.
    """
    try:
        httpx2.URL(text)
        url = urlsplit(text)
        # A port out of range is noticed when it is asked for.
        sound = re.fullmatch(r"[\w.:-]+", url.hostname or "") and url.port != 0
        if sound and text.isprintable() and url.scheme in {"http", "https"}:
            return url
    except (ValueError, httpx2.InvalidURL):
        pass
    raise ValueError(f"{text!r} is no URL of a web server; write for example https://host/path.")
