"""Prompts: strict `{field}` templates, and what a prompt function may return.

A template names fields of the row: `{text}`, `{output.summary}`, `{row[text]}`, `{items[0].key}`,
through dicts, lists and Pydantic models alike; format specs (`{price:.2f}`) and conversions
(`{name!r}`) work as in `str.format`; a literal brace is doubled. A string is inserted as it is,
None as nothing, numbers and booleans as `str()` writes them, dicts and lists as JSON, dates and
the like as their ISO text.
"""

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from operator import attrgetter, itemgetter
from string import Formatter
from typing import Any, cast

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from batchspec.messages import JsonObject, Message
from batchspec.spec.calls import call_problems
from batchspec.spec.parts import ATTACHED, Attachment, text_part
from batchspec.spec.result import MAX_CONTENT
from batchspec.spec.shapes import is_list, is_mapping
from batchspec.spec.suggest import did_you_mean

Render = Callable[[Any], str]

_PATH = re.compile(r"([^.\[\]]+)((?:\.[^.\[\]]+|\[[^\]]+\])*)\Z")
_STEP = re.compile(r"\.([^.\[\]]+)|\[([^\]]+)\]")
_NUMBER = re.compile(r"[0-9]+")
_CONVERSIONS: Mapping[str, Callable[[Any], str]] = {"s": str, "r": repr, "a": ascii}


class PromptInvalid(ValueError):  # noqa: N818 - reads as what is said
    """A template cannot be compiled, or does not fit the row it is given."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One `{…}` of a template; `path` is the field and the steps into it."""

    path: tuple[str, ...]
    conversion: str | None = None
    format_spec: str = ""

    def __str__(self) -> str:
        return "{" + self.path[0] + "".join(f"[{step}]" for step in self.path[1:]) + "}"


class Template:
    """A parsed template.

    Raises:
        PromptInvalid: A brace without its partner, an empty or a nested field.
    """

    __slots__ = ("literals", "slots", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.slots: list[Slot] = []
        self.literals = [""]
        for literal, name, spec, conversion in _parse(text):
            self.literals[-1] += literal
            if name is not None:
                self.slots.append(Slot(_split(name), conversion, _plain(spec or "")))
                self.literals.append("")

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of the row this template names, each once."""
        return tuple(dict.fromkeys(slot.path[0] for slot in self.slots))

    @property
    def constant(self) -> str | None:
        """The text, where it is the same for every row."""
        return None if self.slots else self.literals[0]

    def problems(self, fields: Iterable[str]) -> list[str]:
        """Return a sentence for every slot whose field is not among the known ones."""
        known = tuple(fields)
        return [
            f"{slot} names a field the rows do not have. {did_you_mean(slot.path[0], known)}"
            " Literal braces are doubled: {{ and }}."
            for slot in self.slots
            if slot.path[0] not in known
        ]

    def compile(self, model: type[BaseModel] | None = None) -> Render:
        """Return a function from a row to the text.

        The function raises `PromptInvalid` where the row does not fit.

        Args:
            model: What the rows are, where they are no dicts.
        """
        if not self.slots:
            text = self.literals[0]
            return lambda _row: text
        pattern = "%s".join(literal.replace("%", "%%") for literal in self.literals)
        general = _general(pattern, self.slots)
        if any(len(s.path) > 1 or s.conversion or s.format_spec for s in self.slots):
            return general
        names = [slot.path[0] for slot in self.slots]
        if model is None:
            return _flat(pattern, itemgetter(*names), len(names), general)
        known = model_fields(model)
        if not all(name in known for name in names):
            return general
        return _flat(pattern, attrgetter(*names), len(names), general)


def as_text(value: Any) -> str:
    """Return how a template inserts a value."""
    if value is None:
        return ""
    if isinstance(value, Enum):
        return as_text(value.value)
    if isinstance(value, str | int | float):
        return str(value)
    plain = to_jsonable_python(value)
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)


Attach = Callable[[Attachment | Mapping[str, Any]], JsonObject]
"""Reads an attachment and returns it as a part; one that is a part already is looked at."""


def as_messages(
    result: Any, attach: Attach, only_text: Collection[str] = ("assistant",)
) -> list[Message]:
    """Return what a prompt function gave as neutral messages.

    Args:
        result: A text, a list of messages, or a list of the parts of one message.
        attach: Turns images and documents into parts.
        only_text: Roles whose messages hold no image and no document.

    Raises:
        PromptInvalid: It is none of them.
    """
    if isinstance(result, str):
        return [{"role": "user", "content": result}]
    if isinstance(result, Attachment):
        result = [result]
    if not is_list(result) or not result:
        raise PromptInvalid(
            "A prompt function returns a text or a list of messages, at least one;"
            f" got {result!r:.80}."
        )
    if _is_part(result[0]):
        return [{"role": "user", "content": _as_parts(result, attach)}]
    return [_as_message(message, attach, only_text) for message in result]


def _is_part(given: Any) -> bool:
    return isinstance(given, str | Attachment) or (
        isinstance(given, Mapping) and "type" in given and "role" not in given
    )


def _as_parts(given: Sequence[Any], attach: Attach) -> list[JsonObject]:
    if not given:
        raise PromptInvalid("The content of a message is a list without a part.")
    return [_as_part(part, attach) for part in given]


def _as_part(given: Any, attach: Attach) -> JsonObject:
    if isinstance(given, str):
        refuse_long(given, "A text of a message")
        return text_part(given)
    if _is_part(given):
        part = attach(given)
        if isinstance(text := part.get("text"), str):
            refuse_long(text, "A text of a message")
        return part
    raise PromptInvalid(
        "A part of a message is a text, an Image, a Document or a dict with a `type`;"
        f" got {given!r:.80}."
    )


_MESSAGE_FIELDS = frozenset(Message.__annotations__)
_ROLES = ("system", "user", "assistant", "tool")


def refuse_long(text: str, what: str) -> None:
    """Refuse a text that no provider takes.

    Args:
        text: Of one message, or of one of its parts.
        what: It is called in a sentence.

    Raises:
        PromptInvalid: It has more than `MAX_CONTENT` characters.
    """
    if len(text) > MAX_CONTENT:
        raise PromptInvalid(
            f"{what} came out with {len(text):_} characters; a text of a message may have"
            f" {MAX_CONTENT:_}. Shorten it, or make several messages or rows of it."
        )


def _as_message(given: Any, attach: Attach, only_text: Collection[str]) -> Message:
    message: JsonObject
    if isinstance(given, Mapping):
        message = dict(cast("Mapping[str, Any]", given))
    elif hasattr(given, "role") and hasattr(given, "content"):
        found = {name: getattr(given, name, None) for name in _MESSAGE_FIELDS}
        message = {n: v for n, v in found.items() if v is not None or n == "content"}
    else:
        raise PromptInvalid(
            f'A message is a dict such as {{"role": "user", "content": "…"}}; got {given!r:.80}.'
        )
    if message.get("role") not in _ROLES:
        raise PromptInvalid(
            f"The role of a message is one of {', '.join(_ROLES)}; got {message.get('role')!r}."
        )
    for name in message.keys() - _MESSAGE_FIELDS:
        raise PromptInvalid(
            f"A message has no field {name!r}. {did_you_mean(name, _MESSAGE_FIELDS)}"
        )
    for problem in call_problems(message):
        raise PromptInvalid(problem)
    content: Any = message.get("content")
    if not (isinstance(content, str | list) or (content is None and message.get("tool_calls"))):
        raise PromptInvalid(
            f"The content of a message is a text or a list of parts; got {content!r:.80}."
        )
    if isinstance(content, str):
        refuse_long(content, "A message")
    elif content is not None:
        parts = _as_parts(cast("Sequence[Any]", content), attach)
        if message["role"] in only_text:
            _refuse_attached(message["role"], parts)
        message["content"] = parts
    return cast("Message", message)


def _refuse_attached(role: str, parts: Iterable[JsonObject]) -> None:
    """Refuse what a provider takes from a user only."""
    for part in parts:
        if part.get("type") in ATTACHED:
            raise PromptInvalid(
                f"A message of the {role} holds texts only, and there is a part of the type"
                f" {part['type']!r} in it. Put it into a message of the user."
            )


def _parse(text: str) -> list[tuple[str, str | None, str | None, str | None]]:
    try:
        return list(Formatter().parse(text))
    except ValueError as error:
        raise PromptInvalid(
            f"The template cannot be read: {error}. Literal braces are doubled: {{{{ and }}}}."
        ) from error


def _split(name: str) -> tuple[str, ...]:
    match = _PATH.match(name)
    if match is None or not name.strip():
        raise PromptInvalid(
            f"The template holds {{{name}}}, which names no field."
            " Literal braces are doubled: {{ and }}."
        )
    return (match[1], *(dot or bracket for dot, bracket in _STEP.findall(match[2])))


def _plain(spec: str) -> str:
    if "{" in spec:
        raise PromptInvalid(f"A format spec cannot hold a field: {spec!r}.")
    # Python would take the memory, and the time, for any width.
    if any(len(width) > 18 or int(width) > MAX_CONTENT for width in _NUMBER.findall(spec)):
        raise PromptInvalid(
            f"A format spec cannot make a text of more than {MAX_CONTENT:_} characters: {spec!r}."
        )
    return spec


def _flat(pattern: str, pick: Callable[[Any], Any], count: int, general: Render) -> Render:
    # The usual case, whole fields of a row that hold strings, is worth 2 µs a row.
    def render(row: Any) -> str:
        try:
            values = (pick(row),) if count == 1 else pick(row)
        except (KeyError, AttributeError):
            return general(row)
        return pattern % tuple([v if type(v) is str else as_text(v) for v in values])

    return render


def _general(pattern: str, slots: Sequence[Slot]) -> Render:
    def render(row: Any) -> str:
        return pattern % tuple([_fill(slot, row) for slot in slots])

    return render


def _fill(slot: Slot, row: Any) -> str:
    value = row
    for depth, step in enumerate(slot.path):
        value = _step(value, step, slot, depth)
    if slot.conversion:
        value = _CONVERSIONS[slot.conversion](value)
    if not slot.format_spec:
        return as_text(value)
    try:
        return format(value, slot.format_spec)
    except (TypeError, ValueError) as error:
        raise PromptInvalid(
            f"{slot} cannot be written as {slot.format_spec!r}: {error} (the value is"
            f" {value!r:.80}). A `row_type` turns text into numbers."
        ) from error


def _step(value: Any, step: str, slot: Slot, depth: int) -> Any:
    if is_mapping(value):
        known: Iterable[str] = [str(name) for name in value]
        if step in value:
            return value[step]
    elif isinstance(value, BaseModel):
        known = model_fields(type(value)) | (value.model_extra or {}).keys()
        if step in known:
            return getattr(value, step)
    elif is_list(value):
        known = [str(index) for index in range(min(len(value), 10))]
        if step.lstrip("-").isdecimal() and -len(value) <= int(step) < len(value):
            return value[int(step)]
    else:
        known = []
    whose = "the row" if depth == 0 else repr(".".join(slot.path[:depth]))
    raise PromptInvalid(f"{slot}: {whose} has no {step!r}. {did_you_mean(step, known)}")


@lru_cache(64)
def model_fields(model: type[BaseModel]) -> frozenset[str]:
    """Return the names a template may use of a model: its fields and properties."""
    properties = {
        name
        for cls in model.__mro__
        if cls is not BaseModel and issubclass(cls, BaseModel)
        for name, member in vars(cls).items()
        if isinstance(member, property) and not name.startswith("_")
    }
    return frozenset({*model.model_fields, *model.model_computed_fields, *properties})
