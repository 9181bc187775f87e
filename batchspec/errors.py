"""What can go wrong, told so that a person knows what to do next.

Two families with different readers: `ModelRetry` is raised by users' code and read by the model;
everything else is raised by us and read by people. The class says the exit code.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Literal

Severity = Literal["error", "warning"]


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


class BatchspecError(Exception):
    """Something stopped the command; the message says what to do."""

    exit_code: ClassVar[ExitCode] = ExitCode.ERROR


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
    """Another process is applying to this state."""

    exit_code = ExitCode.LOCKED


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
