"""Our schemas mean what Pydantic AI's mean, and every difference has a reason.

Compared is what is sent to OpenAI: after Pydantic AI's transformer for its models, with strict mode
asked for and without.
"""

import re
import runpy
from pathlib import Path
from typing import Any, NamedTuple

import differences
import pytest
from corpus_outputs import OUTPUTS
from differences import listed
from meaning import meaning
from pydantic.errors import PydanticSchemaGenerationError

from batchspec.errors import SpecError
from batchspec.spec.output import NativeOutput, output_mode
from batchspec.spec.tool import Tool

pydantic_ai = pytest.importorskip("pydantic_ai", reason="the extra `pydantic-ai` is not installed")

from pydantic_ai._output import OutputSchema  # noqa: E402
from pydantic_ai.exceptions import UserError  # noqa: E402
from pydantic_ai.providers.openai import OpenAIProvider  # noqa: E402

HERE = Path(__file__).parent
REFUSALS = (UserError, PydanticSchemaGenerationError, AttributeError)
"""What Pydantic AI says no with; it has no sentence for what has no name."""


class Told(NamedTuple):
    """What a model is told; None where a function or a type is refused."""

    name: str
    description: str
    schema: Any


def transformed(schema: Any, *, strict: bool | None) -> Any:
    """Return a schema as Pydantic AI sends it to OpenAI, and whether strict."""
    transformer = OpenAIProvider.model_profile("gpt-5-mini")["json_schema_transformer"]
    walk = transformer(schema, strict=strict)
    return walk.walk(), walk.is_strict_compatible if strict is None else strict


def corpus(context: Any = None) -> dict[str, Any]:
    given = {} if context is None else {"RunContext": context}
    return runpy.run_path(str(HERE / "corpus_tools.py"), init_globals=given)["CASES"]


OURS, THEIRS = corpus(), corpus(pydantic_ai.RunContext)


def our_tool(name: str, *, strict: bool | None) -> Told | None:
    try:
        tool = Tool(OURS[name], strict=strict)
        contract = tool.contract
    except SpecError:
        return None
    if tool.problems():
        return None
    return Told(contract.name, contract.description, meaning(contract.parameters))


def their_tool(name: str, *, strict: bool | None) -> Told | None:
    try:
        tool = pydantic_ai.Tool(THEIRS[name], strict=strict).tool_def
        schema, _ = transformed(tool.parameters_json_schema, strict=strict)
    except REFUSALS:
        return None
    return Told(tool.name, tool.description or "", meaning(schema))


def our_output(name: str, *, strict: bool | None) -> Told | None:
    mode = output_mode(NativeOutput(OUTPUTS[name], strict=strict))
    if mode.problems:
        return None
    assert mode.contract is not None
    schema = dict(mode.contract.schema)
    said = mode.contract.description or schema.pop("description", "")
    return Told(mode.contract.name, said, meaning(schema))


def their_output(name: str, *, strict: bool | None) -> Told | None:
    try:
        marker: Any = pydantic_ai.NativeOutput(OUTPUTS[name], strict=strict)
        made: Any = OutputSchema.build(marker).object_def
        schema, _ = transformed(made.json_schema, strict=strict)
    except REFUSALS:
        return None
    label = re.sub("[^a-zA-Z0-9_-]", "_", made.name or "final_result")
    return Told(label, made.description or "", meaning(schema))


MODES = {"s": True, "l": False}
TOOLS_DIFFER, OUTPUTS_DIFFER = listed(differences.TOOLS), listed(differences.OUTPUTS)
NAMES_DIFFER = {case for case, _ in listed(differences.NAMES)}
# Both refuse it: there is nothing to compare.
REFUSED_BY_BOTH = {("bare_list", "s"), ("list", "s")} | {("typed_keywords", m) for m in MODES}


def test_the_corpus_is_large() -> None:
    assert len(OURS) >= 60
    assert len(OUTPUTS) >= 60
    assert len(set(OURS) - {case for case, _ in TOOLS_DIFFER}) >= 40
    assert len(set(OUTPUTS) - {case for case, _ in OUTPUTS_DIFFER}) >= 40
    assert {case for case, _ in TOOLS_DIFFER} <= set(OURS)
    assert {case for case, _ in OUTPUTS_DIFFER} <= set(OUTPUTS)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", OURS)
def test_a_tool_is_told_as_pydantic_ai_tells_it_or_as_is_listed(case: str, mode: str) -> None:
    ours, theirs = our_tool(case, strict=MODES[mode]), their_tool(case, strict=MODES[mode])
    assert ((ours, theirs) == (None, None)) is ((case, mode) in REFUSED_BY_BOTH)
    if (case, mode) in TOOLS_DIFFER:
        assert ours != theirs, "no difference any more: take it from the table"
    else:
        assert ours == theirs


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", OUTPUTS)
def test_an_output_is_told_as_pydantic_ai_tells_it_or_as_is_listed(case: str, mode: str) -> None:
    ours, theirs = our_output(case, strict=MODES[mode]), their_output(case, strict=MODES[mode])
    assert ((ours, theirs) == (None, None)) is ((case, mode) in REFUSED_BY_BOTH)
    if ours and theirs:
        assert (ours.name != theirs.name) is (case in NAMES_DIFFER)
    if (case, mode) in OUTPUTS_DIFFER:
        assert told(ours) != told(theirs), "no difference any more: take it from the table"
    else:
        assert told(ours) == told(theirs)


def told(output: Told | None) -> Any:
    return output and (output.description, output.schema)


@pytest.mark.parametrize("case", OURS)
def test_where_pydantic_ai_would_be_strict_by_itself_so_are_we(case: str) -> None:
    """`strict=None`: theirs is strict where nothing is rewritten, ours where nothing is refused."""
    try:
        tool = pydantic_ai.Tool(THEIRS[case]).tool_def
        _, enforced = transformed(tool.parameters_json_schema, strict=None)
    except REFUSALS:
        return
    ours = Tool(OURS[case], strict=None)
    if enforced and case not in {"anything", "unannotated", "field_required"}:
        assert ours.problems() or ours.contract.strict
        assert our_tool(case, strict=None) == our_tool(case, strict=True)
