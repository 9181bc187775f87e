"""All kinds of faults, and reading one from data."""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from batchspec.simulator.faults.answers import ANSWERS
from batchspec.simulator.faults.batches import BATCHES
from batchspec.simulator.faults.calls import CALLS
from batchspec.simulator.faults.files import FILES, FileFault
from batchspec.simulator.faults.lines import LINES
from batchspec.simulator.faults.rule import Fault, OperationFault, RequestFault
from batchspec.simulator.faults.tenants import TENANTS
from batchspec.simulator.faults.transfers import TRANSFERS
from batchspec.simulator.faults.views import VIEWS
from batchspec.simulator.faults.webhooks import WEBHOOKS, WebhookFault
from batchspec.spec.suggest import did_you_mean

CATALOGUE: Mapping[str, type[Fault]] = {
    kind.known_as(): kind
    for kind in (
        *CALLS,
        *TRANSFERS,
        *FILES,
        *BATCHES,
        *VIEWS,
        *LINES,
        *ANSWERS,
        *TENANTS,
        *WEBHOOKS,
    )
}
"""By name, in the order in which they are documented."""

_CONDITIONS = {
    name: info.default
    for kind in (OperationFault, RequestFault, FileFault, WebhookFault)
    for name, info in kind.model_fields.items()
}
"""What is no option of a kind of its own, unless it begins with another value there."""


class FaultError(ValueError):
    """Something that was to be a rule or a scenario is none; every problem has a line."""


def read_fault(document: Mapping[str, Any]) -> Fault:
    """Make a fault from the keys of its table.

    Raises:
        FaultError: It names no kind, or an option or value is not right; all is told.
    """
    kind, problems = kind_of(document)
    if kind is None:
        raise FaultError(problems)
    try:
        return kind.model_validate(dict(document))
    except ValidationError as error:
        raise FaultError("\n".join(_told(kind, error))) from None


def kind_of(document: Mapping[str, Any]) -> tuple[type[Fault] | None, str]:
    """Return the kind a table names, or why it names none."""
    name = document.get("fault")
    if name is None:
        return None, 'there is no key "fault" that names the kind of fault.'
    if not isinstance(name, str) or name not in CATALOGUE:
        return None, f"there is no fault {name!r}. {did_you_mean(str(name), CATALOGUE)}"
    return CATALOGUE[name], ""


def _told(kind: type[Fault], error: ValidationError) -> Iterator[str]:
    for problem in error.errors(include_url=False):
        path = ".".join(map(str, problem["loc"]))
        if problem["type"] == "extra_forbidden":
            known = did_you_mean(path, kind.model_fields)
            yield f"{kind.known_as()} has no option {path!r}. {known}"
        else:
            message = problem["msg"].removeprefix("Value error, ")
            yield f"{kind.known_as()}: {path}: {message} (got {problem['input']!r})."


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a kind of fault, for people; `default` as it is written in TOML."""

    name: str
    default: str
    meaning: str
    choices: tuple[str, ...] = ()
    """Its values, if it takes only these."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A kind of fault, for people."""

    name: str
    behaviours: tuple[int, ...]
    meaning: str
    options: tuple[Option, ...]
    """Those of its own; the conditions are the same for all."""

    def to_wire(self) -> dict[str, Any]:
        return asdict(self)


def catalogue(name: str | None = None) -> list[Entry]:
    """Describe all kinds of faults, or one.

    Raises:
        FaultError: There is no kind of that name.
    """
    if name is None:
        return [_entry(known, kind) for known, kind in CATALOGUE.items()]
    kind, problem = kind_of({"fault": name})
    if kind is None:
        raise FaultError(problem)
    return [_entry(name, kind)]


def _entry(name: str, kind: type[Fault]) -> Entry:
    meaning = " ".join(inspect.cleandoc(kind.__doc__ or "").split())
    options = tuple(
        _option(key, info)
        for key, info in kind.model_fields.items()
        if key != "fault" and (key not in _CONDITIONS or info.default != _CONDITIONS[key])
    )
    return Entry(name, kind.behaviours, meaning, options)


def _option(name: str, info: FieldInfo) -> Option:
    kinds = get_args(info.annotation) if get_origin(info.annotation) is Literal else ()
    meaning = " ".join((info.description or "").split())
    return Option(name, _toml(info.default), meaning, tuple(map(_toml, kinds)))


def _toml(value: object) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case str():
            return f'"{value}"'
        case tuple():
            return f"[{', '.join(map(_toml, cast('tuple[object, ...]', value)))}]"
        case _:
            return str(value)
