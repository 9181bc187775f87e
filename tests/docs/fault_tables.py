"""The tables of docs/faults.md."""

from batchspec.simulator.faults.behaviours import BEHAVIOURS
from batchspec.simulator.faults.catalogue import Option, catalogue
from batchspec.simulator.faults.files import FileFault
from batchspec.simulator.faults.rule import Fault, ModelFault, OperationFault, RequestFault
from batchspec.simulator.faults.scenario import shipped
from batchspec.simulator.faults.webhooks import WebhookFault

_OWNERS: tuple[tuple[type[Fault], str], ...] = (
    (Fault, "all"),
    (ModelFault, "all but webhooks"),
    (OperationFault, "calls"),
    (RequestFault, "lines and answers"),
    (FileFault, "files"),
    (WebhookFault, "webhooks"),
)


def conditions() -> str:
    """Return a table of what every rule of a fault can say about when it strikes."""
    lines = ["| key | of | meaning |", "| --- | --- | --- |"]
    lines += [
        f"| `{name}` | {of} | {' '.join((kind.model_fields[name].description or '').split())} |"
        for kind, of in _OWNERS
        for name in kind.__annotations__
        if name in kind.model_fields and name != "fault"
    ]
    return "\n".join(lines)


def faults() -> str:
    """Return a table of all kinds of faults."""
    lines = ["| fault | no. | meaning | options and defaults |", "| --- | --- | --- | --- |"]
    for entry in catalogue():
        numbers = ", ".join(map(str, entry.behaviours))
        told = map(_told, entry.options)
        lines.append(f"| `{entry.name}` | {numbers} | {entry.meaning} | {'<br>'.join(told)} |")
    return "\n".join(lines)


def _told(option: Option) -> str:
    others = [choice for choice in option.choices if choice != option.default]
    instead = f" (or {', '.join(f'`{other}`' for other in others)})" if others else ""
    return f"`{option.name} = {option.default}`{instead} {option.meaning}".strip()


def scenarios() -> str:
    """Return a table of the scenarios that ship."""
    lines = ["| scenario | what goes wrong |", "| --- | --- |"]
    lines += [f"| `{found.name}` | {found.description} |" for found in shipped()]
    return "\n".join(lines)


def behaviours() -> str:
    """Return a table of the numbered behaviours, and the faults that switch them on."""
    lines = ["| no. | of | behaviour | faults |", "| --- | --- | --- | --- |"]
    for found in BEHAVIOURS:
        names = [entry.name for entry in catalogue() if found.number in entry.behaviours]
        number = f"{found.number}{'*' if found.natural else ''}"
        shown = ", ".join(f"`{name}`" for name in names)
        lines.append(f"| {number} | {found.group} | {found.what} | {shown} |")
    return "\n".join(lines)


PARTS = {
    "behaviours": behaviours,
    "conditions": conditions,
    "faults": faults,
    "scenarios": scenarios,
}
