"""Numbers and strings within the bounds of a JSON Schema."""

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from random import Random
from typing import Any
from uuid import UUID

from batchspec.simulator.answers.conform import is_multiple
from batchspec.simulator.answers.patterns import matching
from batchspec.simulator.answers.voice import Voice

_SPAN = 100
_EXPRESSIONS = ("expression", "expr", "formula", "equation", "calculation", "arithmetic")
_SENTENCES = (
    "answer", "comment", "content", "description", "details", "explanation", "justification",
    "message", "note", "notes", "rationale", "reason", "reasoning", "response", "summary", "text",
)  # fmt: skip


_PARAGRAPHS = frozenset(
    {"content", "description", "explanation", "rationale", "reasoning", "summary", "text"}
)
"""Those among them that are often longer."""


class Unsatisfiable(Exception):  # noqa: N818  a property of a schema, not a failure
    """No value was found for a schema."""


# --- numbers


def make_integer(schema: Mapping[str, Any], random: Random) -> int:
    low, high = _bounds(schema)
    least = None if low is None else math.floor(low) + 1 if low in _open(schema) else math.ceil(low)
    most = (
        None if high is None else math.ceil(high) - 1 if high in _open(schema) else math.floor(high)
    )
    step = Fraction(str(schema["multipleOf"])).numerator if "multipleOf" in schema else 1
    first, last = _range(least, most, _SPAN * step)
    lowest, highest = -(-int(first) // step), int(last) // step
    if lowest > highest:
        raise Unsatisfiable
    return random.randint(lowest, highest) * step


def make_number(schema: Mapping[str, Any], random: Random) -> float:
    low, high = _bounds(schema)
    step = schema.get("multipleOf")
    first, last = _range(low, high, _SPAN * (step or 1))
    candidates = _multiples(first, last, step, random) if step else _decimals(first, last, random)
    for value in candidates:
        inside = first <= value <= last and value not in _open(schema)
        if inside and (step is None or is_multiple(value, step)):
            return value
    raise Unsatisfiable


def _decimals(first: float, last: float, random: Random) -> list[float]:
    drawn = [random.uniform(first, last) for _ in range(4)]
    middle = first / 2 + last / 2
    return [*(round(value, 2) for value in drawn), *drawn, middle, first, last]


def _multiples(first: float, last: float, step: float, random: Random) -> list[float]:
    exact = Fraction(str(step))
    lowest = math.ceil(Fraction(first) / exact)
    highest = math.floor(Fraction(last) / exact)
    if lowest > highest:
        raise Unsatisfiable
    # Not every multiple of 0.01 divides evenly once both are floats.
    factors = [random.randint(lowest, highest) for _ in range(20)]
    factors += range(lowest, min(highest, lowest + 50) + 1)
    return [float(factor * exact) for factor in factors]


def _open(schema: Mapping[str, Any]) -> tuple[float, ...]:
    """The bounds that do not belong to the range."""
    limits: list[float] = []
    for side, plain in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        bound = schema.get(side)
        if bound is True and plain in schema:
            limits.append(schema[plain])
        elif bound is not None and not isinstance(bound, bool):
            limits.append(bound)
    return tuple(limits)


def _bounds(schema: Mapping[str, Any]) -> tuple[float | None, float | None]:
    lows = [schema[key] for key in ("minimum", "exclusiveMinimum") if _is_bound(schema, key)]
    highs = [schema[key] for key in ("maximum", "exclusiveMaximum") if _is_bound(schema, key)]
    return max(lows, default=None), min(highs, default=None)


def _is_bound(schema: Mapping[str, Any], key: str) -> bool:
    return key in schema and not isinstance(schema[key], bool)


def _range(low: float | None, high: float | None, span: float) -> tuple[float, float]:
    if low is None and high is None:
        return 0, span
    if low is None:
        return (high or 0) - span, high or 0
    if high is None:
        return low, low + span
    if low > high:
        raise Unsatisfiable
    return low, high


# --- strings


def make_string(schema: Mapping[str, Any], voice: Voice, name: str) -> str:
    """A string that fits; `name` is that of the property it is for."""
    low, high = schema.get("minLength", 0), schema.get("maxLength")
    if high is not None and low > high:
        raise Unsatisfiable
    if "pattern" in schema:
        text = matching(schema["pattern"], voice.random, low=low, high=high)
        if text is not None:
            return text
    elif (maker := _FORMATS.get(schema.get("format", ""))) is not None:
        return maker(voice)
    return _fit(_plausible(voice, name.lower()), low, high, voice)


def _plausible(voice: Voice, name: str) -> str:
    if name in _EXPRESSIONS:
        return voice.expression()
    if name in _SENTENCES:
        return voice.answer(4) if name in _PARAGRAPHS else voice.sentence()
    if name == "id" or name.endswith("_id"):
        return f"{voice.word().lower()}-{voice.random.randint(1, 999)}"
    return voice.phrase()


def _fit(text: str, low: int, high: int | None, voice: Voice) -> str:
    while len(text) < low:
        text += " " + voice.word()
    if high is None or len(text) <= high:
        return text
    # Cut at a word's end where that leaves enough.
    cut = text[:high]
    shorter = cut.rpartition(" ")[0]
    return shorter if len(shorter) >= max(low, 1) else cut


def _date(voice: Voice) -> str:
    random = voice.random
    return f"{random.randint(2020, 2027)}-{random.randint(1, 12):02}-{random.randint(1, 28):02}"


def _time(voice: Voice) -> str:
    random = voice.random
    clock = (random.randint(0, 23), random.randint(0, 59), random.randint(0, 59))
    return "{:02}:{:02}:{:02}Z".format(*clock)


def _duration(voice: Voice) -> str:
    count = voice.random.randint(1, 30)
    return voice.random.choice((f"P{count}D", f"PT{count}M", f"PT{count}H", f"P1DT{count}M"))


def _label(voice: Voice) -> str:
    word = "".join(char for char in voice.word().lower() if char.isascii())
    return word or "example"


def _host(voice: Voice) -> str:
    return f"{_label(voice)}.example.com"


def _ipv4(voice: Voice) -> str:
    return f"192.0.2.{voice.random.randint(1, 254)}"


def _ipv6(voice: Voice) -> str:
    return f"2001:db8::{voice.random.randint(1, 65_535):x}"


def _uri(voice: Voice) -> str:
    return f"https://{_host(voice)}/{_label(voice)}"


_FORMATS: dict[str, Callable[[Voice], str]] = {
    "date": _date,
    "date-time": lambda voice: f"{_date(voice)}T{_time(voice)}",
    "time": _time,
    "duration": _duration,
    "email": lambda voice: f"{_label(voice)}@example.com",
    "idn-email": lambda voice: f"{_label(voice)}@example.com",
    "uuid": lambda voice: str(UUID(int=voice.random.getrandbits(128), version=4)),
    "ipv4": _ipv4,
    "ipv6": _ipv6,
    "ipv4network": lambda voice: f"192.0.2.{voice.random.randint(0, 15) * 16}/28",
    "hostname": _host,
    "idn-hostname": _host,
    "uri": _uri,
    "iri": _uri,
    "uri-reference": _uri,
    "iri-reference": _uri,
    "json-pointer": lambda voice: f"/{_label(voice)}",
    "regex": lambda voice: f"^{_label(voice)}$",
}
