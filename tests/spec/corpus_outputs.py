"""Output types of every kind people write."""
# ruff: noqa: UP006, UP007, UP035, UP045, PYI061

import enum
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Generic, List, Literal, NamedTuple, Optional, TypeVar, Union
from uuid import UUID

import pydantic
from pydantic import BaseModel, ConfigDict, Field, RootModel
from pydantic.alias_generators import to_camel
from typing_extensions import NotRequired, TypeAliasType, TypedDict

T = TypeVar("T")


class Intent(enum.StrEnum):
    """What a customer wants."""

    REFUND = "refund"
    CARD = "card"


class Level(enum.Enum):
    LOW = 1
    HIGH = "high"


class Plain(BaseModel):
    text: str
    count: int


class Documented(BaseModel):
    """A ticket, routed."""

    queue: Literal["billing", "bug"]
    urgency: int = Field(ge=1, le=5, description="From 1 to 5.")


class Defaults(BaseModel):
    text: str = "x"
    tags: list[str] = []
    made: list[str] = Field(default_factory=list)
    none: str | None = None


class Optionals(BaseModel):
    a: int | None
    b: Optional[str] = None


class Lengths(BaseModel):
    name: str = Field(min_length=1, max_length=10)
    tags: list[str] = Field(min_length=1, max_length=3)


class Patterns(BaseModel):
    code: str = Field(pattern=r"^[A-Z]{3}$")


class Exclusive(BaseModel):
    share: float = Field(gt=0, lt=1)


class Multiples(BaseModel):
    even: int = Field(multiple_of=2)


class Dates(BaseModel):
    when: datetime
    day: date
    at: time
    lasts: timedelta


class Identifiers(BaseModel):
    id: UUID
    strict: pydantic.UUID4


class Amounts(BaseModel):
    amount: Decimal


class Bytes(BaseModel):
    raw: bytes


class Urls(BaseModel):
    url: pydantic.HttpUrl


class Nested(BaseModel):
    plain: Plain
    many: list[Plain]


class Described(BaseModel):
    plain: Plain = Field(description="The one.")


class Tree(BaseModel):
    name: str
    children: list["Tree"]


class Left(BaseModel):
    right: "Right | None"


class Right(BaseModel):
    left: Left | None


class Linked(BaseModel):
    value: int
    next: Optional["Linked"] = None


class Box(BaseModel, Generic[T]):
    """Something and more of it."""

    item: T
    more: list[T]


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: list[str]


class Owner(BaseModel):
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]


class OwnerOfAny(BaseModel):
    pet: Cat | Dog | str


class Enums(BaseModel):
    intent: Intent
    level: Level


class Literals(BaseModel):
    one: Literal["one"]
    several: Literal["a", 1, True]
    none: Literal[None]


class Aliased(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel)
    first_name: str


class FieldAliased(BaseModel):
    urgency: int = Field(alias="Urgency")


class Forbidding(BaseModel):
    model_config = ConfigDict(extra="forbid")
    text: str


class Allowing(BaseModel):
    model_config = ConfigDict(extra="allow")
    text: str


class Titled(BaseModel):
    model_config = ConfigDict(title="Verdict")
    title: str = Field(title="The title")


class Empty(BaseModel):
    pass


class Examples(BaseModel):
    text: str = Field(examples=["a"])


class Tuples(BaseModel):
    any_length: tuple[int, ...]


class Pair(BaseModel):
    pair: tuple[int, str]


class Sets(BaseModel):
    tags: set[str]


class Free(BaseModel):
    labels: dict[str, str]


class Untyped(BaseModel):
    thing: Any


class Known(BaseModel):
    scores: dict[Literal["a", "b"], int]


class AttributeDocs(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)
    text: str
    """What was said."""


class Inherited(Documented):
    """A ticket, routed and read."""

    read: bool


class Computed(BaseModel):
    a: int

    @pydantic.computed_field
    def b(self) -> int:
        return self.a


class Validated(BaseModel):
    a: int

    @pydantic.field_validator("a")
    @classmethod
    def _small(cls, value: int) -> int:
        return value


class Names(RootModel[list[str]]):
    """Names, in order."""


class Wrapped(BaseModel):
    names: Names


@dataclass
class Point:
    """A point."""

    x: int
    y: int = 0


@dataclass
class Lines:
    points: list[Point] = field(default_factory=list)


@pydantic.dataclasses.dataclass
class Checked:
    x: int = Field(ge=0)


class Movie(TypedDict):
    """A film."""

    name: str
    year: int


class Sparse(TypedDict):
    name: str
    year: NotRequired[int]


class Loose(TypedDict, total=False):
    name: str


class Span(NamedTuple):
    start: int
    end: int


Json = TypeAliasType("Json", "list[Json] | int | str")  # type: ignore[misc]
Score = Annotated[int, Field(ge=0, le=100, description="In percent.")]

OUTPUTS: dict[str, Any] = {
    kind.__name__: kind
    for kind in (
        *(Plain, Documented, Defaults, Optionals, Lengths, Patterns, Exclusive, Multiples, Dates),
        *(Identifiers, Amounts, Bytes, Urls, Nested, Described, Tree, Left, Linked, Cat, Owner),
        *(OwnerOfAny, Enums, Literals, Aliased, FieldAliased, Forbidding, Allowing, Titled, Empty),
        *(Examples, Tuples, Pair, Sets, Free, Untyped, Known, AttributeDocs, Inherited, Computed),
        *(Validated, Names, Wrapped, Point, Lines, Checked, Movie, Sparse, Loose, Span, Intent),
        Level,
    )
} | {
    "int": int,
    "float": float,
    "bool": bool,
    "list[str]": list[str],
    "List[Plain]": List[Plain],
    "list[list[int]]": list[list[int]],
    "set[int]": set[int],
    "tuple[int, ...]": tuple[int, ...],
    "tuple[int, str]": tuple[int, str],
    "dict[str, int]": dict[str, int],
    "dict[Literal, int]": dict[Literal["a", "b"], int],
    "Literal": Literal["a", "b"],
    "Literal of one": Literal["only"],
    "Literal mixed": Literal["a", 1],
    "datetime": datetime,
    "Decimal": Decimal,
    "UUID": UUID,
    "Json": Json,
    "Score": Score,
    "Annotated model": Annotated[Plain, Field(description="The answer.")],
    "Box[int]": Box[int],
    "Box[Plain]": Box[Plain],
    "Box[Box[int]]": Box[Box[int]],
    "list[Box[Movie]]": list[Box[Movie]],
    "list[Point]": list[Point],
    "list[Intent]": list[Intent],
    "Any": Any,
    "list": list,
    "dict": dict,
    # Several, of which the model chooses one.
    "[Plain, Documented]": [Plain, Documented],
    "[Cat, Dog, int]": [Cat, Dog, int],
    "[Point, Movie]": [Point, Movie],
    "[int, list[str]]": [int, list[str]],
    "Plain | Documented": Plain | Documented,
    "Union[Cat, Dog]": Union[Cat, Dog],
    "Plain | None": Plain | None,
}
