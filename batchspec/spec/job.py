"""`Job`: what a user declares, one prompt over many rows."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import import_module
from math import isfinite
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from pydantic import BaseModel

from batchspec.errors import Diagnostic, Source
from batchspec.fingerprint import canonical_json
from batchspec.spec import checks
from batchspec.spec.collect import refuse, warn
from batchspec.spec.context import takes_context
from batchspec.spec.hooks import Command, Hook
from batchspec.spec.model import is_embedding_model
from batchspec.spec.origin import call_site, calling_module
from batchspec.spec.output import OutputMode, output_mode
from batchspec.spec.result import completed
from batchspec.spec.rows import JUDGED, RowSource
from batchspec.spec.settings import Settings, body_settings
from batchspec.spec.tool import Tool

if TYPE_CHECKING:
    from pydantic_ai import Agent

T = TypeVar("T")
PromptFunction = Callable[[Any], Any]
"""From a row (a dict, or the `row_type`) to a text or a list of messages."""
Hooked = Callable[..., Any] | Hook | Command | Sequence[str] | None
"""A function, or `Hook(function)`; a command: `Command([…])`, or its words."""


class Declared(type):
    """Checks the arguments of a `Job(…)` before the generated `__init__` does.

    Its TypeError would know neither the line nor what was meant. Type checkers still see the exact
    keywords.
    """

    def __call__(cls: type[T], *args: Any, **kwargs: Any) -> T:
        signature: checks.Signature = cast("Any", cls).signature
        found = checks.problems(signature, args, kwargs)
        if not found:
            return cast("T", type.__call__(cls, **kwargs))
        source = call_site()
        summary = f"{signature.name} is not valid"
        refuse([Diagnostic(summary=summary, detail=p, source=source) for p in found])
        return _remains(cls, source, kwargs.get("grade"))


def _remains(cls: type[T], source: Source, grade: object = None) -> T:
    """Return what is left of a refused job where a loader collects problems.

    Its judge stays one, so that nothing is told of it that is not its own fault.
    """
    remains = object.__new__(cls)
    for name, value in {
        "source": source,
        "module_file": calling_module() or source.file,
        "valid": False,
        "grade": grade,
    }.items():
        object.__setattr__(remains, name, value)
    return remains


@dataclass(frozen=True, kw_only=True, eq=False)
class Job(metaclass=Declared):
    """A declared job: every row through one prompt and one model.

    A job does nothing by itself. A module-level variable in `specs/` that holds one is a resource,
    known by its address `module.variable`.

    Args:
        model: `"provider:model"`.
        rows: Where the rows come from; see `batchspec.rows`.
        prompt: A `{field}` template, or a function from a row to a text or a list of messages.
        instructions: The system message, in the same two forms.
        output: None or `str` for text; a type, or `NativeOutput(type)`.
        output_validators: Functions `(value)` or `(ctx, value)` run on the parsed answer; they
            return the value to keep and raise `ModelRetry` to ask the model again.
        output_retries: How often an answer that is not accepted is asked for again.
        tools: What the model may call.
        max_turns: Requests an item may cost, retries included.
        row_type: A Pydantic model every row must fit; templates and functions then get it.
        settings: temperature, max_tokens, seed, …; see `Settings`.
        samples: Answers per row. The first is asked for as it is without samples.
        variants: By name, arguments that differ from the job's: every row goes through each of
            them. Settings are merged by name; other arguments are replaced. See `matrix`.
        grade: `(row, output)` or `(output)` to a score (a bool or a number), evaluated on this
            machine for each item that succeeded; or another job, a judge, that has no `rows`: it
            gets the answers of this job, and its answer is the score.
        deps: Called once per run; tools and validators get its result as `ctx.deps`.
        max_cost: In US dollars, for all items together.
        protect: Refuse changes that would cancel, forget or pay again for items.
        enabled: False leaves the job out.
        ignore_changes: Parts of the request whose changes alone resubmit nothing.
        triggers: JSON values by name, never sent: where one changes, every row is asked again.
        refresh_every: How often whoever watches reads the rows again, as `"1h"` or a timedelta.
        expires_after: How old an answer may be, as `"30d"` or a timedelta; then it is asked again.
        metadata: For the provider's batches: up to 14 short texts.
        completion_window: How long a batch may take.
        on_item_final: Is told of each item that is final: a function `(item)` or `(ctx, item)`, or
            a command; at least once, with retries, and never in the way of the run.
        on_job_final: Is told a `JobFinal` once all items are final.
        on_error: Is told a `JobError` when something stops what is done for the job.

    Raises:
        SpecError: An argument is unknown or of the wrong kind; the diagnostic names the line.
    """

    signature: ClassVar[checks.Signature] = checks.JOB
    endpoint: ClassVar[str | None] = None
    """Where its requests go; None: to the chats of its provider."""
    speaks: ClassVar[bool] = True
    """Whether replies have output tokens."""

    model: str
    rows: RowSource = JUDGED
    prompt: str | PromptFunction
    instructions: str | PromptFunction | None = None
    output: Any = None
    output_validators: Sequence[Callable[..., Any]] = ()
    output_retries: int = 1
    tools: Sequence[Tool[..., Any] | Callable[..., Any]] = ()
    max_turns: int = 10
    row_type: type[BaseModel] | None = None
    settings: Settings | Mapping[str, Any] | None = None
    samples: int = 1
    variants: Mapping[str, Mapping[str, Any]] | None = None
    grade: "Callable[..., bool | float] | Job | None" = None
    deps: Callable[[], Any] | None = None
    max_cost: float | None = None
    protect: bool = False
    enabled: bool = True
    ignore_changes: Sequence[str] = ()
    triggers: Mapping[str, Any] | None = None
    refresh_every: str | timedelta | None = None
    expires_after: str | timedelta | None = None
    metadata: Mapping[str, str] | None = None
    completion_window: str = "24h"
    on_item_final: Hooked = None
    on_job_final: Hooked = None
    on_error: Hooked = None
    source: Source = field(init=False, repr=False)
    """Where the job is made."""
    module_file: str = field(init=False, repr=False)
    """The module whose import made it; not the file of a factory function it may have called."""

    valid: bool = field(default=True, init=False, repr=False)
    """False for what is left of a refused one while a loader collects problems."""

    def __post_init__(self) -> None:
        source = call_site()
        self._set("source", source)
        self._set("module_file", calling_module() or source.file)
        self._normalise()

    def _normalise(self) -> None:
        self._set("tools", tuple(_as_tool(given) for given in self.tools))
        for name in ("output_validators", "ignore_changes"):
            self._set(name, tuple(getattr(self, name)))
        for name in ("settings", "metadata"):
            self._set(name, dict(getattr(self, name) or {}))
        # As they will be read back; and what the spec does with its own from now on is no change.
        self._set("triggers", json.loads(canonical_json(self.triggers or {})))

    def change(self, given: Mapping[str, Any]) -> None:
        """Change arguments of a copy that nobody else has; for variants."""
        for name, value in given.items():
            self._set(name, value)
        self._normalise()

    @classmethod
    def from_agent(
        cls,
        agent: "Agent[Any, Any]",
        *,
        rows: RowSource,
        ignore: Sequence[str] = (),
        **given: Any,
    ) -> "Job":
        """Declare an agent of Pydantic AI as a job; needs the extra `pydantic-ai`.

        Its model, instructions, tools, output type, validators, retries and settings become those
        of the job. What cannot be carried over is told: as an error where the job would behave in
        another way, as a warning where it would not.

        Args:
            agent: What `Agent(…)` made, with all that its decorators added.
            rows: Where the rows come from; each is one run of the agent.
            ignore: Names of what is found and accepted, such as `["end_strategy"]`.
            **given: Further arguments of `Job`, which win over the agent's. `prompt` is
                `"{prompt}"` by default. `deps` may also be a function of a row.

        Raises:
            SpecError: Something cannot be carried over, or an argument is of the wrong kind.
        """
        source = call_site()
        try:
            # By its name: the layers below know nothing of Pydantic AI, and most specs neither.
            declare = import_module("batchspec.spec.agents.declare")
        except ModuleNotFoundError as error:
            detail = (
                f"`Job.from_agent` needs Pydantic AI, and {error.name!r} is not installed: `pip"
                " install 'batchspec[pydantic-ai]'`."
            )
            refuse([Diagnostic(summary="an extra is missing", detail=detail, source=source)])
            return _remains(cls, source)
        made, found = declare.arguments(agent, given, ignore, source)
        if found.errors:
            refuse(found.told)
            return _remains(cls, source)
        warn(found.told)
        return cls(rows=rows, **made)

    def body(self) -> dict[str, Any]:
        """Return the parameters of a request beside the model and what a person wrote for it."""
        return body_settings(self.settings or {})

    def mode(self) -> OutputMode:
        """Return how an answer is read.

        Raises:
            Exception: The type of the output has no JSON schema, which pydantic says in many ways.
        """
        return output_mode(self.output)

    def templates(self) -> Mapping[str, str]:
        """Return the templates, by the argument they are given as."""
        given = {"instructions": self.instructions, "prompt": self.prompt}
        return {name: text for name, text in given.items() if isinstance(text, str)}

    def doubts(self) -> Iterable[tuple[str, str]]:
        """Yield (summary, detail) for what is allowed and probably not meant."""
        if is_embedding_model(self.model):
            told = "is no chat model, which every line will say. Did you mean EmbeddingJob?"
            yield "model answers with vectors", f"{self.model} {told}"

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)


def _as_tool(given: Tool[..., Any] | Callable[..., Any]) -> Tool[..., Any]:
    return cast("Tool[..., Any]", given) if isinstance(given, Tool) else Tool(given)


def grades_itself(job: Job) -> bool:
    """Tell whether the job's `grade` is a function, which is evaluated on this machine."""
    return job.grade is not None and not isinstance(job.grade, Job)


def graded(job: Job, row: Any, output: Any) -> float | None:
    """Return the job's score of one item, None where the job does not grade.

    Args:
        job: Whose `grade` is asked.
        row: As a prompt function gets it: the `row_type`, or else a dict.
        output: The value that was parsed and validated.

    Raises:
        ValueError: The score is no finite number, which would hide the mean of all others.
        Exception: What `grade` raises.
    """
    if job.grade is None or isinstance(job.grade, Job):
        return None
    arguments = (output,) if checks.positional(job.grade) == 1 else (row, output)
    score = float(job.grade(*arguments))
    if not isfinite(score):
        raise ValueError(f"{score} is no score: a score is a finite number")
    return score


def validated(job: Job, value: Any, context: Any) -> Any:
    """Return an output after the job's validators; what one returns goes to the next.

    A validator that returns None leaves the value as it is.

    Raises:
        ModelRetry: A validator asks for another answer.
    """
    for validator in job.output_validators:
        given = (context, value) if takes_context(validator) else (value,)
        result = completed(validator(*given))
        value = value if result is None else result
    return value
