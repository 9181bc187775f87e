"""How a model would give a value as its answer, in each output mode."""

from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from batchspec.spec.output import Candidate, OutputMode, SchemaMode, ToolMode
from batchspec.spec.output.forms import Choice, Form
from batchspec.spec.output.members import Member
from batchspec.spec.shapes import is_mapping


def written(value: Any, mode: OutputMode) -> Candidate:
    """Return a value as the model would write it; what fits nowhere is sent as it is.

    Args:
        value: A text, or what JSON can hold. For an output function, its arguments.
        mode: How the job wants its output.

    Raises:
        PydanticSerializationError: JSON cannot hold it.
    """
    if isinstance(mode, ToolMode):
        return _called(value, mode)
    if isinstance(mode, SchemaMode) and isinstance(mode.form, Choice):
        return _text(_chosen(value, mode.form))
    if isinstance(mode, SchemaMode) and isinstance(mode.form, Form):
        return _text(_wrapped(value, mode.form))
    return _text(value)


def _text(value: Any) -> Candidate:
    return Candidate(value if isinstance(value, str) else to_json(value).decode())


def _called(value: Any, mode: ToolMode) -> Candidate:
    tools = list(mode.output_tools.values())
    fitting = _fitting(value, [tool.form.member for tool in tools])
    if isinstance(value, str) and (fitting is None or mode.text is not None):
        return Candidate(value)
    tool = tools[fitting or 0]
    return Candidate(to_json(_wrapped(value, tool.form)).decode(), tool=tool.name)


def _chosen(value: Any, form: Choice) -> Any:
    fitting = _fitting(value, list(form.members.values()))
    if fitting is None:
        return value
    return {"result": {"kind": list(form.members)[fitting], "data": value}}


def _wrapped(value: Any, form: Form) -> Any:
    if not form.wraps or (is_mapping(value) and "response" in value):
        return value
    if isinstance(value, str) and _fitting(value, [form.member]) is None:
        return value
    return {"response": value}


def _fitting(value: Any, members: Sequence[Member]) -> int | None:
    """Return the number of the member a value is of."""
    for number, member in enumerate(members):
        if isinstance(member.kind, type) and type(value) is member.kind:
            return number
    for number, member in enumerate(members):
        try:
            TypeAdapter[Any](member.kind).validate_json(to_json(value))
        except ValidationError:
            continue
        return number
    return None
