"""What can go wrong, told so that a person knows what to do next.

Two families with different readers: `ModelRetry` is raised by users' code and read by the model;
everything else is raised by us and read by people. The class says the exit code.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Literal

Severity = Literal["error", "warning"]
MOST_SAID = 10_000
"""Characters of a reason that are kept and shown."""
MOST_TOLD = 100_000
"""Characters of what a model is told of a call or of an answer that was not accepted."""
_ROOM = 48
"""For the words that stand for what was left out."""


_VARIES = re.compile(r"…?\b(?:\w+[-_])?[0-9a-f]{8,}\b|(?<![\w.])\d[\d.,:]*")
"""What differs between messages of one kind: ids, counts, times."""


class ExitCode(IntEnum):
    """Exit codes of the command line; stable once released."""

    DONE = 0
    ERROR = 1
    CHANGES = 2
    IN_PROGRESS = 3
    FAILED_ITEMS = 4
    LOCKED = 5
    STALE_PLAN = 6
    REFUSED = 7
    DECLINED = 8
    USAGE = 64
    INTERNAL = 70
    INTERRUPTED = 130
    TERMINATED = 143


@dataclass(frozen=True, slots=True)
class Source:
    """A place in a file; `line` counts from 1, None where the whole file is meant."""

    file: str
    line: int | None = None

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """One problem: a short summary without user data, a detail with what is wrong and what to do.

    A warning stops nothing.
    """

    summary: str
    detail: str
    source: Source | None = None
    address: str | None = None
    severity: Severity = "error"

    def __post_init__(self) -> None:
        object.__setattr__(self, "summary", storable(self.summary))
        object.__setattr__(self, "detail", storable(self.detail))

    def __str__(self) -> str:
        where = f"{self.source}: " if self.source else ""
        whose = f"{self.address}: " if self.address else ""
        return f"{where}{whose}{self.summary}. {self.detail}"


class ModelRetry(Exception):  # noqa: N818 - the name pydantic-ai's users know
    """Raised in a tool or an output validator to ask the model to try again.

    Args:
        message: What the model is told.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def kind_of(message: str) -> str:
    """Return what a message has in common with others that say the same of other things."""
    return _VARIES.sub("#", message)


def storable(text: str) -> str:
    """Return a text that can be stored and sent: what is no character in it as its escape.

    The name of a file that is no UTF-8 has halves of surrogate pairs, which fit no column.
    """
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def shortened(text: str, most: int = MOST_SAID) -> str:
    """Return a text of so many characters at most; one that is longer says how much it lacks."""
    if len(text) <= most:
        return text
    kept = most - _ROOM
    return f"{text[:kept]}… ({len(text) - kept:_} more characters)"


def worded(error: BaseException) -> str:
    """Return the kind and the words of what users' code raised, as text that can be stored.

    Whatever its methods do, this raises nothing.
    """
    kind = _text(lambda: type(error).__name__) or "an exception"
    said = _text(lambda: error)
    return f"{kind}: {'(its text cannot be made)' if said is None else said}"


def asked(retry: BaseException) -> str:
    """Return what the model is told where `ModelRetry` was raised, as text that can be stored."""
    said = _text(lambda: getattr(retry, "message", retry))
    return "Try again." if said is None else shortened(said, MOST_TOLD)


def _text(make: Callable[[], object]) -> str | None:
    # Half a surrogate pair fits no column and no request.
    try:
        return str(make()).encode("utf-8", "replace").decode()
    except (Exception, SystemExit):  # noqa: BLE001 - it is users' code too
        return None


class BatchspecError(Exception):
    """Something stopped the command; the message says what to do."""

    exit_code: ClassVar[ExitCode] = ExitCode.ERROR

    def __init__(self, message: str = "") -> None:
        super().__init__(storable(message))


class SpecError(BatchspecError):
    """The specs or their data are not right; nothing was sent.

    Attributes:
        diagnostics: Every problem found, in the order of files and lines.
    """

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__("\n".join(str(d) for d in self.diagnostics))


class DepsError(SpecError):
    """A job's `deps` cannot be made in the middle of a run; what was sent and recorded stays."""


class ConfigurationError(BatchspecError):
    """The configuration or the environment is not right."""


class ProviderError(BatchspecError):
    """The provider cannot be used: unreachable, a refused key, an answer that makes no sense."""


class StateError(BatchspecError):
    """The state file cannot be read or written."""


class LockedError(BatchspecError):
    """Another process is applying to this state.

    Attributes:
        holder: Which, for people; empty where that is not known.
    """

    exit_code = ExitCode.LOCKED

    def __init__(self, message: str, holder: str = "") -> None:
        super().__init__(message)
        self.holder = holder


class StalePlanError(BatchspecError):
    """The saved plan is used, stale, or belongs to another state."""

    exit_code = ExitCode.STALE_PLAN


class PlanFileError(BatchspecError):
    """A file that was given as a saved plan cannot be read as one."""


class RefusedError(BatchspecError):
    """A budget or a guard refused the change; nothing was sent."""

    exit_code = ExitCode.REFUSED


class DeclinedError(BatchspecError):
    """Nobody agreed to the plan; nothing was sent."""

    exit_code = ExitCode.DECLINED


class UsageError(BatchspecError):
    """The command line does not fit the command."""

    exit_code = ExitCode.USAGE


def exit_code_for(error: BaseException) -> ExitCode:
    """Return the exit code an exception ends the process with."""
    if isinstance(error, BatchspecError):
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    return ExitCode.INTERNAL
