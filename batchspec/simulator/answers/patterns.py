"""Makes strings that match a regular expression."""

import re
from collections.abc import Callable, Iterable
from importlib import import_module
from random import Random
from typing import Any

# The parser behind `re` has no public name, but has kept its shape for twenty years.
_parser: Any = import_module("re._parser")

_READABLE = "".join(map(chr, range(32, 127)))
_PREFERRED = "abcdefghijklmnopqrstuvwxyz0123456789"
_CATEGORIES: dict[str, Callable[[str], bool]] = {
    "CATEGORY_DIGIT": str.isdigit,
    "CATEGORY_NOT_DIGIT": lambda char: not char.isdigit(),
    "CATEGORY_SPACE": str.isspace,
    "CATEGORY_NOT_SPACE": lambda char: not char.isspace(),
    "CATEGORY_WORD": lambda char: char.isalnum() or char == "_",
    "CATEGORY_NOT_WORD": lambda char: not (char.isalnum() or char == "_"),
}


def matching(pattern: str, random: Random, *, low: int = 0, high: int | None = None) -> str | None:
    """A string in which the pattern is found, of `low` to `high` characters.

    Returns nothing when the pattern is not a regular expression of Python's, or when no string
    was found, as with look-arounds and back references that ask for much.
    """
    try:
        compiled, tree = re.compile(pattern), _parser.parse(pattern)
    except (re.error, RecursionError, OverflowError):
        return None
    for spread in (2, 0, 4, 8, low, low // 2, 1, 16, 64, low + 3) * 3:
        text = _Writer(random, spread).sequence(tree)
        text += "a" * (low - len(text))
        if (high is None or len(text) <= high) and compiled.search(text):
            return text
    return None


class _Writer:
    """Writes one string along the parse tree, repeating at most `spread` times more than needed."""

    def __init__(self, random: Random, spread: int) -> None:
        self._random = random
        self._spread = spread
        self._groups: dict[int, str] = {}

    def sequence(self, items: Iterable[Any]) -> str:
        return "".join(self._item(str(op), argument) for op, argument in items)

    def _item(self, op: str, argument: Any) -> str:
        match op:
            case "LITERAL":
                return chr(argument)
            case "NOT_LITERAL":
                return self._pick(lambda char: char != chr(argument))
            case "ANY":
                return self._pick(lambda _: True)
            case "IN":
                return self._in(argument)
            case _:
                return self._group(op, argument)

    def _group(self, op: str, argument: Any) -> str:
        match op:
            case "BRANCH":
                return self.sequence(self._random.choice(argument[1]))
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                return self._repeat(*argument)
            case "SUBPATTERN":
                number, _, _, items = argument
                text = self.sequence(items)
                self._groups[number] = text
                return text
            case "ATOMIC_GROUP":
                return self.sequence(argument)
            case "GROUPREF":
                return self._groups.get(argument, "")
            case _:
                # Anchors and look-arounds add nothing; the finished string is tested.
                return ""

    def _repeat(self, low: int, high: int, items: Any) -> str:
        count = self._random.randint(low, min(high, low + self._spread))
        return "".join(self.sequence(items) for _ in range(count))

    def _in(self, members: list[tuple[Any, Any]]) -> str:
        negated = str(members[0][0]) == "NEGATE"
        tests = [_test(str(op), argument) for op, argument in members[negated:]]
        found = self._pick(lambda char: any(test(char) for test in tests) != negated)
        if found or negated:
            return found
        op, argument = members[0]
        return chr(argument if str(op) == "LITERAL" else argument[0])

    def _pick(self, accepts: Callable[[str], bool]) -> str:
        for alphabet in (_PREFERRED, _READABLE):
            if candidates := [char for char in alphabet if accepts(char)]:
                return self._random.choice(candidates)
        return ""


def _test(op: str, argument: Any) -> Callable[[str], bool]:
    match op:
        case "LITERAL":
            return lambda char: ord(char) == argument
        case "RANGE":
            low, high = argument
            return lambda char: low <= ord(char) <= high
        case _:
            return _CATEGORIES.get(str(argument), lambda _: False)
