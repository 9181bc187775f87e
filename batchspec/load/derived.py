"""Templates over rows made of answers: whether they name what the other job's answers have.

The shape of such a row follows from the job above: its output type and the fields of its rows. It
is a JSON schema, walked along the path of a slot as far as it says something.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from batchspec.load.fields import row_fields
from batchspec.spec.embedding import EmbeddingJob
from batchspec.spec.job import Job
from batchspec.spec.output import NativeOutput, OrNothing, PromptedOutput, ToolOutput
from batchspec.spec.output.members import is_function, is_several
from batchspec.spec.prompt import Slot, Template
from batchspec.spec.rows import MEMBER_FIELDS, Collect, DerivedSource
from batchspec.spec.suggest import did_you_mean

Schema = Mapping[str, Any]
Upstream = Callable[[Job], Job | None]
"""Finds the job whose answers a job's rows are made of."""
_TEXT: Schema = {"type": "string"}
_PLAIN = {"string": "a text", "integer": "a number", "number": "a number", "boolean": "a boolean"}
_DEPTH = 8
"""Jobs above each other whose rows are described."""


def derived_problems(
    job: Job, root: Path, upstream: Upstream, *, many: bool
) -> Iterator[tuple[str, str]]:
    """Yield (summary, detail) for slots that name what no answer has, beyond the first step.

    Args:
        job: Made of another one's answers.
        root: The project's folder.
        upstream: Finds the other one.
        many: Whether that has variants or samples.
    """
    if job.row_type is not None or not isinstance(job.rows, DerivedSource):
        return
    shape = _row(job, root, upstream, _DEPTH, many=many)
    for name, given in job.templates().items():
        for slot in Template(given).slots:
            if len(slot.path) > 1 and (problem := _problem(slot, shape)):
                yield "template field is not known", f"In `{name}`: {slot}: {problem}"


def _problem(slot: Slot, shape: Schema) -> str | None:
    found = [shape]
    for depth, step in enumerate(slot.path):
        whose = ".".join(slot.path[:depth])
        nexts = [_step(one, step) for one in found]
        if any(one == {} for one in nexts):
            return None  # nobody knows
        good = [one for one in nexts if one is not None]
        if not good:
            return _told(whose, step, found) if depth else None  # the first step is told elsewhere
        found = [branch for one in good for branch in _branches(one)]
    return None


def _told(whose: str, step: str, shapes: list[Schema]) -> str:
    known = [name for shape in shapes for name in shape.get("properties", ())]
    kinds = {_PLAIN[shape["type"]] for shape in shapes if shape.get("type") in _PLAIN}
    if not known and len(kinds) == 1:
        return f"{whose!r} is {kinds.pop()} and has no {step!r}."
    return f"{whose!r} has no {step!r}. {did_you_mean(step, known)}"


def _step(shape: Schema, step: str) -> Schema | None:
    """Return what a step leads to; None: nowhere, an empty schema: nobody knows."""
    kind = shape.get("type")
    if kind == "object" and "properties" in shape:
        if step in shape["properties"]:
            return _within(shape, shape["properties"][step])
        return {} if shape.get("additionalProperties") else None
    if kind == "array" and step.lstrip("-").isdecimal() and isinstance(shape.get("items"), dict):
        return _within(shape, shape["items"])
    if kind in _PLAIN or kind == "null" or (kind == "array" and not step.lstrip("-").isdecimal()):
        return None
    return {}


def _branches(shape: Schema) -> list[Schema]:
    """Return what a value may be, with references followed."""
    found = shape
    for _ in range(_DEPTH):
        if "$ref" not in found:
            break
        found = _within(shape, shape.get("$defs", {}).get(found["$ref"].rpartition("/")[2], {}))
    parts = found.get("anyOf") or found.get("oneOf")
    if not parts:
        return [found]
    return [branch for part in parts for branch in _branches(_within(shape, part))]


def _within(shape: Schema, part: Schema) -> Schema:
    """Return a part of a schema with the definitions it may refer to."""
    return {"$defs": shape["$defs"], **part} if part and "$defs" in shape else part


def _object(fields: Mapping[str, Schema]) -> Schema:
    return {"type": "object", "properties": dict(fields)}


def _row(job: Job, root: Path, upstream: Upstream, depth: int, *, many: bool = False) -> Schema:
    """Describe the rows of a job, as far as they are known without reading them."""
    source = job.rows
    if not isinstance(source, DerivedSource):
        fields = row_fields(job, root) if job.row_type is None else None
        return {} if fields is None else _object({name: {} for name in fields})
    other = upstream(job)
    if other is None or depth == 0:
        return {}
    output = _output(other)
    item = {"key": _TEXT, "row": _row(other, root, upstream, depth - 1), "output": output}
    if many:
        item |= {name: {} for name in MEMBER_FIELDS}
    if not isinstance(source, Collect):
        return _object(item)
    return _object(
        {
            "key": _TEXT,
            "items": {"type": "array", "items": _object(item)},
            "outputs": {"type": "array", "items": output},
            "count": {"type": "integer"},
        }
    )


def _output(job: Job) -> Schema:
    """Describe an answer; a validator may make anything of it."""
    varied = any("output" in changes for changes in (job.variants or {}).values())
    if isinstance(job, EmbeddingJob) or job.output_validators or varied:
        return {}
    kind = job.output
    if isinstance(kind, OrNothing):
        return {}
    if isinstance(kind, NativeOutput | ToolOutput | PromptedOutput):
        kind = kind.type
    if kind is None or kind is str:
        return _TEXT
    if is_several(kind) or is_function(kind):
        return {}
    try:
        return TypeAdapter(kind).json_schema(mode="serialization", by_alias=True)
    except Exception:  # noqa: BLE001 - that a type has no schema is told where it is asked for
        return {}
