"""All 51 behaviours are there: as faults, and as tests that show them on the wire."""

import re
from pathlib import Path

import pytest

from batchspec.simulator import Faults
from batchspec.simulator.faults.behaviours import BEHAVIOURS
from batchspec.simulator.faults.catalogue import CATALOGUE, catalogue, read_fault

REFERENCE = Path(__file__).parents[3] / "shared" / "reference" / "simulator-behaviours.md"
HERE = Path(__file__).parent


def test_the_numbers_are_those_of_the_list() -> None:
    assert [behaviour.number for behaviour in BEHAVIOURS] == list(range(1, 52))
    if REFERENCE.exists():
        listed = re.findall(r"^\| (\d+) \|", REFERENCE.read_text(), re.MULTILINE)
        assert [int(number) for number in listed] == list(range(1, 52))


def test_every_behaviour_can_be_switched_on() -> None:
    switched = {number for kind in CATALOGUE.values() for number in kind.behaviours}
    assert switched == set(range(1, 52))


def test_every_behaviour_is_shown_on_the_wire() -> None:
    tests = "".join(path.read_text() for path in HERE.glob("test_*.py"))
    shown = {int(number) for number in re.findall(r"def test_(\d\d)_", tests)}
    assert shown == set(range(1, 52))


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_kind_is_whole(name: str) -> None:
    (entry,) = catalogue(name)
    assert entry.meaning.endswith(".")
    assert entry.behaviours
    Faults().add(name)
    fault = CATALOGUE[name]()
    assert read_fault(fault.document()) == fault
    meant = CATALOGUE[name](times=3, probability=0.5)
    assert read_fault(meant.document()) == meant
