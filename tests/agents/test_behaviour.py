"""The same answers of a model lead to the same questions and the same output."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from batchspec.spec.feedback import FEEDBACK

from .conversations import both, call, calls
from .corpus import CORPUS, City

PARIS = {"name": "Paris", "country": "France"}
ADA = {"name": "Ada", "age": 36}
SCRIPTS: dict[str, tuple[str, list[Any]]] = {
    "text": ("text", ["In Paris."]),
    "a tool": ("tools", [call("add", a=1, b=2), "3"]),
    "calls at once": (
        "tools",
        [calls(("add", '{"a": 1}'), ("note", '{"text": "x"}'), ("add", '{"a": 5, "b": 6}')), "ok"],
    ),
    "a model as argument": ("tools", [call("weather", city=PARIS, unit="F"), "cold"]),
    "invalid arguments": ("tools", [call("add", a="one"), call("add", a=1), "2"]),
    "arguments that are no JSON": ("tools", [calls(("add", '{"a": 1')), call("add", a=1), "2"]),
    "model retry": (
        "decorated",
        [call("stock", item="coffee"), call("stock", item="tea"), call("final_result", **PARIS)],
    ),
    "a prefixed tool": ("toolsets", [call("shop_stock", item="tea"), call("sum", a=3), "7"]),
    "a tool of a schema": ("from schema", [call("raw", n=3), "ok"]),
    "a validator": (
        "decorated",
        [call("final_result", name="Nowhere", country="X"), call("final_result", **PARIS)],
    ),
    "an invalid output": (
        "type",
        [call("final_result", name="Paris"), call("final_result", **PARIS)],
    ),
    "an output of a union": (
        "tools of a union",
        [call("final_result_Person", name="Ada", age="x"), call("final_result_City", **PARIS)],
    ),
    "a member of a union": (
        "union in a list",
        [call("final_result_Person", name="Ada", age="x"), call("final_result_City", **PARIS)],
    ),
    "text of a union": ("union or text", ["just text"]),
    "no text, of a union": ("unions or text", [call("final_result_City", **PARIS)]),
    "no text, of a union of two": ("union or text", [call("final_result", **PARIS)]),
    "none, by its tool": ("union or none", [call("final_result_None", response=None)]),
    "none, as nothing is said": ("union or none", [""]),
    "none, as no text is said": ("text or none", [""]),
    "none, as no JSON is said": ("native or none", [""]),
    "none, nor any of three": ("text, a type or none", [""]),
    "none is not all": ("text, a type or none", ["just text"]),
    "a tool named among types": (
        "tools named among types",
        [call("who", name="Ada", age="x"), call("who", name="Ada", age="y"), call("who", **ADA)],
    ),
    "a type among named tools": ("tools named among types", [call("final_result_City", **PARIS)]),
    "text or a tool": ("tool or text", ["just text"]),
    "a tool or text": ("tool or text", [call("final_result", **PARIS)]),
    "an output function": (
        "output function",
        [call("final_result", name="Paris", country="Atlantis"), call("final_result", **PARIS)],
    ),
    "an output function with context": (
        "output function with context",
        [call("final_result", **PARIS)],
    ),
    "a text function": ("text function", ["one two"]),
    "a list": ("tool list", [call("final_result", response=[1, 2])]),
    "tools, then an output": (
        "native with tools",
        [call("add", a=1), '{"name": "Ada", "age": 36}'],
    ),
    "an unknown tool": ("tools", [call("sub", a=1), "none"]),
    "failing too often": ("tools", [call("add", a="one"), call("add", a="two"), "two"]),
    "failing again after a success": (
        "tools",
        [call("add", a="one"), call("add", a=1), call("add", a="two"), call("add", a=2), "3"],
    ),
    "retrying too often": (
        "toolsets",
        [*(call("shop_stock", item=item) for item in ("coffee", "milk", "beer", "wine")), "no"],
    ),
    "an invalid output too often": (
        "type",
        [call("final_result", name="Paris"), call("final_result", name="Rome"), "no"],
    ),
}


RESPONSES = {"text", "calls at once", "model retry", "an invalid output", "tools, then an output"}
RESPONSES |= {"a member of a union", "text of a union", "none, by its tool"}
RESPONSES |= {"none, as nothing is said", "none, as no text is said", "none, as no JSON is said"}
"""Those that are told at the other endpoint as well; requests of all are compared at both."""
PLACES = [(script, "openai") for script in SCRIPTS]
PLACES += [(script, "openai-responses") for script in sorted(RESPONSES)]


@pytest.mark.parametrize(("script", "endpoint"), PLACES)
def test_the_job_goes_the_agents_way(script: str, endpoint: str, tmp_path: Path) -> None:
    name, answers = SCRIPTS[script]
    theirs, ours = both(CORPUS[name], endpoint, tmp_path, answers)
    assert ours.outcome == theirs.outcome, ours
    assert _known(ours.told()) == _known(theirs.told())
    if theirs.outcome == "succeeded":
        assert ours.output == theirs.output


def _known(told: list[list[Any]]) -> Any:
    """Return what the model was told, without the order in which tools are listed."""
    text = json.dumps(told)
    return json.loads(
        re.sub(
            r"(Available tools: )([^\"]*)",
            lambda match: match[1] + ", ".join(sorted(match[2].split(", "))),
            text,
        )
    )


NATIVE = {
    "invalid JSON": ("native", ['{"name": "Paris"}', '{"name": "Paris", "country": "France"}']),
    "no JSON": ("native", ["Paris", '{"name": "Paris", "country": "France"}']),
    "prompted": ("prompted", ['```json\n{"name": "Paris", "country": "France"}\n```']),
    "prompted again": ("prompted", ["Paris", '{"name": "Paris", "country": "France"}']),
}


@pytest.mark.parametrize("script", NATIVE)
def test_feedback_to_text_has_the_same_end(script: str, tmp_path: Path) -> None:
    """It is worded in another way, and says the same."""
    name, answers = NATIVE[script]
    theirs, ours = both(CORPUS[name], "openai", tmp_path, answers)
    assert theirs.output == ours.output == City(**PARIS)
    # Pydantic AI first says to the system what its marks mean.
    assert [turn[-1][0] for turn in ours.told()] == [turn[-1][0] for turn in theirs.told()]


@pytest.mark.parametrize("answer", ["bad", "good"])
def test_functions_of_an_output_may_be_lenient_at_last(answer: str, tmp_path: Path) -> None:
    """They know how often the model was asked again, and when that is the last time."""
    theirs, ours = both(CORPUS["lenient"], "openai", tmp_path, [answer])
    assert (ours.outcome, ours.output) == (theirs.outcome, theirs.output)
    assert len(ours.asked) == len(theirs.asked)
    said = [turn[-1][1].removeprefix(FEEDBACK).strip() for turn in ours.told()]
    assert all(mine in turn[-1][1] for mine, turn in zip(said, theirs.told(), strict=True))
