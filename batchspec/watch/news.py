"""What can happen to a watcher, as `succession` is told."""

from dataclasses import dataclass

from batchspec.errors import Diagnostic


@dataclass(frozen=True, slots=True)
class HasLoaded:
    """An engine's specs are loaded.

    Attributes:
        patience: Seconds that the engine before has to end; 0: as long as it takes.
    """

    engine: int
    patience: float = 0.0


@dataclass(frozen=True, slots=True)
class HasNotLoaded:
    """An engine's specs are not right, or took too long; it ends."""

    engine: int
    problems: tuple[Diagnostic, ...]


@dataclass(frozen=True, slots=True)
class HasNotStarted:
    """The machine has no process or file descriptor left for an engine.

    Attributes:
        why: What the operating system said.
    """

    engine: int
    why: str


@dataclass(frozen=True, slots=True)
class HasEnded:
    """The process of an engine is gone."""

    engine: int
    code: int


@dataclass(frozen=True, slots=True)
class CodeChanged:
    """Modules or configuration are others than before, or a person wants them loaded anew."""


@dataclass(frozen=True, slots=True)
class DataChanged:
    """What rows are made of is other than before, or a plan was approved."""


@dataclass(frozen=True, slots=True)
class StopWanted:
    """Everything is to end: the first time once what runs has ended, then at once."""


@dataclass(frozen=True, slots=True)
class StartDue:
    """The time has come to start an engine again."""


@dataclass(frozen=True, slots=True)
class DrainOver:
    """An engine that was told to drain has had the time for it."""

    engine: int


@dataclass(frozen=True, slots=True)
class HasStuck:
    """An engine is kept by calls of tools from planning again, for longer than they have time."""

    engine: int


@dataclass(frozen=True, slots=True)
class HasBeenWell:
    """An engine that was begun after one that died has had the time to die as well."""

    engine: int


News = (
    HasLoaded
    | HasNotLoaded
    | HasNotStarted
    | HasEnded
    | CodeChanged
    | DataChanged
    | StopWanted
    | StartDue
    | DrainOver
    | HasStuck
    | HasBeenWell
)
