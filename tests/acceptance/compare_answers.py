"""A model for the word problems that is right more often when it is told to think."""

import re
from typing import Any
from zlib import crc32

from acceptance.gsm8k_answers import behaviours

_JUDGED = re.compile(r"Reference: .*#### ([^\n]+)\nAnswer: ([^\n]+)\nIs it right\?", re.DOTALL)


def is_right(question: str, *, careful: bool) -> bool:
    """Tell whether a problem is solved: nine of ten with care, else four of five of them."""
    draw = crc32(question.encode())
    return draw % 10 != 0 and (careful or draw % 50 >= 10)


def answer(body: dict[str, Any]) -> Any:
    """Solve a problem, or judge a solution."""
    text = body["messages"][-1]["content"]
    judged = _JUDGED.fullmatch(text)
    if judged is not None:
        return {"response": float(judged[1].replace(",", "")) == float(judged[2])}
    careful = "step by step" in body["messages"][0]["content"]
    return {"response": behaviours()[text].solution + (not is_right(text, careful=careful))}
