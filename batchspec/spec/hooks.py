"""Hooks: what is told when an item or a job is final, and when something stops or rests."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import inf
from typing import Any, Literal, TypeGuard, get_args

from batchspec.messages import Usage
from batchspec.spec.context import takes_context
from batchspec.spec.shapes import is_list

HookKind = Literal["item", "job", "error"]
"""What a hook is told of: `on_item_final`, `on_job_final`, `on_error`."""
HOOKS: Mapping[HookKind, str] = {
    "item": "on_item_final",
    "job": "on_job_final",
    "error": "on_error",
}
"""The argument of a job that holds the hook of a kind."""
TIMEOUT = 60.0
"""Seconds a delivery may take."""
RETRIES = 8
"""Further tries after the first."""


@dataclass(frozen=True, slots=True)
class Command:
    """A hook that is a command: it gets JSON on its standard input, and must end with code 0.

    Attributes:
        words: The program and its arguments; or the text for a shell.
        shell: Whether a shell reads it.
        timeout: Seconds one delivery may take.
        retries: Further tries after one that failed.
    """

    words: Sequence[str] | str
    shell: bool = False
    timeout: float = TIMEOUT
    retries: int = RETRIES

    @property
    def argv(self) -> list[str]:
        """What is executed."""
        if isinstance(self.words, str):
            return ["/bin/sh", "-c", self.words]
        return list(self.words)

    @property
    def program(self) -> str | None:
        """What must be there; None: the shell finds it."""
        return None if self.shell else self.argv[0]


@dataclass(frozen=True, slots=True)
class Hook:
    """A hook that is a function, with how long it may take and how often it is tried.

    Attributes:
        function: Of one value, or of a `RunContext` and the value; `def` or `async def`.
        timeout: Seconds one delivery may take.
        retries: Further tries after one that failed.
    """

    function: Callable[..., Any]
    timeout: float = TIMEOUT
    retries: int = RETRIES


Target = Hook | Command
"""What is called or executed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFinal:
    """All items of a job are final.

    Attributes:
        address: Of the job, with variant and sample.
        items: How many it has.
        outcomes: How many of them ended how.
        usage: Tokens of all their turns.
        cost: US dollars of all their turns; None: a price is unknown.
        turns: Replies they took.
    """

    address: str
    items: int
    outcomes: Mapping[str, int]
    usage: Usage
    cost: Decimal | None
    turns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobError:
    """Something stopped what is done for a job, or lets it rest.

    Attributes:
        address: Of the job, with variant and sample.
        what: What it is about: `batch`, `lane`, `tools`, `job`, `provider`, `rows` that cannot be
            planned, or the `round` of a watcher.
        name: Which of them; of `rows` and `round` the environment.
        reason: A sentence for people.
        since: When it began, unix seconds.
    """

    address: str
    what: str
    name: str
    reason: str
    since: float


def target_of(given: Any) -> Target | None:
    """Return what a job's argument names; a list of words is a command."""
    if given is None or isinstance(given, Target):
        return given
    return Command(tuple(given)) if is_list(given) else Hook(given)


def targets(job: Any) -> dict[HookKind, Target]:
    """Return the hooks of a job."""
    found = {kind: target_of(getattr(job, HOOKS[kind])) for kind in get_args(HookKind)}
    return {kind: target for kind, target in found.items() if target is not None}


def hook_check(
    name: str, positional: Callable[[Any], int | None]
) -> Callable[[Any], Iterable[str]]:
    """Return the check of an argument that is a hook; `positional` counts parameters."""

    def check(value: Any) -> Iterable[str]:
        if value is None:
            return
        if isinstance(value, Command) or is_list(value):
            yield from (f"`{name}`: {problem}" for problem in _command(value))
            return
        function: Any = value.function if isinstance(value, Hook) else value
        if isinstance(value, Hook):
            yield from (f"`{name}`: {problem}" for problem in _patience(value))
        if not callable(function):
            yield (
                f"`{name}` is a function, a command as a list of words, Hook(function) or"
                f" Command([…]); got {function!r:.80}."
            )
        elif positional(function) not in (None, 2 if takes_context(function) else 1):
            yield f"`{name}`: {function!r:.80} must take one value, or a RunContext and a value."

    return check


def _command(given: Any) -> Iterable[str]:
    command = given if isinstance(given, Command) else Command(given)
    if isinstance(command.words, str) != command.shell:
        yield (
            'a command is a list of words, Command(["notify", "me"]); a text is for a shell,'
            ' Command("notify me", shell=True).'
        )
    elif not command.words or not all(_is_word(word) for word in command.words):
        yield f"a command is one text or more, none of them empty; got {command.words!r:.80}."
    yield from _patience(command)


def _patience(target: Target) -> Iterable[str]:
    if not _is_number(target.timeout) or not 0 < target.timeout < inf:
        yield f"`timeout` is in seconds, more than 0; got {target.timeout!r:.80}."
    if type(target.retries) is not int or target.retries < 0:
        yield f"`retries` is a whole number from 0; got {target.retries!r:.80}."


def _is_word(word: object) -> bool:
    return isinstance(word, str) and bool(word) and "\0" not in word


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
