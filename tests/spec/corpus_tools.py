"""Tool functions of every kind people write, to be described by us and by Pydantic AI.

The file is run once for each: with the `RunContext` of Pydantic AI, or without one for ours.
"""
# ruff: noqa: A002, D416, D417, ANN001, ANN002, ANN003, ANN201, ANN202, B006, B008, RUF013, UP006, UP007, UP035, UP045
# mypy: ignore-errors

import enum
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Dict,
    Generic,
    List,
    Literal,
    NamedTuple,
    Optional,
    TypeVar,
    Union,
)
from uuid import UUID

import pydantic
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import NotRequired, TypedDict, Unpack

if "RunContext" not in globals():
    from batchspec import RunContext

CASES: dict[str, Callable[..., Any]] = {}
T = TypeVar("T")


def case(function, name=None):
    CASES[name or function.__name__] = function
    return function


class Point(BaseModel):
    """A point of a map."""

    lat: float = Field(ge=-90, le=90)
    lon: float = Field(ge=-180, le=180)


class Tree(BaseModel):
    name: str
    children: list["Tree"] = []


class Color(enum.Enum):
    RED = "red"
    GREEN = "green"


class Level(enum.IntEnum):
    """How bad it is."""

    LOW = 1
    HIGH = 2


@dataclass
class Address:
    """Where somebody lives."""

    street: str
    city: str = "Paris"


class Filter(TypedDict):
    """What to keep."""

    field: str
    value: NotRequired[str]


class Page(BaseModel, Generic[T]):
    items: list[T]
    more: bool


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: list[str]


class Span(NamedTuple):
    start: int
    end: int


class Camel(BaseModel):
    model_config = ConfigDict(alias_generator=pydantic.alias_generators.to_camel)
    first_name: str
    last_name: str = "Doe"


# --- docstrings


@case
def no_docstring(x: int) -> int: ...


@case
def one_line(city: str) -> str:
    """Tell the weather."""


@case
def google(city: str, days: int) -> str:
    """Tell the weather.

    It is a forecast, and may be wrong.

    Args:
        city: Where.
        days: How many days ahead,
            at most ten.
    """


@case
def google_types(city: str, days: int = 1) -> str:
    """Tell the weather.

    Args:
        city (str): Where.
        days (int, optional): How many days ahead. Defaults to 1.
    """


@case
def google_raises(city: str) -> str:
    """Tell the weather.

    Args:
        city: Where.

    Raises:
        ValueError: There is no such city.
    """


@case
def google_returns(city: str) -> str:
    """Tell the weather.

    Args:
        city: Where.

    Returns:
        A sentence.
    """


@case
def numpy(city: str, days: int) -> str:
    """Tell the weather.

    Parameters
    ----------
    city : str
        Where.
    days : int
        How many days ahead.
    """


@case
def numpy_returns(city: str) -> str:
    """Tell the weather.

    Parameters
    ----------
    city : str
        Where.

    Returns
    -------
    str
        A sentence.
    """


@case
def sphinx(city: str, days: int) -> str:
    """Tell the weather.

    :param city: Where.
    :param days: How many days ahead.
    """


@case
def sphinx_types(city: str, days: int) -> str:
    """Tell the weather.

    :param str city: Where.
    :param days: How many days ahead.
    :type days: int
    :raises ValueError: There is no such city.
    """


@case
def sphinx_returns(city: str) -> str:
    """Tell the weather.

    :param city: Where.
    :return: A sentence.
    """


@case
def with_example(city: str) -> str:
    """Tell the weather.

    Example:
        Call it with "Paris".

    Args:
        city: Where.
    """


@case
def markdown(text: str) -> str:
    """Render *Markdown*: `code`, lists.

    - one
    - two
    """


# --- no parameters, and contexts


@case
def nothing() -> str:
    """Tell the time."""


@case
def only_context(ctx: RunContext[None]) -> str:
    """Tell who asks."""


@case
def context_first(ctx: RunContext[int], city: str) -> str:
    """Tell the weather.

    Args:
        ctx: Who asks.
        city: Where.
    """


@case
async def asynchronous(city: str) -> str:
    """Tell the weather."""


@case
async def asynchronous_context(ctx: RunContext[dict[str, str]], city: str, days: int = 3) -> str:
    """Tell the weather."""


# --- plain types


@case
def scalars(a: int, b: float, c: str, d: bool) -> None: ...


@case
def defaults(a: int = 1, b: str = "x", c: float = 0.5, d: bool = False) -> None: ...


@case
def none_default(query: str, limit: int | None = None) -> None: ...


@case
def optional_old(query: Optional[str], limit: Optional[int] = None) -> None: ...


@case
def optional_required(query: str | None) -> None: ...


@case
def implicit_optional(query: str, limit: int = None) -> None: ...


@case
def unions(value: int | str, other: Union[float, list[int]]) -> None: ...


@case
def literals(kind: Literal["a", "b"], size: Literal[1, 2, 3] = 2) -> None: ...


@case
def literal_mixed(value: Literal["auto", 1, True]) -> None: ...


@case
def literal_single(kind: Literal["only"]) -> None: ...


@case
def enums(color: Color, level: Level = Level.LOW) -> None: ...


@case
def dates(when: datetime, day: date, at: time, lasts: timedelta) -> None: ...


@case
def identifiers(id: UUID, amount: Decimal) -> None: ...


@case
def raw(data: bytes, path: Path) -> None: ...


@case
def urls(url: pydantic.HttpUrl, secret: pydantic.SecretStr) -> None: ...


@case
def nothing_but_none(x: None) -> None: ...


# --- containers


@case
def lists(names: list[str], numbers: List[int], matrix: list[list[float]]) -> None: ...


@case
def list_default(names: list[str] = []) -> None: ...


@case
def sequences(names: Sequence[str]) -> None: ...


@case
def sets(names: set[str], frozen: frozenset[int]) -> None: ...


@case
def tuples_any_length(numbers: tuple[int, ...]) -> None: ...


@case
def tuple_pair(pair: tuple[int, str]) -> None: ...


@case
def tuple_same(pair: tuple[float, float]) -> None: ...


@case
def tuple_single(only: tuple[int]) -> None: ...


@case
def named_tuple(span: Span, text: str) -> None: ...


@case
def free_dict(labels: dict[str, str]) -> None: ...


@case
def bare_dict(labels: dict, other: Dict[str, Any]) -> None: ...


@case
def mapping(labels: Mapping[str, int]) -> None: ...


@case
def known_keys(scores: dict[Literal["speed", "taste"], int]) -> None: ...


@case
def bare_list(things: list) -> None: ...


@case
def anything(thing: Any) -> None: ...


# --- Annotated and Field


@case
def annotated(city: Annotated[str, Field(description="Where.")], days: int) -> None: ...


@case
def annotated_bounds(
    days: Annotated[int, Field(ge=1, le=10)], share: Annotated[float, Field(gt=0, lt=1)]
) -> None: ...


@case
def annotated_lengths(
    name: Annotated[str, Field(min_length=1, max_length=20)],
    tags: Annotated[list[str], Field(min_length=1, max_length=3)],
) -> None: ...


@case
def annotated_pattern(code: Annotated[str, Field(pattern="^[A-Z]{3}$")]) -> None: ...


@case
def annotated_and_docstring(city: Annotated[str, Field(description="Where.")]) -> None:
    """Tell the weather.

    Args:
        city: Something else.
    """


@case
def annotated_alias(city: Annotated[str, Field(alias="City")]) -> None: ...


@case
def annotated_examples(city: Annotated[str, Field(examples=["Paris"])]) -> None: ...


@case
def field_default(days: int = Field(default=3, ge=1, description="How many.")) -> None: ...


@case
def field_factory(names: list[str] = Field(default_factory=list)) -> None: ...


@case
def field_required(days: int = Field(description="How many.")) -> None: ...


# --- what has fields


@case
def single_model(point: Point) -> None:
    """Look at a point."""


@case
def single_model_undescribed(point: Point) -> None: ...


@case
def single_model_with_context(ctx: RunContext[None], point: Point) -> None:
    """Look at a point."""


@case
def single_dataclass(address: Address) -> None:
    """Look at an address."""


@case
def single_typed_dict(filter: Filter) -> None:
    """Keep some."""


@case
def single_recursive(tree: Tree) -> None:
    """Look at a tree."""


@case
def single_generic(page: Page[int]) -> None:
    """Look at a page."""


@case
def single_annotated_model(point: Annotated[Point, Field(description="Where.")]) -> None:
    """Look at a point."""


@case
def single_optional_model(point: Point | None = None) -> None:
    """Look at a point."""


@case
def single_described_model(point: Point) -> None:
    """Look at a point.

    Args:
        point: The one to look at.
    """


@case
def model_and_more(point: Point, radius: float) -> None:
    """Look around a point.

    Args:
        point: The middle.
        radius: In metres.
    """


@case
def models(points: list[Point], tree: Tree, page: Page[Address]) -> None: ...


@case
def model_default(query: str, point: Point = Point(lat=1, lon=2)) -> None: ...


@case
def discriminated(pet: Annotated[Cat | Dog, Field(discriminator="kind")], n: int) -> None: ...


@case
def model_union(pet: Cat | Dog | None, n: int) -> None: ...


@case
def aliased_model(person: Camel, n: int) -> None: ...


@case
def typed_dict_and_more(filter: Filter, n: int) -> None: ...


@case
def dataclass_and_more(address: Address, n: int = 1) -> None: ...


# --- odd signatures


@case
def keyword_only(*, city: str, days: int = 1) -> None: ...


@case
def positional_only(city: str, /, days: int) -> None: ...


@case
def var_arguments(*cities: str) -> None: ...


@case
def var_keywords(**labels: str) -> None: ...


@case
def typed_keywords(**filter: Unpack[Filter]) -> None: ...


@case
def unannotated(city) -> None: ...


@case
def odd_names(copy: str, _x: int, model_config: str, schema: str) -> None: ...


@case
def forward(tree: "Tree", when: "datetime | None" = None) -> "str": ...


def logged(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


@case
@logged
def decorated(city: str, days: int = 1) -> str:
    """Tell the weather.

    Args:
        city: Where.
    """


class Service:
    """A service."""

    def look(self, city: str) -> str:
        """Look at a city."""

    @classmethod
    def by_class(cls, city: str) -> str:
        """Look at a city."""

    @staticmethod
    def static(city: str) -> str:
        """Look at a city."""

    def __call__(self, city: str) -> str:
        """Look at a city."""


case(Service().look, "method")
case(Service.by_class, "class_method")
case(Service.static, "static_method")
case(Service(), "callable_object")


def scaled(x: float, factor: float, key: str = "") -> float:
    """Scale it.

    Args:
        x: What.
    """


case(functools.partial(scaled, factor=2.0, key="secret"), "partial_keywords")
case(functools.update_wrapper(functools.partial(scaled, factor=2.0), scaled), "partial_named")
case(functools.update_wrapper(functools.partial(scaled, 2.0), scaled), "partial_positional")
