"""What is checked: one `Check` for each behaviour, declared where its test is."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import pytest

Severity = Literal["must", "should", "cosmetic"]
"""`must`: clients break without it. `should`: they lose something. `cosmetic`: few will notice."""
Cost = Literal["read", "free", "paid"]
"""`read` changes nothing, `free` leaves traces that nobody charges for, `paid` asks a model."""

_Test = TypeVar("_Test", bound=Callable[..., object])


@dataclass(frozen=True, slots=True)
class Check:
    """One behaviour of a server.

    Attributes:
        id: Its name in reports and departures; stable once released.
        severity: How much depends on it.
        cost: What checking it takes from an account.
        source: Where the behaviour is laid down: the published schema or guide, or `observed`.
        reason: What is expected, in one line.
    """

    id: str
    severity: Severity
    cost: Cost
    source: str
    reason: str


_declared: dict[str, Check] = {}


def check(id_: str, severity: Severity, cost: Cost, source: str) -> Callable[[_Test], _Test]:
    """Declare a test as the test of a behaviour; its docstring says what is expected."""

    def declare(test: _Test) -> _Test:
        reason = (inspect.getdoc(test) or "").partition("\n")[0]
        marked: _Test = _mark(Check(id_, severity, cost, source, reason))(test)
        return marked

    return declare


def each(names: str, cases: Mapping[Check, Sequence[object]]) -> pytest.MarkDecorator:
    """Declare a test of several behaviours, one for each set of values."""
    params = [
        pytest.param(*values, marks=_mark(case), id=case.id) for case, values in cases.items()
    ]
    return pytest.mark.parametrize(names, params)


def every() -> Sequence[Check]:
    """Return all checks, in the order of their files."""
    package = importlib.import_module(__package__ or "")
    for module in pkgutil.iter_modules(package.__path__):
        if module.name.startswith("test_"):
            importlib.import_module(f"{package.__name__}.{module.name}")
    return list(_declared.values())


def _mark(declared: Check) -> pytest.MarkDecorator:
    if _declared.setdefault(declared.id, declared) != declared:
        raise ValueError(f"Two checks are called {declared.id!r}.")
    return pytest.mark.conformance(declared)
