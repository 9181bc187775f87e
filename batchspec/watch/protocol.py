"""What the watcher and its engines tell each other: lines of JSON over pipes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, cast, get_args

from pydantic import TypeAdapter
from pydantic_core import PydanticSerializationError, from_json, to_json

from batchspec.errors import Diagnostic, storable
from batchspec.ids import RemoteId
from batchspec.messages import JsonObject
from batchspec.plan.consent import Consent
from batchspec.state.events import Event
from batchspec.state.records import BatchRecord, JobProgress
from batchspec.state.watching import ConditionChanged
from batchspec.store.lease import Watcher

# --- to an engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What an engine is started with.

    Attributes:
        root: The project's folder.
        environment: Which state; None: what the configuration says.
        simulate: Whether every provider is served by the embedded server.
        consent: What is agreed to before anything is known.
        specs: Whether specs are loaded; without, only what is under way is looked after.
        watcher: Who starts it.
        state: The folder of the environment's state; None: wherever the configuration says. No
            change of the configuration leads a watcher to another one.
    """

    root: str
    environment: str | None
    simulate: bool
    consent: Consent
    specs: bool = True
    watcher: Watcher | None = None
    state: str | None = None


@dataclass(frozen=True, slots=True)
class Go:
    """Take over: the engine before is gone."""


@dataclass(frozen=True, slots=True)
class Replan:
    """Data changed, or somebody agreed to something."""


@dataclass(frozen=True, slots=True)
class Drain:
    """End, once what runs has ended."""


@dataclass(frozen=True, slots=True)
class LookAt:
    """The provider has said something about a batch."""

    batch: RemoteId


@dataclass(frozen=True, slots=True)
class Note:
    """Record a condition."""

    condition: ConditionChanged


Command = Go | Replan | Drain | LookAt | Note

# --- from an engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """The files an engine's plans depend on.

    Attributes:
        code: Paths and globs of modules and configuration, absolute: when they change, another
            interpreter is needed.
        data: Those of the files that rows are read from.
        attached: Those of images and documents in prompts, which are judged by size and time: they
            may be large, and planning once too often costs nothing.
        read: BLAKE2b of modules as an engine that has just loaded them has read them, 16 bytes in
            hex, by path.
    """

    code: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    attached: tuple[str, ...] = ()
    read: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The specs are loaded, and pinned; the engine waits to be told to go.

    Attributes:
        drain_timeout: Seconds that its configuration leaves the engine before to end; 0: for ever.
    """

    watched: Watched
    jobs: int
    warnings: tuple[str, ...] = ()
    drain_timeout: float = 0.0


@dataclass(frozen=True, slots=True)
class Reads:
    """Plans were found to depend on other files than before."""

    watched: Watched


@dataclass(frozen=True, slots=True, kw_only=True)
class NotLoaded:
    """Specs or configuration are not right; the engine ends."""

    problems: tuple[Diagnostic, ...]


@dataclass(frozen=True, slots=True)
class Happened:
    """An event that was recorded, by the name of its class."""

    kind: str
    event: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Progressed:
    """How far jobs and open batches are."""

    jobs: Sequence[JobProgress]
    batches: Sequence[BatchRecord]


@dataclass(frozen=True, slots=True)
class Warned:
    """A sentence for people."""

    message: str


@dataclass(frozen=True, slots=True)
class Round:
    """What follows is part of this round of reconciling.

    Attributes:
        reconcile: Its id.
        serial: Of the state when it began.
        plan: What is applied in it; None: that is not known yet.
    """

    reconcile: str
    serial: int
    plan: str | None = None


RoundResult = Literal["done", "again", "waits", "failed"]


@dataclass(frozen=True, slots=True)
class Reconciled:
    """A round has ended.

    Attributes:
        result: `done`: nothing is left to do; `again`: another one begins at once; `waits`:
            another one begins at a known moment; `failed`: an error ended it.
        seconds: How long it took; one that waits for batches takes as long as they do.
    """

    result: RoundResult
    seconds: float


@dataclass(frozen=True, slots=True)
class ToolsTimed:
    """How long calls of tools took."""

    calls: Sequence[tuple[str, bool, float]]
    """Of each the name of the tool, whether it cost the item, and seconds."""


@dataclass(frozen=True, slots=True)
class Leads:
    """The engine holds the lease from now on, or does not any more."""

    holds: bool


@dataclass(frozen=True, slots=True)
class Idle:
    """There is nothing to do, until a moment if that is known."""

    until: float | None


@dataclass(frozen=True, slots=True)
class Beat:
    """A sign of life."""


@dataclass(frozen=True, slots=True)
class Stuck:
    """Calls of tools that do not end keep the engine from planning again."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The engine ends because of an error."""

    message: str


Beside = Round | Reconciled | ToolsTimed
"""What is no event and goes to logs and metrics only."""
Said = (
    Loaded
    | Reads
    | NotLoaded
    | Happened
    | Progressed
    | Warned
    | Leads
    | Idle
    | Beat
    | Stuck
    | Failed
    | Beside
)
_Classes = tuple[type[Any], ...]
_MESSAGES: Mapping[str, type[Any]] = {
    one.__name__: one for one in (*get_args(Command), *get_args(Said))
}
_EVENTS: Mapping[str, type[Any]] = {one.__name__: one for one in get_args(Event)}


@cache
def _adapter(name: str) -> TypeAdapter[Any]:
    return TypeAdapter(_MESSAGES.get(name) or _EVENTS[name])


def encode(message: Command | Said) -> bytes:
    """Return a message as a line."""
    name = type(message).__name__
    said = {"type": name, "body": _adapter(name).dump_python(message, mode="json")}
    try:
        return to_json(said, inf_nan_mode="strings") + b"\n"
    except PydanticSerializationError:
        # A text that is none, as the name of a file that is no UTF-8, ends nobody.
        return to_json(_storable(said), inf_nan_mode="strings") + b"\n"


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, dict):
        return {_storable(name): _storable(one) for name, one in cast(JsonObject, value).items()}
    if isinstance(value, list | tuple):
        return [_storable(one) for one in cast(Sequence[Any], value)]
    return value


def decode(line: bytes) -> Any:
    """Return the message of a line.

    Raises:
        ValueError: It is none.
    """
    said = from_json(line)
    return _adapter(said["type"]).validate_python(said["body"])


def happened(event: Event) -> Happened:
    """Return the message that tells an event."""
    name = type(event).__name__
    return Happened(name, _adapter(name).dump_python(event, mode="json"))


def event_of(said: Happened) -> Event:
    """Return the event a message tells."""
    event: Event = _adapter(said.kind).validate_python(said.event)
    return event
