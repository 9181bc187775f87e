"""Deterministic chance, and words taken from what was asked."""

import ast
import re
import string
from functools import cached_property
from random import Random

_SEPARATORS = str.maketrans(dict.fromkeys(string.punctuation + string.digits, " "))
_NUMBER = re.compile(r"(?<![\w.])\d{1,9}(?:\.\d{1,6})?(?![\w.]*\d)")
_ARITHMETIC = re.compile(r"[\d(][\d\s.+*/()-]*[\d)]")
_SPARE = ("answer", "note", "result", "detail", "example", "point", "case", "question", "summary")
_MAX_PHRASE = 100
_READ_AHEAD = 2_000
"""Characters of a prompt that are looked at; long ones come by the ten thousand."""


class Voice:
    """Speaks about a text; the same seed and text say the same."""

    def __init__(self, seed: bytes, text: str) -> None:
        self.random = Random(int.from_bytes(seed[:8]))  # noqa: S311  answers that can be had again, not secrets
        self._text = text

    @cached_property
    def words(self) -> list[str]:
        """The text's own words."""
        return self._text[:_READ_AHEAD].translate(_SEPARATORS).split() or list(_SPARE)

    @cached_property
    def numbers(self) -> list[str]:
        found = _NUMBER.findall(self._text[:_READ_AHEAD])[:20]
        # Leading zeros are no numbers to Python.
        return [
            text.lstrip("0") if text[:1] == "0" and text.strip("0.") else text for text in found
        ]

    def word(self) -> str:
        return self.random.choice(self.words)[:24]

    def phrase(self, low: int = 1, high: int = 3) -> str:
        """Neighbouring words of the text."""
        # Asked for several times in each answer: `random` costs a third of `randint`.
        draw, total = self.random.random, len(self.words)
        count = min(low + int(draw() * (high - low + 1)), total)
        start = int(draw() * (total - count + 1))
        return " ".join(self.words[start : start + count])[:_MAX_PHRASE]

    def sentence(self) -> str:
        opening = self.random.choice(
            ("It is about", "The text speaks of", "In short:", "This concerns", "The point is")
        )
        return f"{opening} {self.phrase(3, 9)}."

    def answer(self, longest: int = 9) -> str:
        """Sentences: mostly one or two, now and then as many as `longest`."""
        draw = self.random.random()
        return " ".join(self.sentence() for _ in range(1 + int(longest * draw**3)))

    def expression(self) -> str:
        """Arithmetic that can be evaluated: the text's own, or made of its numbers."""
        for match in _ARITHMETIC.finditer(self._text[:_READ_AHEAD]):
            if any(sign in match[0] for sign in "+-*/") and _evaluable(match[0]):
                return match[0].strip()
        numbers = self.numbers[:4]
        while len(numbers) < 2:
            numbers.append(str(self.random.randint(2, 99)))
        parts = [numbers[0]]
        for number in numbers[1:]:
            parts += [self.random.choice("+-*"), number]
        return " ".join(parts)


def _evaluable(text: str) -> bool:
    if "**" in text or "//" in text or re.search(r"/\s*0+(?![\d.])", text):
        return False
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return not any(isinstance(node, ast.Call | ast.Tuple) for node in ast.walk(tree))
