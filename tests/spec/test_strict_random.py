"""For random types: what is sent is strict, and loses nothing of what can be said."""

import json
import os
import re
from typing import Any

import jsonschema
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError, create_model
from random_types import Kind, kinds
from strict_subset import violations

from batchspec.simulator.answers.schema import make_instance
from batchspec.simulator.answers.voice import Voice
from batchspec.simulator.endpoints.strict import strict_violation
from batchspec.spec.output import NativeOutput, OutputInvalid, output_mode
from batchspec.spec.tool import Tool

EXAMPLES = int(os.environ.get("BATCHSPEC_STRICT_EXAMPLES", "30"))
often = settings(
    max_examples=EXAMPLES,
    derandomize=EXAMPLES < 1_000,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def root_of(kind: Kind) -> Any:
    return create_model("Root", x=(kind.hint, ...))


def accepts(schema: Any, value: Any) -> bool:
    return jsonschema.Draft202012Validator(schema).is_valid(value)


@often
@given(st.data())
def test_what_is_sent_is_strict_and_reads_back(data: st.DataObject) -> None:
    kind = data.draw(kinds(with_refused=False))
    root = root_of(kind)
    mode = output_mode(root)
    assert mode.problems == ()
    schema = mode.contract.schema  # type: ignore[union-attr]
    assert violations(schema) == []
    assert strict_violation(json.dumps(schema).encode()) is None
    jsonschema.Draft202012Validator.check_schema(schema)
    for original, written in data.draw(st.lists(kind.pairs, min_size=1, max_size=3)):
        value = TypeAdapter(root).validate_json(json.dumps({"x": original}))
        told = {"x": written}
        assert accepts(schema, told)
        assert mode.parse(json.dumps(told)) == value
        if original == written:
            dumped = TypeAdapter(root).dump_python(value, mode="json", by_alias=True)
            event("dumped")
            assert accepts(schema, dumped)
            assert mode.parse(json.dumps(dumped)) == value


@often
@given(st.data())
def test_a_tool_asks_for_the_same_and_binds_it(data: st.DataObject) -> None:
    kind = data.draw(kinds(with_refused=False))

    def function(x: Any, more: Any = 1) -> None:
        pass

    function.__annotations__ = {"x": kind.hint, "more": int, "return": None}
    tool = Tool(function)
    assert tool.problems() == []
    assert violations(tool.parameters) == []
    adapter = TypeAdapter(root_of(kind))
    for original, written in data.draw(st.lists(kind.pairs, min_size=1, max_size=2)):
        told = {"x": written, "more": 2}
        assert accepts(tool.parameters, told)
        value = adapter.validate_json(json.dumps({"x": original})).x
        assert tool.bind(json.dumps(told)) == {"x": value, "more": 2}


@often
@given(st.data())
def test_what_cannot_be_said_is_told_with_its_path(data: st.DataObject) -> None:
    kind = data.draw(kinds(with_refused=True))
    mode = output_mode(root_of(kind))
    assert bool(mode.problems) is kind.refused
    assert all(problem.path.startswith("$.x") for problem in mode.problems)
    # Without strict mode every type can be asked for, and read.
    for strict in (False, None):
        loose = output_mode(NativeOutput(root_of(kind), strict=strict))
        assert loose.problems == ()
        contract = loose.contract
        assert contract is not None
        assert contract.strict is (strict is None and not kind.refused)
    original, _ = data.draw(kind.pairs)
    plain = output_mode(NativeOutput(root_of(kind), strict=False))
    assert accepts(plain.contract.schema, {"x": original})  # type: ignore[union-attr]
    event("refused" if kind.refused else "strict")


WRONG = {"no such field": [{}]}


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner: Any = ()
    if isinstance(value, dict | list):
        inner = value.items() if isinstance(value, dict) else enumerate(value)
    found = [p for key, item in inner for p in places(item, (*path, key))]
    return [path, *found] if path else found


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = changed(copy[path[0]], path[1:], new)
    return copy


@often
@given(st.data())
def test_what_the_type_refuses_the_schema_refuses(data: st.DataObject) -> None:
    """A value of another shape anywhere, a field too many, one too few."""
    kind = data.draw(kinds(with_refused=False))
    mode = output_mode(root_of(kind))
    schema = mode.contract.schema  # type: ignore[union-attr]
    _, written = data.draw(kind.pairs)
    told = {"x": written}
    place = data.draw(st.sampled_from(places(told)))
    broken = changed(told, place, WRONG)
    assert not accepts(schema, broken)
    try:
        mode.parse(json.dumps(broken))
    except OutputInvalid:
        event("both refuse")
    else:
        # A type that ignores fields it does not know takes an object for one without any.
        event("the type ignores fields")
    for wrong in ({**told, "more": 1}, {}):
        assert not accepts(schema, wrong)


OF_VALUES = re.compile(
    r"(string_too|string_pattern|too_(short|long)|greater|less|multiple|decimal|url|uuid|date|time|ip_)"
)


def refusals(mode: Any, text: str) -> list[str]:
    try:
        mode.form.read(text)
    except ValidationError as error:
        return [details["type"] for details in error.errors()]
    return []


@often
@given(st.data(), st.integers(0, 999))
def test_what_the_schema_allows_the_type_takes(data: st.DataObject, seed: int) -> None:
    """But for what is only told in a description, and checked on this machine."""
    kind = data.draw(kinds(with_refused=False))
    mode = output_mode(root_of(kind))
    schema = mode.contract.schema  # type: ignore[union-attr]
    written = make_instance(schema, Voice(seed.to_bytes(8), "A prompt of 3 words."))
    assert accepts(schema, written)
    told_only = refusals(mode, json.dumps(written))
    event("refused for what is told only" if told_only else "taken")
    # Which item of a tuple has which type is told only.
    assert (
        "prefixItems" in json.dumps(schema) or not told_only or any(map(OF_VALUES.match, told_only))
    )
