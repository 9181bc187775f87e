import json
import re
from datetime import date, datetime, time, timedelta
from ipaddress import IPv4Address, IPv6Address
from random import Random
from typing import Annotated, Any, Literal
from uuid import UUID

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AnyUrl, BaseModel, Field

from batchspec.simulator.answers.conform import conforms
from batchspec.simulator.answers.merging import merge
from batchspec.simulator.answers.patterns import matching
from batchspec.simulator.answers.schema import make_instance
from batchspec.simulator.answers.voice import Voice

PROMPT = "Invoice 42 from Marianne costs 17.50 euros; please refund it before Friday."


def voice(seed: int = 0) -> Voice:
    return Voice(seed.to_bytes(8), PROMPT)


def check(schema: Any, seed: int = 0) -> Any:
    value = make_instance(schema, voice(seed))
    jsonschema.Draft202012Validator(schema).validate(value)
    assert conforms(schema, schema, value)
    json.dumps(value, allow_nan=False)
    return value


# --- random schemas, each of which allows some value

bounds = st.integers(-1_000, 1_000)
names = st.sampled_from(["id", "reason", "expression", "tags", "zip", "b-c", "ä"])


@st.composite
def numbers(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["integer", "number"]))
    low = draw(bounds)
    high = low + draw(st.integers(10, 100))
    schema: dict[str, Any] = {"type": kind}
    if draw(st.booleans()):
        schema[draw(st.sampled_from(["minimum", "exclusiveMinimum"]))] = low
    if draw(st.booleans()):
        schema[draw(st.sampled_from(["maximum", "exclusiveMaximum"]))] = high
    if draw(st.booleans()):
        steps = [1, 2, 5] if kind == "integer" else [1, 3, 0.5, 0.25, 0.1, 0.01]
        schema["multipleOf"] = draw(st.sampled_from(steps))
    return schema


@st.composite
def strings(draw: st.DrawFn) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    which = draw(st.sampled_from(["plain", "length", "pattern", "format"]))
    if which == "length":
        low = draw(st.integers(0, 60))
        schema |= {"minLength": low, "maxLength": low + draw(st.integers(0, 20))}
    if which == "pattern":
        schema["pattern"] = draw(st.sampled_from(PATTERNS))
    if which == "format":
        schema["format"] = draw(st.sampled_from(["date", "email", "uuid", "uri", "mystery"]))
    return schema


scalars = st.one_of(
    numbers(),
    strings(),
    st.sampled_from([{"type": "boolean"}, {"type": "null"}, True, {}]),
    st.builds(lambda items: {"enum": items}, st.lists(bounds | st.text() | st.none(), min_size=1)),
    st.builds(lambda item: {"const": item}, bounds | st.text() | st.booleans()),
    st.just({"type": ["string", "null"]}),
)


def arrays(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    def sized(items: Any, low: int, more: int) -> dict[str, Any]:
        return {"type": "array", "items": items, "minItems": low, "maxItems": low + more}

    return st.one_of(
        st.builds(lambda items: {"type": "array", "items": items}, inner),
        st.builds(sized, inner, st.integers(0, 3), st.integers(0, 3)),
        st.builds(
            lambda parts: {"type": "array", "prefixItems": parts, "minItems": len(parts)},
            st.lists(inner, max_size=3),
        ),
        st.builds(
            lambda low: {
                "type": "array",
                "items": {"type": "integer", "minimum": 0, "maximum": 6},
                "uniqueItems": True,
                "minItems": low,
            },
            st.integers(0, 6),
        ),
        st.builds(lambda part: {"type": "array", "contains": part, "minContains": 2}, inner),
    )


@st.composite
def objects(draw: st.DrawFn, inner: st.SearchStrategy[Any]) -> dict[str, Any]:
    properties = draw(st.dictionaries(names, inner, max_size=4))
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    schema["required"] = [name for name in properties if draw(st.booleans())]
    extra = draw(st.sampled_from(["closed", "open", "typed", "counted"]))
    if extra == "closed":
        schema["additionalProperties"] = False
    if extra == "typed":
        schema["additionalProperties"] = draw(inner)
    if extra == "counted":
        schema["minProperties"] = len(properties) + 1
    return schema


def combined(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.builds(lambda parts: {"anyOf": parts}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda part: {"allOf": [part]}, inner),
        st.builds(lambda part: {"oneOf": [part]}, inner),
        st.builds(lambda part: {"$defs": {"x": part}, "anyOf": [part, {"type": "null"}]}, inner),
    )


schemas = st.recursive(
    scalars, lambda inner: st.one_of(arrays(inner), objects(inner), combined(inner)), max_leaves=12
)

PATTERNS = [
    r"^[A-Z]{3}-\d{4}$",
    r"^\+?[0-9]{1,3}[ -]?(\d{2,4}[ -]?){2,3}$",
    r"^(foo|bar)+baz?$",
    r"\w+@\w+\.(com|org)",
    r"^[^\s/]{5,8}$",
    r"^(?P<year>\d{4})-(?P=year)$",
    r"^#(?:[0-9a-fA-F]{3}){1,2}$",
    r".",
    r"^$",
    r"^(?=.*\d)[a-z\d]{4,}$",
    r"[äöü]{2}",
    r"^a.c\s\S\W\D$",
    r"^[^a]b$",
    r"x*?y",
]


@settings(max_examples=150, deadline=None)
@given(schemas, st.integers(0, 2**32))
def test_any_schema_gets_an_instance(schema: Any, seed: int) -> None:
    check(schema, seed)


class Leaf(BaseModel):
    kind: Literal["leaf"]
    at: datetime
    day: date
    hour: time
    lasts: timedelta
    identity: UUID
    address: IPv4Address | IPv6Address
    page: AnyUrl


class Branch(BaseModel):
    kind: Literal["branch"]
    left: "Tree"
    right: "Tree | None" = None
    others: list["Tree"] = Field(default_factory=list, max_length=3)


Tree = Annotated[Leaf | Branch, Field(discriminator="kind")]


class Order(BaseModel):
    """What a user's own model may well look like."""

    number: str = Field(pattern=r"^[A-Z]{2}\d{6}$")
    lines: list[tuple[int, str]] = Field(min_length=1)
    price: float = Field(gt=0, lt=1e6, multiple_of=0.25)
    share: float = Field(ge=0, le=1)
    labels: set[Literal["a", "b", "c"]]
    notes: dict[str, int | None]
    tree: Tree
    reason: str | None
    name: Annotated[str, Field(min_length=20, max_length=25)]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_a_model_reads_what_its_schema_got(seed: int) -> None:
    schema = Order.model_json_schema()
    Order.model_validate(make_instance(schema, voice(seed)))
    check(schema, seed)


@pytest.mark.parametrize(
    "schema",
    [
        {"allOf": [{"type": "integer", "minimum": 3}, {"type": "number", "maximum": 3}]},
        {"allOf": [{"multipleOf": 4}, {"multipleOf": 6, "type": "integer", "minimum": 5}]},
        {"allOf": [{"enum": [1, 2, 3]}, {"enum": [3, 4]}]},
        {"allOf": [{"type": "string", "pattern": "a"}, {"minLength": 9, "maxLength": 9}]},
        {
            "allOf": [
                {"properties": {"a": {"type": "integer"}}, "required": ["a"]},
                {"properties": {"a": {"minimum": 7}, "b": {"const": 1}}, "required": ["b"]},
            ],
            "type": "object",
        },
        {
            "$defs": {"base": {"type": "object", "properties": {"a": {"const": 1}}}},
            "allOf": [{"$ref": "#/$defs/base"}],
            "required": ["a"],
        },
        {
            "allOf": [
                {"properties": {"a": {}}, "additionalProperties": False},
                {"properties": {"b": {}}},
            ],
            "type": "object",
        },
        {"allOf": [{"anyOf": [{"const": 1}, {"const": 2}]}, {"anyOf": [{"const": 2}]}]},
        {"allOf": [{"type": "array", "items": {"type": "integer"}}, {"items": {"minimum": 4}}],
         "minItems": 2},
        {"allOf": [{"prefixItems": [{"type": "integer"}]}, {"prefixItems": [{"minimum": 3}, {}]}],
         "type": "array", "minItems": 2},
        {"oneOf": [{"type": "integer"}, {"type": "number"}]},
        {"oneOf": [{"type": "string", "maxLength": 3}, {"type": "string", "minLength": 3}]},
        {"type": "integer", "minimum": 0, "maximum": 3, "not": {"enum": [0, 1, 2]}},
        {"type": "object", "properties": {"a": {"enum": [1, 2]}, "b": {"type": "string"}},
         "required": ["a"], "if": {"properties": {"a": {"const": 1}}}, "then": {"required": ["b"]}},
        {"type": "object", "if": {"required": ["x"]}, "else": {"minProperties": 2}},
        {"type": "object", "patternProperties": {"^x_": {"type": "integer"}}, "minProperties": 3,
         "additionalProperties": False},
        {"type": "object", "propertyNames": {"pattern": "^[a-z]{3}$"}, "minProperties": 2,
         "additionalProperties": {"type": "integer"}},
        {"type": "object", "properties": {"a": {}, "b": {}, "c": {}}, "maxProperties": 1},
        {"type": "object", "properties": {"a": {}}, "required": ["a", "z"]},
        {"type": "object", "properties": {"a": {}, "b": {}}, "dependentRequired": {"a": ["b"]}},
        {"type": "object", "properties": {"a": {"const": 1}, "b": {}},
         "dependentSchemas": {"a": {"required": ["b"]}}},
        {"type": "object", "properties": {"a": {}, "b": {}}, "additionalProperties": False,
         "minProperties": 2},
        {"type": "array", "items": {"enum": ["a", "b"]}, "uniqueItems": True},
        {"type": "array", "items": {"type": "boolean"}, "uniqueItems": True, "minItems": 2},
        {"type": "array", "items": False},
        {"properties": {"a": False}},
        {"minimum": 3},
        {"type": "integer", "multipleOf": 0.5, "minimum": 3.2},
        {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.001},
        {"type": "number", "minimum": 0.5, "maximum": 0.5},
        {"enum": ["a", 1, None], "type": "integer"},
        {"$ref": "#/$defs/node", "$defs": {"node": {
            "type": "object", "required": ["next", "kids"], "additionalProperties": False,
            "properties": {"next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
                           "kids": {"type": "array", "items": {"$ref": "#/$defs/node"}}}}}},
        {"$defs": {"a/b~c": {"const": 4}}, "$ref": "#/$defs/a~1b~0c"},
        {"type": "object", "properties": {"me": {"$ref": "#"}}},
        {"$ref": "https://example.com/other"},
        {"type": "string", "pattern": "(?<broken"},
    ],
)  # fmt: skip
def test_keywords_together(schema: Any) -> None:
    for seed in range(12):
        value = make_instance(schema, voice(seed))
        assert conforms(schema, schema, value)
        if "example.com" not in str(schema) and "broken" not in str(schema):
            jsonschema.Draft202012Validator(schema).validate(value)


def test_old_tuples_are_understood() -> None:
    schema = {"type": "array", "items": [{"const": 1}, {"const": 2}], "additionalItems": False,
              "minItems": 2}  # fmt: skip
    for seed in range(5):
        value = make_instance(schema, voice(seed))
        jsonschema.Draft7Validator(schema).validate(value)
        assert value == [1, 2]


@pytest.mark.parametrize(
    "schema",
    [
        False,
        {"type": "integer", "minimum": 3, "maximum": 2},
        {"type": "string", "minLength": 3, "maxLength": 2},
        {"type": "rainbow"},
        {"type": "integer", "enum": ["a"]},
        {"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
        {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
    ],
)
def test_what_cannot_be_is_null(schema: Any) -> None:
    """An answer that fits nothing is better than none: who checks it sees why."""
    assert make_instance(schema, voice()) is None


def test_of_two_constants_the_last_one_is_told() -> None:
    assert make_instance({"allOf": [{"const": 1}, {"const": 2}]}, voice()) == 2


def test_merging_closed_objects_leaves_out_the_unknown() -> None:
    one = {"properties": {"a": {}}, "additionalProperties": False}
    merged = merge(one, {"properties": {"b": {}}})
    assert merged == {"properties": {"a": {}}, "additionalProperties": False}


def test_words_come_from_the_prompt() -> None:
    value = check({"type": "object", "properties": {"title": {"type": "string"}},
                   "required": ["title"]})  # fmt: skip
    assert all(word in PROMPT for word in value["title"].split())


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_are_matched(pattern: str) -> None:
    for seed in range(10):
        text = matching(pattern, Random(seed))
        assert text is not None
        assert re.search(pattern, text)


def test_a_pattern_keeps_to_lengths() -> None:
    for low, high in ((0, 4), (7, 9), (40, 40)):
        text = matching("^[a-z]+$", Random(1), low=low, high=high)
        assert text is not None
        assert low <= len(text) <= high
    assert matching(r"\p{L}+", Random(1)) is None
    assert matching(r"^a{5}$", Random(1), high=3) is None


values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 1.0, "a", "abc"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(schemas, values)
def test_conformance_is_judged_as_by_the_book(schema: Any, value: Any) -> None:
    expected = jsonschema.Draft202012Validator(schema).is_valid(value)
    assert conforms(schema, schema, value) is expected
