"""The `RunContext` of Pydantic AI that an agent's functions get from a job."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import pydantic_ai
from pydantic_ai.usage import RunUsage, UsageLimits

from batchspec.spec.agents.probe import AnyAgent, wait_for
from batchspec.spec.checks import positional
from batchspec.spec.context import RunContext
from batchspec.spec.deps import held

DepsFactory = Callable[..., Any]


class NotInABatch(RuntimeError):  # noqa: N818 - reads as what is said
    """An agent's function read what a job cannot give it."""


class Missing:
    """Stands for what a job does not know; says so as soon as it is used."""

    def __init__(self, name: str, why: str) -> None:
        object.__setattr__(self, "_said", f"`ctx.{name}` is not known in a batch: {why}.")

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise NotInABatch(object.__getattribute__(self, "_said"))

    def __repr__(self) -> str:
        return "<not known in a batch>"

    __getattr__ = __setattr__ = __call__ = __iter__ = __len__ = __bool__ = _refuse
    __getitem__ = __setitem__ = __contains__ = __str__ = __int__ = __float__ = _refuse


MESSAGES = Missing("messages", "a tool gets its call, not the conversation")
"""In the place of the conversation."""
USAGE = "a reply's tokens are counted where it is read, in `batchspec results --turns`"


@dataclass(frozen=True, slots=True)
class Deps:
    """How `ctx.deps` comes about.

    Attributes:
        factory: Of the user: without parameters, called once per run by batchspec; or of a row,
            called here for each call of a function; None: there are none.
    """

    factory: DepsFactory | None = None

    @property
    def by_row(self) -> bool:
        """Whether each row has its own."""
        return self.factory is not None and positional(self.factory) == 1

    def of(self, row: Any, once: Any) -> Any:
        """Return those of a row.

        Args:
            row: As prompt functions get it.
            once: What is there once per run.
        """
        if not self.by_row:
            return once
        return cast("DepsFactory", self.factory)(row)

    def once(self) -> Any:
        """Return those of a run, for functions that are called before there is one."""
        if self.factory is None:
            return None
        made = self.factory()
        return wait_for(made) if inspect.iscoroutine(made) else made

    @property
    def yields(self) -> bool:
        """Whether the factory ends what it made, which only a run can do."""
        return self.factory is not None and not self.by_row and held(self.factory) is not None


@dataclass(frozen=True, slots=True)
class Contexts:
    """Makes contexts for the functions of one agent.

    Attributes:
        agent: Whose functions they are.
        model: What `ctx.model` is; it sends nothing.
        deps: Where `ctx.deps` comes from.
        view: From a row as read to what prompt functions get.
        prompt: From that to the text of the prompt, None where it is a list of messages.
        metadata: The agent's own, where it is fixed.
    """

    agent: AnyAgent
    model: Any
    deps: Deps
    view: Callable[[dict[str, Any]], Any]
    prompt: Callable[[Any], str | None]
    metadata: dict[str, Any] | None

    def make(self, given: RunContext[Any], **options: Any) -> pydantic_ai.RunContext[Any]:
        """Return a context of Pydantic AI for a call or a judgement of a job.

        Args:
            given: Ours.
            **options: What is known of the call.
        """
        row = self.view(given.row)
        made = pydantic_ai.RunContext[Any](
            deps=self.deps.of(row, given.deps),
            model=self.model,
            usage=cast("RunUsage", Missing("usage", USAGE)),
            usage_limits=cast("UsageLimits", Missing("usage_limits", "`max_cost` bounds a job")),
            agent=self.agent,
            prompt=self.prompt(row),
            messages=cast("Any", MESSAGES),
            run_step=given.turn,
            run_id=given.call_id.split(".")[0] or None,
            conversation_id=given.call_id.split(".")[0] or None,
            metadata=self.metadata,
            **options,
        )
        made.validation_context = self._validation(made)
        return made

    def _validation(self, made: pydantic_ai.RunContext[Any]) -> Any:
        given = self.agent.validation_context
        return given(made) if callable(given) else given
