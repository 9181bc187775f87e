"""The views of `simulator faults` and `simulator scenarios`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from batchspec.cli.views.streams import print_json, stdout

if TYPE_CHECKING:
    from batchspec.simulator.faults.catalogue import Entry
    from batchspec.simulator.faults.scenario import Scenario


def show_faults(entries: "Sequence[Entry]", *, as_json: bool) -> None:
    """Print kinds of faults; of a single one its options too."""
    if as_json:
        print_json({"faults": [entry.to_wire() for entry in entries]})
        return
    width = max(len(entry.name) for entry in entries)
    for entry in entries:
        numbers = ", ".join(map(str, entry.behaviours))
        stdout().print(f"{entry.name:<{width}}  {numbers:<6}  {entry.meaning}")
    if len(entries) == 1:
        for option in entries[0].options:
            choices = f"  ({' | '.join(option.choices)})" if option.choices else ""
            told = f"  {option.name} = {option.default}{choices}  {option.meaning}"
            stdout().print(told.rstrip())


def show_scenarios(scenarios: "Sequence[Scenario]", *, as_json: bool) -> None:
    """Print names and titles."""
    if as_json:
        print_json({"scenarios": [scenario.to_wire() for scenario in scenarios]})
        return
    width = max(len(scenario.name) for scenario in scenarios)
    for scenario in scenarios:
        stdout().print(f"{scenario.name:<{width}}  {scenario.title}. {scenario.description}")
