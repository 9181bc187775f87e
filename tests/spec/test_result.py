"""What a tool returned, as the model is told it."""

import math
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import anyio
import pytest
from pydantic import BaseModel, Field
from pydantic_core import PydanticSerializationError

from batchspec.spec.result import MAX_CONTENT, ResultTooLong, awaited, content, is_async


@dataclass
class Point:
    x: int
    y: Decimal


class Colour(Enum):
    RED = "red"


class Order(BaseModel):
    number: int = Field(alias="no")
    at: date


class Loose(BaseModel, ser_json_inf_nan="constants"):
    x: float


ROUND: list[Any] = []
ROUND.append(ROUND)


def numbers() -> Iterator[int]:
    yield from (1, 2)


@pytest.mark.parametrize(
    ("result", "told"),
    [
        ("text", "text"),
        ("", ""),
        (None, "null"),
        (True, "true"),
        (0.1, "0.1"),
        ([1, "a", None], '[1,"a",null]'),
        ((1, 2), "[1,2]"),
        ({3}, "[3]"),
        ({"ä": {1: 2}}, '{"ä":{"1":2}}'),
        (Decimal("1.10"), '"1.10"'),
        (date(2026, 1, 2), '"2026-01-02"'),
        (datetime(2026, 1, 2, 3, tzinfo=UTC), '"2026-01-02T03:00:00Z"'),
        (timedelta(minutes=1), '"PT1M"'),
        (UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (b"\xff\x00", '"_wA="'),
        (Colour.RED, '"red"'),
        (Point(1, Decimal(2)), '{"x":1,"y":"2"}'),
        (Order(no=1, at=date(2026, 1, 2)), '{"no":1,"at":"2026-01-02"}'),
        ([Order(no=1, at=date(2026, 1, 2))], '[{"no":1,"at":"2026-01-02"}]'),
        (numbers(), "[1,2]"),
        (math.nan, "null"),
        ({"a": [math.inf, -math.inf], "b": Loose(x=math.nan)}, '{"a":[null,null],"b":{"x":null}}'),
        (Loose(x=math.nan), '{"x":null}'),
        ("cut \ud83d", "cut ?"),
        ({"a": ["cut \ud83d", math.nan]}, '{"a":["cut ?",null]}'),
        ({"a": (part for part in ["whole", "cut \ud83d"])}, '{"a":["whole","cut ?"]}'),
    ],
)
def test_any_result_that_json_can_hold_is_told(result: Any, told: str) -> None:
    assert content(result) == told


@pytest.mark.parametrize(
    "result",
    [object(), {"a": object()}, lambda: 1, [ROUND], {"\ud83d": 1}],
    ids=["a", "b", "c", "round", "half"],
)
def test_what_json_cannot_hold_is_an_error(result: Any) -> None:
    with pytest.raises(PydanticSerializationError):
        content(result)


def test_what_no_message_holds_is_an_error() -> None:
    assert len(content("x" * MAX_CONTENT)) == MAX_CONTENT
    with pytest.raises(ResultTooLong, match="10_485_761 characters"):
        content("x" * (MAX_CONTENT + 1))


def test_results_that_a_loop_has_to_run_for_are_waited_for() -> None:
    async def later() -> int:
        return 1

    async def several() -> AsyncIterator[int]:
        yield 1
        yield 2

    async def nested() -> Any:
        return later()

    assert not is_async(3)
    for made, found in [(later, 1), (several, [1, 2]), (nested, 1), (lambda: 3, 3)]:
        assert anyio.run(awaited, made()) == found
