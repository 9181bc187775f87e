"""`EmbeddingJob`: what a user declares, one vector for each of many rows."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from batchspec.spec import checks
from batchspec.spec.job import Job, PromptFunction
from batchspec.spec.model import EMBEDDING_SIZES, EMBEDDING_TOKENS
from batchspec.spec.output import OutputMode
from batchspec.spec.prompt import PromptInvalid, Template
from batchspec.spec.settings import unsendable
from batchspec.spec.shapes import LARGEST, is_list, is_mapping
from batchspec.spec.suggest import did_you_mean
from batchspec.spec.tool import Tool
from batchspec.spec.vectors import VectorMode

ENDPOINT = "/v1/embeddings"
IGNORABLE = ("model", "input", "settings")
"""Parts of a request that `ignore_changes` may name."""
SETTINGS = ("user", "encoding_format", "extra_body")
_FORMATS = ("base64", "float")
_OURS = {
    "model": "set `model` of the EmbeddingJob",
    "input": "set `input` of the EmbeddingJob",
    "dimensions": "set `dimensions` of the EmbeddingJob",
}
_NO_ANSWER = "A vector is not asked for again: it is what the model gives for its input."
_FOREIGN = {
    "prompt": "What is embedded is `input`, a template or a function of a row.",
    "instructions": "An embedding model takes no instructions; what it is to see is `input`.",
    "output": "The output is a vector, a list of floats.",
    "output_validators": f"{_NO_ANSWER} Check vectors where you use them.",
    "output_retries": _NO_ANSWER,
    "tools": "An embedding model calls none.",
    "max_turns": "An item has one turn.",
    "samples": "Equal inputs have equal vectors.",
    "variants": "Write one EmbeddingJob for each model.",
    "grade": "Grade the job that uses the vectors.",
    "deps": "Nothing of it runs on this machine.",
}
_CHAT = re.compile(r"(gpt-|chatgpt|o\d|claude|gemini-\d)(?!.*embed)")


def _dimensions(value: Any) -> Iterable[str]:
    if value is not None and (type(value) is not int or not 1 <= value <= LARGEST):
        yield f"`dimensions` is a whole number from 1; got {value!r:.80}."


def _settings(value: Any) -> Iterable[str]:
    if value is None:
        return
    if not is_mapping(value):
        yield f'`settings` is a dict such as {{"user": "team-7"}}; got {value!r:.80}.'
        return
    extra: Any = value.get("extra_body", {})
    if not is_mapping(extra):
        yield f"`settings`: extra_body is a dict of body parameters; got {extra!r:.80}."
        extra = {}
    for name in [*map(str, value), *map(str, extra)]:
        if name in _OURS:
            yield f"`settings`: {name!r} is not a setting: {_OURS[name]}."
    for name in map(str, value):
        if name not in SETTINGS and name not in _OURS:
            yield (
                f"`settings`: {name!r} is not a known setting of embeddings."
                f" {did_you_mean(name, SETTINGS)}"
                f' To send it as it is, write settings={{"extra_body": {{{name!r}: …}}}}.'
            )
    yield from (f"`settings`: {problem}" for problem in unsendable({"extra_body": extra}))
    if not isinstance(value.get("user", ""), str):
        yield f"`settings`: user is a text; got {value['user']!r:.80}."
    if value.get("encoding_format", "float") not in _FORMATS:
        yield (
            f'`settings`: encoding_format is "base64" or "float"; got'
            f" {value['encoding_format']!r:.80}."
        )


def _together(given: Mapping[str, Any]) -> Iterable[str]:
    yield from checks.in_vain(given)
    model, dimensions = given["model"].partition(":")[2], given.get("dimensions")
    size = EMBEDDING_SIZES.get(model)
    if size is None or dimensions is None:
        return
    if not size.adjustable:
        yield f"{model} gives vectors of {size.most} components only; leave out `dimensions`."
    elif dimensions > size.most:
        yield f"{model} gives vectors of {size.most} components at most; got {dimensions}."


@dataclass(frozen=True, kw_only=True, eq=False)
class EmbeddingJob(Job):
    """A declared job: every row through one embedding model, a vector each.

    Args:
        model: `"provider:model"`.
        rows: Where the rows come from; see `batchspec.rows`.
        input: A `{field}` template, or a function from a row to a text or to a list of token ids.
        dimensions: Components of a vector; None: as many as the model gives.
        settings: `user`, `encoding_format` ("base64" unless a server cannot) and `extra_body`.
        row_type: A Pydantic model every row must fit; templates and functions then get it.
        max_cost: In US dollars, for all items together.
        protect: Refuse changes that would cancel, forget or pay again for items.
        enabled: False leaves the job out.
        ignore_changes: Parts of the request whose changes alone resubmit nothing.
        triggers: JSON values by name, never sent: where one changes, every row is asked again.
        refresh_every: How often whoever watches reads the rows again, as `"1h"` or a timedelta.
        expires_after: How old an answer may be, as `"30d"` or a timedelta; then it is asked again.
        metadata: For the provider's batches: up to 14 short texts.
        completion_window: How long a batch may take.
        on_item_final: Is told of each item that is final; see `Job`.
        on_job_final: Is told a `JobFinal` once all items are final.
        on_error: Is told a `JobError` when something stops what is done for the job.

    Raises:
        SpecError: An argument is unknown or of the wrong kind; the diagnostic names the line.
    """

    signature: ClassVar[checks.Signature] = checks.Signature(
        name="EmbeddingJob",
        checks={
            **checks.SHARED,
            "input": checks.template_or_function("input"),
            "dimensions": _dimensions,
            "settings": _settings,
            "ignore_changes": checks.parts_of_request(IGNORABLE),
        },
        required=("model", "rows", "input"),
        example='model="…", rows=…, input="…"',
        foreign=_FOREIGN,
        together=_together,
    )
    endpoint: ClassVar[str | None] = ENDPOINT
    speaks: ClassVar[bool] = False

    input: str | PromptFunction
    dimensions: int | None = None
    prompt: str | PromptFunction = field(init=False, repr=False)
    """The same as `input`."""
    instructions: str | PromptFunction | None = field(default=None, init=False, repr=False)
    output: Any = field(default=None, init=False, repr=False)
    output_validators: Sequence[Callable[..., Any]] = field(default=(), init=False, repr=False)
    output_retries: int = field(default=0, init=False, repr=False)
    tools: Sequence[Tool[..., Any] | Callable[..., Any]] = field(default=(), init=False, repr=False)
    max_turns: int = field(default=1, init=False, repr=False)
    samples: int = field(default=1, init=False, repr=False)
    variants: Mapping[str, Mapping[str, Any]] | None = field(default=None, init=False, repr=False)
    grade: Callable[..., bool | float] | None = field(default=None, init=False, repr=False)
    deps: Callable[[], Any] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("prompt", self.input)

    def body(self) -> dict[str, Any]:
        """Return the parameters of a request beside the model and the input."""
        asked = {} if self.dimensions is None else {"dimensions": self.dimensions}
        return super().body() | asked

    def mode(self) -> OutputMode:
        """Return how an answer is read."""
        return VectorMode(self.dimensions)

    def templates(self) -> Mapping[str, str]:
        """Return the templates, by the argument they are given as."""
        return {"input": self.input} if isinstance(self.input, str) else {}

    def doubts(self) -> Iterable[tuple[str, str]]:
        """Yield (summary, detail) for what is allowed and probably not meant."""
        if _CHAT.match(self.model.partition(":")[2]):
            yield (
                "model answers with text",
                f"{self.model} is no embedding model, which every line will say. Did you mean Job?",
            )


def inputs(job: EmbeddingJob) -> Callable[[Any], str | list[int]]:
    """Return the function from a row to its input, which raises `PromptInvalid`."""
    given, limit = job.input, _limit(job)
    if isinstance(given, str):
        given = Template(given).compile(job.row_type)

    def render(row: Any) -> str | list[int]:
        value = given(row)
        if isinstance(value, str):
            _check_text(value, limit)
            return value
        return _token_ids(value, limit)

    return render


def _limit(job: EmbeddingJob) -> int | None:
    known = job.model.partition(":")[2] in EMBEDDING_SIZES
    return EMBEDDING_TOKENS if known else None


def _check_text(text: str, limit: int | None) -> None:
    if not text:
        raise PromptInvalid("The input came out empty, and there is no vector of nothing.")
    # A word is one token at least, so this refuses nothing that the provider takes. The length is
    # looked at first: words are counted in few texts.
    if limit is not None and len(text) > 2 * limit and (words := len(text.split())) > limit:
        raise PromptInvalid(
            f"The input has {words:_} words, and an input may have {limit:_} tokens, of which a"
            " word takes one at least. Split the row."
        )


def _token_ids(value: Any, limit: int | None) -> list[int]:
    ids: list[Any] = list(value) if is_list(value) else []
    if not ids or not all(type(token) is int and token >= 0 for token in ids):
        more = " A row has one vector: make a row of each text." if is_list(value) else ""
        raise PromptInvalid(
            "`input` gives a text, or the ids of its tokens as a list of whole numbers, at least"
            f" one; got {value!r:.80}.{more}"
        )
    if limit is not None and len(ids) > limit:
        raise PromptInvalid(
            f"The input has {len(ids):_} tokens, and an input may have {limit:_}. Split the row."
        )
    return ids
