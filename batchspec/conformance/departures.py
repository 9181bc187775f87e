"""Where a server is known to differ: a file that somebody has read and agreed to."""

import tomllib
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from batchspec.conformance.bodies import is_object
from batchspec.errors import ConfigurationError
from batchspec.spec.suggest import did_you_mean


def read_departures(path: Path, known: Iterable[str]) -> Mapping[str, str]:
    """Return reasons by the id of a check.

    The file has a table `[departures]` of reasons by id, or by a pattern of ids such as
    `"validation.*.line"`. An id wins over a pattern, a pattern over those that stand below it.

    Raises:
        ConfigurationError: The file cannot be read, or is not a table of reasons by known ids.
    """
    reasons = _table(path)
    ids = list(known)
    for pattern, reason in reasons.items():
        if not any(fnmatchcase(id_, pattern) for id_ in ids):
            raise ConfigurationError(
                f"{path}: no check is called {pattern!r}. {_close(pattern, ids)}"
            )
        if not (isinstance(reason, str) and reason.strip()):
            raise ConfigurationError(f"{path}: {pattern!r} needs a reason, a text in quotes.")
    found = {id_: _reason(id_, reasons) for id_ in ids}
    return {id_: str(reason) for id_, reason in found.items() if reason}


def _table(path: Path) -> Mapping[str, object]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}.") from error
    reasons = table.get("departures")
    if not is_object(reasons):
        raise ConfigurationError(f"{path} has no table [departures] with reasons by check id.")
    return reasons


def _reason(id_: str, reasons: Mapping[str, object]) -> object:
    matching = (reason for pattern, reason in reasons.items() if fnmatchcase(id_, pattern))
    return reasons[id_] if id_ in reasons else next(matching, None)


def _close(name: str, ids: Iterable[str]) -> str:
    suggestion = did_you_mean(name, ids)
    return suggestion if suggestion.startswith("Did") else "docs/conformance.md lists them."
