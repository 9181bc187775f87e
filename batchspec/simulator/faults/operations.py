"""Names of the calls that clients make."""

import re
from fnmatch import fnmatchcase

_TABLE: tuple[tuple[str, str, str], ...] = (
    ("files.create", "POST", "/v1/files"),
    ("files.list", "GET", "/v1/files"),
    ("files.retrieve", "GET", "/v1/files/[^/]+"),
    ("files.delete", "DELETE", "/v1/files/[^/]+"),
    ("files.content", "GET", "/v1/files/[^/]+/content"),
    ("batches.create", "POST", "/v1/batches"),
    ("batches.list", "GET", "/v1/batches"),
    ("batches.retrieve", "GET", "/v1/batches/[^/]+"),
    ("batches.cancel", "POST", "/v1/batches/[^/]+/cancel"),
    ("models.list", "GET", "/v1/models"),
    ("models.retrieve", "GET", "/v1/models/.+"),
    ("chat.completions.create", "POST", "/v1/chat/completions"),
    ("responses.create", "POST", "/v1/responses"),
    ("responses.retrieve", "GET", "/v1/responses/[^/]+"),
    ("responses.delete", "DELETE", "/v1/responses/[^/]+"),
    ("responses.input_items.list", "GET", "/v1/responses/[^/]+/input_items"),
    ("embeddings.create", "POST", "/v1/embeddings"),
    ("other", "[A-Z]+", "/v1/.*"),
)
OPERATIONS = tuple(name for name, *_ in _TABLE)
"""As the official SDK names them; whatever it does not name is `other`."""
_ROUTES = [(name, re.compile(f"{method} {path}")) for name, method, path in _TABLE]


def operation_of(method: str, path: str) -> str | None:
    """Return the operation of a call; nothing for what is no part of the API."""
    called = f"{method} {path}"
    return next((name for name, route in _ROUTES if route.fullmatch(called)), None)


def pick(pattern: str) -> list[str]:
    """Return the operations that match a pattern."""
    return [name for name in OPERATIONS if fnmatchcase(name, pattern)]
