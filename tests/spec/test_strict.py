"""The strict subset: what gets in, what is moved into descriptions, what is a problem."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AnyUrl, BaseModel, ConfigDict, Field, TypeAdapter
from typing_extensions import TypedDict

from batchspec.spec.strict import plain_schema, strict_schema


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


def schema_of(kind: Any) -> dict[str, Any]:
    return TypeAdapter(kind).json_schema()


def field(kind: Any, **options: Any) -> Any:
    """Return the strict schema of one field."""
    model = type(
        "M",
        (BaseModel,),
        {
            "__annotations__": {"x": kind},
            "x": Field(**options),
            "model_config": ConfigDict(arbitrary_types_allowed=True),
        },
    )
    return strict_schema(schema_of(model)).schema["properties"]["x"]


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


class Deep(BaseModel):
    a: list[list[list[list[list[list[list[list[list[list[int]]]]]]]]]]


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
        (Deep, ["at $: 11 levels of nesting; at most 10 are allowed"]),
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
