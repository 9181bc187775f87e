"""Vectors as the state keeps them: base64 of 32-bit floats, and the mode that reads them.

This is the form in which OpenAI sends them (`encoding_format: base64`). It is exact, and a third
of the size of the same numbers written out.
"""

import sys
from array import array
from base64 import b64decode, b64encode
from collections.abc import Sequence
from math import isfinite
from typing import Any

from batchspec.spec.feedback import OutputInvalid
from batchspec.spec.output import OutputMode

_BYTES = 4
"""Of one component."""


def pack(vector: Sequence[Any]) -> str:
    """Return components as the base64 of 32-bit floats, little end first.

    Raises:
        TypeError: One is no number.
        OverflowError: One is too large for a number.
    """
    floats = array("f", vector)
    if sys.byteorder == "big":
        floats.byteswap()
    return b64encode(floats.tobytes()).decode()


def raw(text: str) -> bytes:
    """Return the 32-bit floats of a packed vector, little end first.

    Raises:
        ValueError: It is no vector.
    """
    data = b64decode(text, validate=True)
    if not data or len(data) % _BYTES:
        raise ValueError(f"{len(data)} bytes are no vector of 32-bit floats")
    return data


def unpack(text: str) -> list[float]:
    """Return the components of a packed vector.

    Raises:
        ValueError: It is no vector.
    """
    floats = array("f", raw(text))
    if sys.byteorder == "big":
        floats.byteswap()
    return floats.tolist()


class VectorMode(OutputMode):
    """The answer is a vector.

    Args:
        dimensions: How many components it must have; None: as many as the model gives.
    """

    def __init__(self, dimensions: int | None = None) -> None:
        self.dimensions = dimensions

    def parse(self, text: str) -> list[float]:
        """Return the components.

        Raises:
            OutputInvalid: It is no vector, of another length, or a component is not finite.
        """
        try:
            vector = unpack(text)
        except ValueError as error:
            raise OutputInvalid(f"The answer is no vector: {error}.") from error
        if self.dimensions is not None and len(vector) != self.dimensions:
            raise OutputInvalid(
                f"The vector has {len(vector)} components; {self.dimensions} were asked for."
            )
        if not all(map(isfinite, vector)):
            raise OutputInvalid("A component of the vector is not a finite number.")
        return vector
