"""The strict subset: what gets in, what is moved into descriptions, what is a problem."""

import dataclasses
import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Generic, Literal, NamedTuple, NotRequired, TypeVar, Union

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    UUID4,
    AliasChoices,
    AliasPath,
    AnyUrl,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    TypeAdapter,
    WithJsonSchema,
)
from typing_extensions import TypedDict

from batchspec.spec.schemas import schema_of
from batchspec.spec.strict import Problem, plain_schema, sent_schema, strict_schema

T = TypeVar("T")
INT = {"type": "integer"}
CLOSED = {"additionalProperties": False}
SCORES = dict[Literal["a", "b"], int]
IGNORING_CASE = Annotated[str, Field(pattern=re.compile("a", re.IGNORECASE))]  # type: ignore[arg-type]


NESTED = '{"x": [3, {"name": "x", "year": null, "told": null, "maybe": null}]}'


def custom(schema: Any) -> Any:
    return Annotated[int, WithJsonSchema(schema)]


class AliasedEnum(Enum):
    ONE = 1
    TRUE = True
    X = "x"
    NONE = None


class Node(BaseModel):
    name: str
    children: list["Node"] = []


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]


class Level(Enum):
    LOW = 1
    HIGH = "high"


class Everything(BaseModel):
    title: str = Field(min_length=1, max_length=9, description="The title.")
    count: int = Field(default=3, ge=1, lt=10)
    ratio: float | None = None
    tags: list[Annotated[str, Field(pattern="^a")]] = Field(default=[], max_length=3)
    pet: Cat | Dog = Field(discriminator="kind")
    pair: tuple[int, str]
    same: tuple[int, int]
    level: Level
    when: datetime
    day: date
    url: AnyUrl
    amount: Decimal
    best: Cat = Field(description="The best one.")


def field_of(kind: Any, **options: Any) -> Any:
    """Return a model of one field."""
    return type(
        "M",
        (BaseModel,),
        {
            "__annotations__": {"x": kind},
            "x": Field(**options),
            "model_config": ConfigDict(arbitrary_types_allowed=True),
        },
    )


def rewritten(kind: Any, **options: Any) -> Any:
    return strict_schema(schema_of(field_of(kind, **options))).schema


def field(kind: Any, **options: Any) -> Any:
    """Return the strict schema of one field."""
    return rewritten(kind, **options)["properties"]["x"]


@pytest.mark.parametrize(
    ("got", "schema"),
    [
        (field(str, min_length=2), {"type": "string", "description": "(minLength: 2)"}),
        (
            field(str, max_length=2, description="Short."),
            {"type": "string", "description": "Short. (maxLength: 2)"},
        ),
        (field(int, ge=1, le=5), {"type": "integer", "minimum": 1, "maximum": 5}),
        (field(int, gt=1), {"type": "integer", "description": "(exclusiveMinimum: 1)"}),
        (field(int, default=3), {"type": "integer", "description": "(default: 3)"}),
        (field(str, pattern="^a+$"), {"type": "string", "pattern": "^a+$"}),
        (field(Decimal)["anyOf"][0], {"type": "number"}),
        (field(AnyUrl)["description"], "(format: uri; minLength: 1)"),
        (field(date), {"type": "string", "format": "date"}),
        (field(Literal["a"]), {"type": "string", "const": "a"}),
        (field(Literal["a", 1]), {"type": ["string", "integer"], "enum": ["a", 1]}),
        (field(str | None), {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        (
            field(tuple[int, int]),
            {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2},
        ),
        (
            field(tuple[int, str])["items"],
            {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        ),
        (field(set[int])["description"], "(uniqueItems: true)"),
        (
            field(custom({"type": "string", "pattern": "^(?!a)"})),
            {"type": "string", "description": "(pattern: ^(?!a))"},
        ),
        (field(str, pattern=r"^\(?=[(?=]$"), {"type": "string", "pattern": r"^\(?=[(?=]$"}),
        (
            field(custom({"type": "string", "pattern": r"\Aa\Z"}))["description"],
            r"(pattern: \Aa\Z)",
        ),
        (field(str, pattern=r"(?P<a>a)")["description"], "(pattern: (?P<a>a))"),
        (field(re.Pattern)["description"], "(format: regex)"),
        (field(IGNORING_CASE), {"type": "string", "description": "(pattern: (?i)a)"}),
        (field(UUID4), {"type": "string", "description": "(format: uuid4)"}),
        (field(timedelta), {"type": "string", "format": "duration"}),
        (field(Union[int]), {"type": "integer"}),  # noqa: UP007
        (field(custom({"const": None, "type": "null"})), {"const": None, "type": "null"}),
        (rewritten(AliasedEnum)["$defs"]["AliasedEnum"]["enum"], [1, "x", None]),
        (field(tuple[()])["maxItems"], 0),
        (
            field(custom({"type": ["object", "null"], "properties": {}})),
            {
                "anyOf": [
                    {"type": "object", "properties": {}, "required": [], **CLOSED},
                    {"type": "null"},
                ]
            },
        ),
        (
            field(custom({"allOf": [{"type": "string"}, {"pattern": "a"}]})),
            {"type": "string", "pattern": "a"},
        ),
        (field(custom({"const": 3})), {"const": 3, "type": "integer"}),
        (
            field(custom({"type": "array", "prefixItems": [INT], "items": {"type": "boolean"}}))[
                "items"
            ],
            {"anyOf": [INT, {"type": "boolean"}]},
        ),
    ],
    ids=str,
)
def test_a_field_is_rewritten(got: Any, schema: Any) -> None:
    assert got == schema


def test_every_object_is_closed_and_every_property_required() -> None:
    result = strict_schema(schema_of(Everything))
    assert result.problems == ()
    for part in (result.schema, *result.schema["$defs"].values()):
        if part.get("type") == "object":
            assert part["additionalProperties"] is False
            assert part["required"] == list(part["properties"])
    assert "title" in result.schema["properties"]
    assert "oneOf" not in str(result.schema)
    assert result.schema["properties"]["best"] == {
        "anyOf": [{"$ref": "#/$defs/Cat"}],
        "description": "The best one.",
    }


def test_a_recursive_type_gets_an_object_as_root() -> None:
    result = strict_schema(schema_of(Node))
    assert result.problems == ()
    assert result.schema["type"] == "object"
    assert result.schema["properties"]["children"]["items"] == {"$ref": "#/$defs/Node"}
    jsonschema.validate({"name": "a", "children": [{"name": "b", "children": []}]}, result.schema)


class Free(BaseModel):
    meta: dict[str, int]


class Untyped(BaseModel):
    items: list[Any]
    thing: Any


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: int


class Wide(BaseModel):
    choice: Literal[tuple(f"v{n}" for n in range(1001))]  # type: ignore[valid-type]


class Long(BaseModel):
    choice: Literal[tuple(f"{n:064}" for n in range(251))]  # type: ignore[valid-type]


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (Free, ["at $.meta: an object with free keys (such as `dict[str, X]`)"]),
        (dict[str, int], ["at $: an object with free keys"]),
        (
            Untyped,
            [
                "at $.items[]: any value is allowed here; give it a type",
                "at $.thing: any value is allowed here; give it a type",
            ],
        ),
        (Open, ["at $: an object with free keys"]),
        (list[int], ["at $: the root must be an object"]),
        (Wide, ["at $: 1_001 enum values; at most 1_000 are allowed"]),
        (Long, ["at $: an enum of 16064 characters; at most 15_000 fit"]),
    ],
)
def test_what_cannot_be_said_is_a_problem_with_its_path(kind: Any, told: list[str]) -> None:
    problems = [str(problem) for problem in strict_schema(schema_of(kind)).problems]
    assert len(problems) == len(told)
    for problem, beginning in zip(problems, told, strict=True):
        assert problem.startswith(beginning)


def test_too_many_properties_are_a_problem() -> None:
    properties = {f"p{n}": {"type": "integer"} for n in range(5001)}
    problems = strict_schema({"type": "object", "properties": properties}).problems
    assert [str(p) for p in problems] == ["at $: 5_001 properties; at most 5_000 are allowed"]


def test_more_than_ten_levels_of_objects_are_a_problem() -> None:
    """Levels are objects in objects, counted in every definition on its own."""
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(10):
        array = {"type": "array", "items": schema}
        schema = {"type": "object", "properties": {"a": array}, "additionalProperties": False}
    assert strict_schema(schema).problems == ()
    deeper = {"type": "object", "properties": {"b": schema}, "additionalProperties": False}
    (problem,) = strict_schema(deeper).problems
    assert str(problem) == "at $: 11 levels of nesting; at most 10 are allowed"
    referred = {"$ref": "#/$defs/Inner"}
    outer = {"type": "object", "properties": {"b": referred}, "additionalProperties": False}
    assert strict_schema({**outer, "$defs": {"Inner": schema}}).problems == ()
    (problem,) = strict_schema({**outer, "$defs": {"Inner": deeper}}).problems
    assert problem == Problem("$.b", "11 levels of nesting; at most 10 are allowed", "Inner")


def test_a_plain_schema_keeps_all_but_titles() -> None:
    schema = plain_schema(schema_of(Everything))
    assert schema["properties"]["title"] == {
        "type": "string",
        "description": "The title.",
        "minLength": 1,
        "maxLength": 9,
    }
    assert schema["properties"]["pet"]["discriminator"]
    assert plain_schema(schema_of(Node))["type"] == "object"


class Meta(BaseModel):
    free: dict[str, int]


class Box(BaseModel, Generic[T]):
    metas: list[T | None]


class Pair(NamedTuple):
    left: int
    right: str = "r"


class Pairs(Enum):
    ONE = (1, 2)


class Reached(BaseModel):
    deep: int = Field(validation_alias=AliasPath("a", 0))
    plain: int = Field(validation_alias=AliasChoices(AliasPath("b", 0), "c"))


class Chosen(BaseModel):
    it: Cat | Box[Meta] | list[Meta]


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (Box[Meta], ["at $.metas[].free (in Meta): an object with free keys"]),
        (Chosen, ["at $.it|3[].free (in Meta): an object with free keys"]),
        (dict[Literal["a", "b"], Meta], ["at $.a.free (in Meta): an object with free keys"]),
        (field_of(Pairs), ["at $.x (in Pairs): an enum of lists or objects; use texts"]),
        (field_of(Reached), ["at $.x.deep (in Reached): only an `AliasPath` leads here"]),
        (field_of(list), ["at $.x[]: any value is allowed here"]),
        (field_of(JsonValue), ["at $.x (in JsonValue): any value is allowed here"]),
        (
            field_of(Annotated[int, WithJsonSchema({"allOf": [{"minimum": 1}, {"minimum": 2}]})]),
            ["at $.x: it must fit several schemas at once (`allOf`)"],
        ),
    ],
    ids=str,
)
def test_a_path_leads_from_the_root_by_the_names_of_fields(kind: Any, told: list[str]) -> None:
    problems = [str(problem) for problem in strict_schema(schema_of(kind)).problems]
    assert len(problems) == len(told)
    for problem, beginning in zip(problems, told, strict=True):
        assert problem.startswith(beginning)


def test_a_reference_to_elsewhere_and_a_schema_that_allows_nothing_are_problems() -> None:
    properties: dict[str, Any] = {"a": INT, "b": {"$ref": "#/properties/a"}, "c": False}
    problems = strict_schema(
        {"type": "object", "properties": properties, "additionalProperties": False}
    ).problems
    assert [problem.path for problem in problems] == ["$.b", "$.c"]
    assert "`#/properties/a`" in problems[0].message
    assert problems[1].message == "no value is allowed here; give it a type"


class Sparse(TypedDict):
    name: str
    year: NotRequired[int]
    told: Annotated[NotRequired[str], Field(description="Said.")]
    maybe: NotRequired[int | None]


class Sloppy(BaseModel):
    limit: int = None  # type: ignore[assignment]
    never: float = float("nan")
    thing: int = object()  # type: ignore[assignment]
    made: list[int] = Field(default_factory=list)
    known: int = 3


@pytest.mark.parametrize(
    ("kind", "unset"),
    [(Sparse, ["year", "told"]), (Sloppy, ["limit", "never", "thing"]), (SCORES, ["a", "b"])],
)
def test_null_stands_for_what_no_value_says(kind: Any, unset: list[str]) -> None:
    """A property that may be left out, and has no default that could be written instead."""
    properties = strict_schema(schema_of(kind)).schema["properties"]
    nulls = {"type": "null"}
    told = {n: p for n, p in properties.items() if "null: left out" in p.get("description", "")}
    assert list(told) == unset
    assert all(nulls in schema["anyOf"] for schema in told.values())


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Sparse, '{"name": "x", "year": null, "told": null, "maybe": null}', {"maybe": None}),
        (Sparse, '{"name": "x", "year": 3, "told": "y", "maybe": 1}', None),
        (SCORES, '{"a": 3, "b": null}', {"a": 3}),
        (field_of(list[Sparse | int]), NESTED, None),
    ],
)
def test_a_null_for_what_is_left_out_is_read_so(kind: Any, text: str, value: Any) -> None:
    strict = strict_schema(schema_of(kind))
    read = TypeAdapter(kind).validate_json(strict.read(text))
    if value is not None:
        assert read == {"name": "x", **value} if kind is Sparse else value
    assert strict.read("no json") == "no json"
    assert '"year":null' not in strict.read(text)


@dataclass
class Counted:
    of: str
    count: int = dataclasses.field(default=0, init=False)


def test_a_field_a_dataclass_fills_itself_is_not_asked_for() -> None:
    strict = strict_schema(schema_of(Counted))
    assert list(strict.schema["properties"]) == ["of"]
    assert TypeAdapter(Counted).validate_json(strict.read('{"of": "x"}')) == Counted("x")


def test_sent_schemas_are_strict_where_they_are_to_be_or_can_be() -> None:
    free, closed = schema_of(Meta), schema_of(Cat)
    assert sent_schema(free, strict=True).problems
    assert sent_schema(free, strict=None) == sent_schema(free, strict=False)
    assert not sent_schema(free, strict=None).enforced
    assert sent_schema(closed, strict=None) == sent_schema(closed, strict=True)
    assert sent_schema(closed, strict=True).enforced
    # No mode can ask for what no property holds.
    assert sent_schema(schema_of(Reached), strict=False).problems


class Movie(TypedDict):
    name: str
    year: int


@dataclass
class Point:
    x: int
    y: int


@pytest.mark.parametrize("kind", [Node, Everything, Movie, Point])
def test_the_result_is_a_schema_and_stable(kind: Any) -> None:
    schema = strict_schema(schema_of(kind)).schema
    jsonschema.Draft202012Validator.check_schema(schema)
    assert strict_schema(schema).schema == schema


names = st.sampled_from(["a", "title", "type", "properties", "$ref", "items", "enum"])
leaves = st.sampled_from([str, int, bool, float, Level, Literal["x"], str | None])
kinds = st.recursive(leaves, lambda inner: inner.map(lambda kind: list[kind]), max_leaves=3)  # type: ignore[valid-type]


@given(st.dictionaries(names, kinds, min_size=1))
def test_any_names_of_fields_survive(fields: dict[str, Any]) -> None:
    kind = TypedDict("Kind", fields)  # type: ignore[misc]
    result = strict_schema(schema_of(kind))
    assert result.problems == ()
    assert set(result.schema["properties"]) == set(fields)
    jsonschema.Draft202012Validator.check_schema(result.schema)
