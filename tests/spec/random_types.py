"""Random types as people write them with Pydantic, and JSON they accept.

A `Kind` is a type with a strategy of pairs: JSON the type accepts as it is, and the same as a model
writes it in strict mode, where null stands for what is left out.
"""

import dataclasses
import enum
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from ipaddress import IPv4Address
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    NotRequired,
    Optional,
    TypeVar,
    Union,
)
from uuid import UUID

import pydantic
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, create_model
from typing_extensions import TypedDict

T = TypeVar("T")
Pair = tuple[Any, Any]


@dataclass(frozen=True)
class Kind:
    """A type, pairs of JSON, and whether strict mode cannot have it."""

    hint: Any
    pairs: st.SearchStrategy[Pair]
    refused: bool = False
    hashable: bool = False
    nullable: bool = False


def leaf(hint: Any, values: st.SearchStrategy[Any], *, hashable: bool = True) -> Kind:
    return Kind(hint, values.map(lambda value: (value, value)), hashable=hashable)


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=8)
NAMES = st.sampled_from(
    ["a", "name", "title", "type", "properties", "items", "enum", "ref", "Größe", "data"]
)
# Not `$ref`: Pydantic takes that key of a default for a reference.
ALIASES = st.sampled_from(["anyOf", "class", "a-b", "x y", "const", "Ä", "response", "kind"])
TYPE_NAMES = st.sampled_from(["Node", "Item", "Data", "Response", "Strict_1", "Änderung"])


class Text(enum.StrEnum):
    """Texts."""

    FIRST = "first"
    SECOND = "second value"


class Number(enum.IntEnum):
    ONE = 1
    TWO = 2


class Mixed(enum.Enum):
    ONE = 1
    TEXT = "text"
    HALF = 0.5
    NOTHING = None


class Single(enum.Enum):
    ONLY = "only"


class Named(NamedTuple):
    left: int
    right: str = "r"


def _numbers(draw: st.DrawFn) -> Kind:
    low, size = draw(st.integers(-9, 9)), draw(st.integers(2, 20))
    kind: Any = draw(st.sampled_from([int, float]))
    step = draw(st.sampled_from([None, 1, 2]))
    field = draw(
        st.sampled_from(
            [
                Field(ge=low, le=low + size, multiple_of=step),
                Field(gt=low - 1, lt=low + size + 1, description="Between bounds."),
                Field(ge=low, lt=low + size),
            ]
        )
    )
    inside = [n for n in range(low, low + size) if n % (step or 1) == 0]
    return leaf(Annotated[kind, field], st.sampled_from(inside))


def _strings(draw: st.DrawFn) -> Kind:
    which = draw(st.integers(0, 4))
    if which == 0:
        low = draw(st.integers(0, 3))
        return leaf(
            Annotated[str, Field(min_length=low, max_length=9)],
            st.text('äb "\\', min_size=low, max_size=9),
        )
    if which == 1:
        return leaf(
            Annotated[str, Field(pattern=r"^[a-z]{2,4}$")], st.text("xyz", min_size=2, max_size=4)
        )
    if which == 2:
        values = st.sampled_from(["A1", "B22"])
        return leaf(Annotated[str, Field(pattern=r"(?i)^[a-z]\d+$", examples=["c3"])], values)
    if which == 3:
        return leaf(bytes, st.text("abc", max_size=5))
    return leaf(str, TEXT)


def _closed(draw: st.DrawFn) -> Kind:
    literals = draw(
        st.lists(
            st.sampled_from(["x", "y", "long value", 1, 2, True, ""]),
            min_size=1,
            max_size=4,
            unique_by=repr,
        )
    )
    hint = Literal[tuple(literals)]
    kinds = [
        leaf(hint, st.sampled_from(literals)),
        leaf(Text, st.sampled_from(["first", "second value"])),
        leaf(Number, st.sampled_from([1, 2])),
        dataclasses.replace(leaf(Mixed, st.sampled_from([1, "text", 0.5, None])), nullable=True),
        leaf(Single, st.just("only")),
    ]
    return draw(st.sampled_from(kinds))


def _texts_of_types(draw: st.DrawFn) -> Kind:
    def of(hint: Any, values: st.SearchStrategy[Any]) -> Kind:
        dump = pydantic.TypeAdapter(hint)
        return leaf(hint, values.map(lambda value: dump.dump_python(value, mode="json")))

    return draw(
        st.sampled_from(
            [
                of(date, st.dates()),
                of(datetime, st.datetimes(timezones=st.just(UTC))),
                of(time, st.times()),
                of(timedelta, st.timedeltas(timedelta(-9), timedelta(9999))),
                of(UUID, st.uuids()),
                of(pydantic.UUID4, st.uuids(version=4)),
                of(Decimal, st.decimals(-99, 99, places=2)),
                of(IPv4Address, st.ip_addresses(v=4)),
                leaf(pydantic.HttpUrl, st.sampled_from(["https://a.b/", "http://x.yz/q?a=1"])),
            ]
        )
    )


@st.composite
def leaves(draw: st.DrawFn) -> Kind:
    plain = [
        leaf(int, st.integers(-(10**9), 10**9)),
        leaf(float, st.floats(-1e6, 1e6)),
        leaf(bool, st.booleans()),
    ]
    make = draw(st.sampled_from([_numbers, _strings, _closed, _texts_of_types, None]))
    return draw(st.sampled_from(plain)) if make is None else make(draw)


# --- what is made of others


def listed(pairs: list[Pair]) -> Pair:
    return [one for one, _ in pairs], [other for _, other in pairs]


@st.composite
def sequences(draw: st.DrawFn, inner: st.SearchStrategy[Kind]) -> Kind:
    item = draw(inner)
    which = draw(st.sampled_from(["list", "bounded", "variadic", "fixed", "set", "named", "empty"]))
    many = st.lists(item.pairs, max_size=3)
    if which == "bounded":
        hint: Any = Annotated[list[item.hint], Field(min_length=1, max_length=3)]
        many = st.lists(item.pairs, min_size=1, max_size=3)
    elif which == "variadic":
        hint = tuple[item.hint, ...]
    elif which == "set" and item.hashable:
        many = st.lists(item.pairs, max_size=3, unique_by=repr)
        hint = draw(st.sampled_from([set, frozenset]))[item.hint]
    elif which == "fixed":
        others = draw(st.lists(inner, max_size=2))
        members = [item, *others]
        pairs = st.tuples(*(member.pairs for member in members)).map(lambda p: listed(list(p)))
        refused = any(member.refused for member in members)
        return Kind(tuple[tuple(member.hint for member in members)], pairs, refused)
    elif which == "named":
        return leaf(Named, st.tuples(st.integers(0, 9), TEXT).map(list), hashable=False)
    elif which == "empty":
        return leaf(tuple[()], st.just([]), hashable=False)
    else:
        hint = list[item.hint]
    return Kind(hint, many.map(listed), item.refused)


@st.composite
def unions(draw: st.DrawFn, inner: st.SearchStrategy[Kind]) -> Kind:
    members = draw(st.lists(inner, min_size=1, max_size=3))
    hint: Any = Union[tuple(member.hint for member in members)]  # noqa: UP007 - of a list
    pairs = st.one_of(*(member.pairs for member in members))
    nullable = any(member.nullable for member in members)
    if draw(st.booleans()):
        hint, pairs, nullable = Optional[hint], pairs | st.just((None, None)), True  # noqa: UP045
    refused = any(member.refused for member in members)
    return Kind(hint, pairs, refused, nullable=nullable)


@st.composite
def mappings(draw: st.DrawFn, inner: st.SearchStrategy[Kind]) -> Kind:
    """Dicts with known keys, each of which may be left out."""
    value = draw(inner)
    names = ["first", "second value"]
    key: Any = draw(st.sampled_from([Literal["first", "second value"], Text]))
    left_out = value.pairs if value.nullable else value.pairs | st.none()
    pairs = st.fixed_dictionaries(dict.fromkeys(names, left_out)).map(
        lambda found: (
            {name: pair[0] for name, pair in found.items() if pair is not None},
            {name: pair and pair[1] for name, pair in found.items()},
        )
    )
    return Kind(dict[key, value.hint], pairs, value.refused)


@st.composite
def refused(draw: st.DrawFn, inner: st.SearchStrategy[Kind]) -> Kind:
    """What no strict schema says."""
    value = draw(inner)
    free = st.dictionaries(NAMES, value.pairs, max_size=2).map(
        lambda found: ({n: p[0] for n, p in found.items()}, {n: p[1] for n, p in found.items()})
    )
    plain = st.just(({}, {}))
    kinds = [
        Kind(dict[str, value.hint], free, refused=True),
        Kind(dict, plain, refused=True),
        Kind(list[Any], st.just(([1, "a"], [1, "a"])), refused=True),
        Kind(pydantic.JsonValue, st.just((1, 1)), refused=True),
    ]
    return draw(st.sampled_from(kinds))


# --- what has fields


@dataclass(frozen=True)
class Made:
    """A field: its kind, its names, and whether it may be left out, and how."""

    kind: Kind
    name: str
    alias: str
    left_out: str
    default: Any = None


@st.composite
def fields(draw: st.DrawFn, inner: st.SearchStrategy[Kind], *, aliases: bool = True) -> list[Made]:
    names = draw(st.lists(NAMES, min_size=0, max_size=4, unique=True))
    others = draw(st.lists(ALIASES, min_size=len(names), max_size=len(names), unique=True))
    found = []
    for name, other in zip(names, others, strict=True):
        kind = draw(inner)
        alias = other if aliases and draw(st.booleans()) else name
        how = draw(st.sampled_from(["required", "required", "default", "factory", "never", "not"]))
        default = draw(kind.pairs)[0] if how == "default" else None
        found.append(Made(kind, name, alias, how, default))
    return found


def pairs_of(made: list[Made], *, may_miss: bool) -> st.SearchStrategy[Pair]:
    """Pairs of objects; where a field may miss, it does at times, and null says so."""

    def of(field: Made) -> st.SearchStrategy[Pair | None]:
        misses = (may_miss and field.left_out == "not") or field.left_out == "never"
        return (
            field.kind.pairs | st.none() if misses and not field.kind.nullable else field.kind.pairs
        )

    return st.tuples(*map(of, made)).map(
        lambda found: (
            {f.alias: pair[0] for f, pair in zip(made, found, strict=True) if pair is not None},
            {f.alias: pair and pair[1] for f, pair in zip(made, found, strict=True)},
        )
    )


@dataclass(frozen=True)
class NoJson:
    """A default that is none a model could write."""

    of: Any = object


def _info(field: Made) -> Any:
    options: dict[str, Any] = {} if field.alias == field.name else {"alias": field.alias}
    if field.left_out == "default":
        options["default"] = field.default
    elif field.left_out == "factory":
        options["default_factory"] = list
    elif field.left_out == "never":
        options["default"] = NoJson()
    return Field(**options, description="Words (in brackets)." if len(field.name) % 2 else None)


@st.composite
def models(draw: st.DrawFn, inner: st.SearchStrategy[Kind]) -> Kind:
    made = draw(fields(inner))
    extra = draw(st.sampled_from(["ignore", "ignore", "forbid"]))
    hint = create_model(
        draw(TYPE_NAMES),
        __config__=ConfigDict(extra=extra),
        __doc__=draw(st.sampled_from([None, "What it is."])),
        **{f.name: (f.kind.hint, _info(f)) for f in made},
    )
    return Kind(hint, pairs_of(made, may_miss=False), any(f.kind.refused for f in made))


@st.composite
def dataclasses_(draw: st.DrawFn, inner: st.SearchStrategy[Kind]) -> Kind:
    made = draw(fields(inner, aliases=False))
    made.sort(key=lambda f: f.left_out in ("default", "factory", "never"))
    make: Any = draw(st.sampled_from([dataclass, pydantic.dataclasses.dataclass]))
    annotations = {f.name: f.kind.hint for f in made}
    values: dict[str, Any] = {}
    for f in made:
        if f.left_out == "default":
            default = f.default
            values[f.name] = dataclasses.field(default_factory=lambda default=default: default)
        elif f.left_out == "factory":
            values[f.name] = dataclasses.field(default_factory=list)
        elif f.left_out == "never":
            values[f.name] = dataclasses.field(default=None)
    hint = make(type(draw(TYPE_NAMES), (), {"__annotations__": annotations, **values}))
    return Kind(hint, pairs_of(made, may_miss=False), any(f.kind.refused for f in made))


@st.composite
def typed_dicts(draw: st.DrawFn, inner: st.SearchStrategy[Kind]) -> Kind:
    made = draw(fields(inner, aliases=False))
    made = [
        dataclasses.replace(f, left_out="not" if f.left_out == "not" else "required") for f in made
    ]
    hints = {f.name: NotRequired[f.kind.hint] if f.left_out == "not" else f.kind.hint for f in made}
    hint = TypedDict(draw(TYPE_NAMES), hints)  # type: ignore[misc]
    return Kind(hint, pairs_of(made, may_miss=True), any(f.kind.refused for f in made))


class Box(BaseModel, Generic[T]):
    """A generic."""

    item: T
    more: list[T] = []


@st.composite
def generics(draw: st.DrawFn, inner: st.SearchStrategy[Kind]) -> Kind:
    item = draw(inner)
    pairs = st.tuples(item.pairs, st.lists(item.pairs, max_size=2).map(listed)).map(
        lambda found: (
            {"item": found[0][0], "more": found[1][0]},
            {"item": found[0][1], "more": found[1][1]},
        )
    )
    return Kind(Box[item.hint], pairs, item.refused)


def nested(base: st.SearchStrategy[Pair], wrap: Callable[[Any], Any]) -> st.SearchStrategy[Pair]:
    return st.recursive(
        base.map(lambda pair: (pair[0] | wrap([]), pair[1] | wrap([]))),
        lambda inner: st.tuples(base, st.lists(inner, max_size=2)).map(
            lambda found: (
                found[0][0] | wrap([one for one, _ in found[1]]),
                found[0][1] | wrap([other for _, other in found[1]]),
            )
        ),
        max_leaves=3,
    )


@st.composite
def recursive(draw: st.DrawFn, inner: st.SearchStrategy[Kind]) -> Kind:
    value, name = draw(inner), draw(st.sampled_from(["Tree", "Größer", "T_1"]))
    hint = type(
        name,
        (BaseModel,),
        {"__annotations__": {"value": value.hint, "children": list[name]}, "__module__": __name__},
    )
    base = value.pairs.map(lambda pair: ({"value": pair[0]}, {"value": pair[1]}))
    return Kind(hint, nested(base, lambda children: {"children": children}), value.refused)


@st.composite
def tagged(draw: st.DrawFn, inner: st.SearchStrategy[Kind]) -> Kind:
    members = [(tag, draw(inner)) for tag in ("cat", "dog")]
    made = [
        create_model(tag.title(), kind=(Literal[tag], ...), value=(value.hint, ...))
        for tag, value in members
    ]
    hint = Annotated[Union[tuple(made)], Field(discriminator="kind")]  # noqa: UP007 - of a list
    pairs = st.one_of(*(_tagged_pairs(tag, value) for tag, value in members))
    return Kind(hint, pairs, any(value.refused for _, value in members))


def _tagged_pairs(tag: str, value: Kind) -> st.SearchStrategy[Pair]:
    return value.pairs.map(
        lambda pair: ({"kind": tag, "value": pair[0]}, {"kind": tag, "value": pair[1]})
    )


def kinds(*, with_refused: bool) -> st.SearchStrategy[Kind]:
    """Kinds of any shape."""

    def grown(inner: st.SearchStrategy[Kind]) -> st.SearchStrategy[Kind]:
        made = [sequences, unions, mappings, models, models, dataclasses_, typed_dicts]
        made += [generics, recursive, tagged, *([refused] if with_refused else [])]
        return st.one_of(*(make(inner) for make in made))

    return st.recursive(leaves(), grown, max_leaves=6)
