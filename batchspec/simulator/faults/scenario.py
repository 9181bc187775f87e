"""Scenarios: named lists of faults, in a TOML or JSON file."""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, cast

from batchspec.simulator.faults.catalogue import FaultError, read_fault
from batchspec.simulator.faults.rule import Fault
from batchspec.simulator.wire import Json, is_array, is_object
from batchspec.spec.suggest import did_you_mean

_KEYS = ("title", "description", "faults")
_TABLE = re.compile(r"^[ \t]*\[\[[ \t]*faults[ \t]*\]\]", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Scenario:
    """What goes wrong together."""

    name: str
    title: str
    description: str
    faults: tuple[Fault, ...]

    def to_wire(self) -> Json:
        return {
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "faults": [fault.document() for fault in self.faults],
        }


def shipped() -> list[Scenario]:
    """Return the scenarios that come with the package, by name."""
    return [_parse(name, text, name, toml=True) for name, text in sorted(_texts().items())]


def read_scenario(name_or_path: str | Path) -> Scenario:
    """Read a scenario by its name, or from a file.

    Raises:
        FaultError: There is none, or something in it is not right; every problem is told with its
            place.
        OSError: The file cannot be read.
    """
    path = Path(name_or_path)
    if path.suffix not in {".toml", ".json"}:
        return shipped_scenario(str(name_or_path))
    text = path.read_text(encoding="utf-8")
    return _parse(path.stem, text, str(path), toml=path.suffix == ".toml")


def shipped_scenario(name: str) -> Scenario:
    """Return a scenario that comes with the package.

    Raises:
        FaultError: There is none of that name.
    """
    texts = _texts()
    if name not in texts:
        known = did_you_mean(name, texts)
        raise FaultError(f"There is no scenario {name!r}. {known} A file ends in .toml or .json.")
    return _parse(name, texts[name], name, toml=True)


def _texts() -> dict[str, str]:
    folder = resources.files("batchspec.simulator") / "scenarios"
    return {
        entry.name.removesuffix(".toml"): entry.read_text(encoding="utf-8")
        for entry in folder.iterdir()
        if entry.name.endswith(".toml")
    }


def _parse(name: str, text: str, place: str, *, toml: bool) -> Scenario:
    try:
        document: object = tomllib.loads(text) if toml else json.loads(text)
    except (tomllib.TOMLDecodeError, json.JSONDecodeError) as error:
        kind = "TOML" if toml else "JSON"
        raise FaultError(f"{place} is not valid {kind}: {error}.") from None
    if not is_object(document):
        raise FaultError(f"{place} is not a scenario: it is no table with a list `faults`.")
    faults: list[Fault] = []
    problems = [f"{place}: {problem}" for problem in _keys(document)]
    lines = [text.count("\n", 0, found.start()) + 1 for found in _TABLE.finditer(text)]
    for index, entry in enumerate(_entries(document)):
        where = f"{place}:{lines[index]}" if index < len(lines) else f"{place}: faults[{index}]"
        try:
            faults.append(read_fault(_table(entry)))
        except FaultError as error:
            problems += [f"{where}: {problem}" for problem in str(error).splitlines()]
    if problems:
        raise FaultError("\n".join(problems))
    title, description = (str(document.get(key, "")) for key in ("title", "description"))
    return Scenario(name, title or name, description, tuple(faults))


def _keys(document: Mapping[str, Any]) -> Iterator[str]:
    for key in document:
        if key not in _KEYS:
            yield f"there is no key {key!r}. {did_you_mean(key, _KEYS)}"
    for key in ("title", "description"):
        if not isinstance(document.get(key, ""), str):
            yield f"`{key}` is no text."
    if not is_array(document.get("faults")):
        yield "there is no list `faults`; write each as a table [[faults]]."


def _entries(document: Mapping[str, Any]) -> list[Any]:
    entries = document.get("faults")
    return entries if is_array(entries) else []


def _table(entry: object) -> Mapping[str, Any]:
    if is_object(entry):
        return cast("Mapping[str, Any]", entry)
    raise FaultError(f"a fault is a table, not {entry!r}.")
