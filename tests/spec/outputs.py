"""What a model may be asked for: every kind of type, with a value of it."""

from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, Field
from typing_extensions import TypedDict

T = TypeVar("T")


class Triage(BaseModel):
    """How a ticket is routed."""

    queue: Literal["billing", "bug"]
    urgency: int = Field(ge=1, le=5, alias="Urgency")


class Movie(TypedDict):
    name: str
    year: int | None


@dataclass
class Point:
    x: int
    y: float


class Box(BaseModel, Generic[T]):
    content: T
    label: str


class Node(BaseModel):
    """A tree."""

    name: str
    children: "list[Node]"


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Cat(BaseModel):
    """A cat."""

    meows: bool


class Dog(BaseModel):
    """A dog."""

    barks: int


TYPES: dict[str, tuple[Any, Any]] = {
    "model": (Triage, Triage(queue="bug", Urgency=2)),
    "typeddict": (Movie, {"name": "x", "year": None}),
    "dataclass": (Point, Point(1, 2.5)),
    "generic": (Box[int], Box[int](content=3, label="l")),
    "nested generic": (Box[list[Cat]], Box[list[Cat]](content=[Cat(meows=True)], label="l")),
    "recursive": (Node, Node(name="a", children=[Node(name="b", children=[])])),
    "list of models": (list[Cat], [Cat(meows=False), Cat(meows=True)]),
    "int": (int, 3),
    "float": (float, 2.5),
    "bool": (bool, True),
    "enum": (Color, Color.BLUE),
    "literal": (Literal["yes", "no"], "no"),
    "tuple": (tuple[int, int], (1, 2)),
    "annotated": (Annotated[int, Field(ge=1, le=3)], 2),
    "union": (Cat | Dog, Dog(barks=2)),
    "optional": (Cat | None, Cat(meows=True)),
}
"""By what they are."""
