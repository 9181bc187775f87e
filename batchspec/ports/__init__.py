"""Every seam in one room: what the pure core and the shell ask of the world.

Adapters (`store`, `providers`, `pricing`, views as hooks) implement these; `project` wires them.
"""

from batchspec.ports.providers import Client, Prices, Provider, Wire
from batchspec.ports.store import Body, Collection, Draft, PlannedRow, Reader, Store
from batchspec.ports.world import (
    Clock,
    Exchange,
    Hook,
    Log,
    Timing,
    Tokens,
    ToolRan,
    Tracing,
)

__all__ = [
    "Body",
    "Client",
    "Clock",
    "Collection",
    "Draft",
    "Exchange",
    "Hook",
    "Log",
    "PlannedRow",
    "Prices",
    "Provider",
    "Reader",
    "Store",
    "Timing",
    "Tokens",
    "ToolRan",
    "Tracing",
    "Wire",
]
