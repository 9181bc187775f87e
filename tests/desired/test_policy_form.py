"""The canonical form of source code."""

import ast
import re
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest

from batchspec.desired.policy import canonical_ast, canonical_value, chains, policy


class Colour(Enum):
    RED = 1


def form(source: str) -> Any:
    return canonical_ast(ast.parse(source))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("def f(x):\n    'Doc.'\n    return x", "def f(x): return x  # comment"),
        ("a = (1 +\n 2)", "a = 1 + 2"),
        ('x = "a" "b"', 'x = "ab"'),
        ("x = f'a{b}' f'c'", "x = f'a{b}c'"),
        ("async def f():\n    '''Doc.'''\n    pass", "async def f(): pass"),
        ("x = u'a'", "x = 'a'"),
    ],
)
def test_what_does_not_matter_is_not_seen(one: str, other: str) -> None:
    assert form(one) == form(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = 1", "x = 1.0"),
        ("x = True", "x = 1"),
        ("x = 'a'", "x = b'a'"),
        ("f(a)", "f(a=a)"),
        ("x = -1", "x = 1"),
        ("def f(x): return x", "def f(y): return y"),
        ("x = f'{a!r}'", "x = f'{a}'"),
        ("x = ...", "x = '...'"),
        ("x = [None]", "x = []"),
    ],
)
def test_what_matters_is_seen(one: str, other: str) -> None:
    assert form(one) != form(other)


@pytest.mark.parametrize(
    ("value", "canonical"),
    [
        (None, None),
        (1, ["int", "1"]),
        (True, True),
        (0.5, ["float", "0x1.0000000000000p-1"]),
        (b"a", ["bytes", "61"]),
        ({3, 1, 2}, ["set", [["int", "1"], ["int", "2"], ["int", "3"]]]),
        ((1, "a"), ["list", [["int", "1"], "a"]]),
        ({"a": None}, ["map", [["a", None]]]),
        (Decimal("1.0"), ["Decimal", "1.0"]),
        (Colour.RED, ["enum", "Colour", "RED", ["int", "1"]]),
        (re.compile("a", re.IGNORECASE), ["Pattern", [34, "a"]]),
        pytest.param(object(), ["object", "object"], id="object"),
    ],
    ids=str,
)
def test_values_are_tagged(value: Any, canonical: Any) -> None:
    assert canonical_value(value) == canonical


def test_where_a_definition_lives_does_not_count() -> None:
    one, _ = policy({"tool a": 1}, {"m:f": [1], "m:g": [2]}, {"max_turns": 1})
    moved, payload = policy({"tool a": 1}, {"n:g": [2], "n:f": [1]}, {"max_turns": 1})
    changed, _ = policy({"tool a": 1}, {"m:f": [1], "m:g": [3]}, {"max_turns": 1})
    assert one == moved != changed
    assert payload.startswith(b'{"payload":{"bounds":{"max_turns":1},"entries":{"tool a":"')


def test_names_are_followed_through_attributes() -> None:
    assert set(chains(ast.parse("a.b.c(d, e().f)"))) == {
        ("a",),
        ("a", "b"),
        ("a", "b", "c"),
        ("d",),
        ("e",),
    }
