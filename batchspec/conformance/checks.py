"""What is checked: one `Check` for each behaviour, declared where its test is."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
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
    """Return all checks, in the order of their files, whichever of them was imported first."""
    package = importlib.import_module(__package__ or "")
    found: dict[str, Check] = {}
    for module in pkgutil.iter_modules(package.__path__):
        if module.name.startswith("test_"):
            loaded = importlib.import_module(f"{package.__name__}.{module.name}")
            marks = (m for test in vars(loaded).values() for m in getattr(test, "pytestmark", ()))
            found |= {one.id: one for mark in marks for one in _marked(mark)}
    return list(found.values())


def _marked(mark: pytest.Mark) -> Iterator[Check]:
    if mark.name == "conformance":
        yield mark.args[0]
    elif mark.name == "parametrize":
        inner = [one.mark for case in mark.args[1] for one in getattr(case, "marks", ())]
        yield from (found for one in inner for found in _marked(one))


def _mark(declared: Check) -> pytest.MarkDecorator:
    if _declared.setdefault(declared.id, declared) != declared:
        raise ValueError(f"Two checks are called {declared.id!r}.")
    return pytest.mark.conformance(declared)
