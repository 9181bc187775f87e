"""Front doors whose names are imported when they are asked for."""

from collections.abc import Callable, Mapping
from typing import Any


def lazy_names(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the `__getattr__` of a package.

    Args:
        package: Its `__name__`.
        homes: From a public name to where it is, `module:name`, or a module alone.
    """

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        from pkgutil import resolve_name  # noqa: PLC0415 - late, like the names

        return resolve_name(homes[name])

    return find
