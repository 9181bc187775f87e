"""Tools: what the model is told, and how its arguments are bound."""

import inspect
import json
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from batchspec.errors import SpecError
from batchspec.spec.context import RunContext
from batchspec.spec.docstring import read_docstring
from batchspec.spec.tool import ArgumentsInvalid, Tool, tool


class Range(BaseModel):
    low: int
    high: int = 9


@tool
def search(query: str, limit: int = 10, kind: Literal["a", "b"] | None = None) -> list[str]:
    """Search the index.

    It is fast.

    Args:
        query: What to look for,
            in words.
        limit: How many.
        kind: Of index.
    """
    return [query] * limit


@tool(timeout=5, retries=3, name="find", description="Find it.")
async def numpy_style(ctx: RunContext[int], copy: str, _x: Range) -> str:
    """Find.

    Parameters
    ----------
    copy
        Which copy.
    _x : Range
        Where.
    """
    return f"{ctx.deps}{copy}"


@tool(once=True)
def sphinx_style(a: "int") -> None:
    """Do it.

    :param a: A number.
    :returns: nothing
    """


def described(given: Tool[..., Any]) -> dict[str, Any]:
    properties = given.parameters["properties"]
    return {name: schema.get("description") for name, schema in properties.items()}


def test_the_contract_comes_from_signature_and_docstring() -> None:
    assert search.contract.name == "search"
    assert search.contract.description == "Search the index.\n\nIt is fast."
    assert search.contract.strict
    assert search.parameters == {
        "type": "object",
        "properties": {
            "query": {"type": "string", "description": "What to look for, in words."},
            "limit": {"type": "integer", "description": "How many. (default: 10)"},
            "kind": {
                "anyOf": [{"type": "string", "enum": ["a", "b"]}, {"type": "null"}],
                "description": "Of index.",
            },
        },
        "required": ["query", "limit", "kind"],
        "additionalProperties": False,
    }


def test_docstrings_in_all_three_styles_are_read() -> None:
    assert described(numpy_style) == {"copy": "Which copy.", "_x": "Where."}
    assert described(sphinx_style) == {"a": "A number."}
    assert sphinx_style.description == "Do it."
    assert numpy_style.contract.name == "find"
    assert numpy_style.description == "Find it."


def test_the_context_is_not_a_parameter() -> None:
    assert numpy_style.takes_context
    assert list(numpy_style.parameters["properties"]) == ["copy", "_x"]
    assert not search.takes_context


def test_options_are_kept() -> None:
    assert (numpy_style.timeout, numpy_style.retries, numpy_style.once) == (5, 3, False)
    assert (search.timeout, search.retries) == (None, 1)
    assert (sphinx_style.retries, sphinx_style.once) == (0, True)
    assert search.source.file == __file__


def test_a_tool_is_still_the_function() -> None:
    assert search("x", 2) == ["x", "x"]
    assert search.__name__ == "search"
    assert inspect.iscoroutinefunction(numpy_style.function)


@pytest.mark.parametrize(
    ("given", "arguments", "bound"),
    [
        (search, '{"query": "x"}', {"query": "x"}),
        (
            search,
            '{"query": "x", "limit": 3, "kind": null}',
            {"query": "x", "limit": 3, "kind": None},
        ),
        (numpy_style, '{"copy": "c", "_x": {"low": 1}}', {"copy": "c", "_x": Range(low=1)}),
        (tool(lambda: None), "", {}),
        (tool(lambda: None), "{}", {}),
    ],
    ids=str,
)
def test_arguments_are_bound(given: Tool[..., Any], arguments: str, bound: dict[str, Any]) -> None:
    assert given.bind(arguments) == bound


@pytest.mark.parametrize(
    ("arguments", "kinds"),
    [
        ("{", ["json_invalid"]),
        ("[]", ["model_type"]),
        ('{"limit": "many"}', ["missing", "int_parsing"]),
        ('{"query": "x", "quarry": "y"}', ["extra_forbidden"]),
    ],
)
def test_wrong_arguments_become_a_message_for_the_model(arguments: str, kinds: list[str]) -> None:
    with pytest.raises(ArgumentsInvalid) as caught:
        search.bind(arguments)
    details = json.loads(caught.value.message)
    assert [detail["type"] for detail in details] == kinds
    assert all(not {"url", "ctx"} & detail.keys() for detail in details)


def untyped(query) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    pass


def many(*queries: str) -> None:
    pass


def unresolved(query: "Missing") -> None:  # type: ignore[name-defined]  # noqa: F821
    pass


def free(filters: dict[str, str]) -> None:
    pass


def odd(thing: object()) -> None:  # type: ignore[valid-type]
    pass


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (Tool(untyped), "Parameter 'query' has no annotation; write `query: str`."),
        (Tool(many), "Parameter 'queries' cannot be given by name"),
        (Tool(unresolved), "An annotation cannot be resolved: name 'Missing' is not defined."),
        (Tool(free), "at $.filters: an object with free keys (such as `dict[str, X]`)"),
        (Tool(odd), "tool 'odd' cannot be described to a model. A parameter has no schema"),
        (Tool(no_args := search.function, name="my tool"), "tool name 'my tool' is out of bounds"),
        (Tool(no_args, name="x" * 65), "1 to 64 letters, digits, _ and - are allowed"),
        (Tool(no_args, description="x" * 1025), "It has 1_025 characters, at most 1_024"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_provider_would_refuse_is_told(given: Tool[..., Any], told: str) -> None:
    (problem,) = given.problems()
    assert told in str(problem)
    assert problem.source is not None
    assert problem.source.file == __file__


def test_without_strict_free_keys_are_allowed() -> None:
    given = tool(strict=False)(free)
    assert given.problems() == []
    assert given.contract.strict is False
    assert given.bind('{"filters": {"a": "b"}}') == {"filters": {"a": "b"}}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"timeout": 0}, "`timeout` of tool 'free' is not a time"),
        ({"retries": -1}, "`retries` of tool 'free' is not a number of attempts"),
        ({"timeout": float("nan")}, "`timeout` of tool 'free' is not a time.*; got nan"),
        ({"timeout": float("inf")}, "more than 0 and at most 31_536_000; got inf"),
        ({"timeout": 10**400}, "`timeout` of tool 'free' is not a time"),
        ({"timeout": True}, "`timeout` of tool 'free' is not a time"),
        ({"timeout": "9"}, "`timeout` of tool 'free' is not a time"),
        ({"retries": True}, "`retries` of tool 'free' is not a number of attempts"),
        ({"retries": float("nan")}, "`retries` of tool 'free' is not a number of attempts"),
        ({"retries": 10**30}, "a whole number from 0 to 1_000_000_000; got 1000"),
        ({"limit": float("inf")}, "`limit` of tool 'free' is not a number of calls"),
        ({"limit": 10**30}, "`limit` of tool 'free' is not a number of calls"),
        ({"concurrency": True}, "`concurrency` of tool 'free' is not a number of calls"),
        ({"executor": []}, "`executor` of tool 'free' is not known"),
        ({"name": 5}, "`name` of tool 5 is no text"),
        ({"description": 5}, "`description` of tool 'free' is no text"),
        ({"once": 5}, "`once` of tool 'free' is neither True nor False"),
        ({"strict": "no"}, "`strict` of tool 'free' is neither True nor False"),
        ({"once": True, "retries": 2}, "cannot have both `once` and `retries`"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(SpecError, match=told):
        tool(**options)(free)


def test_annotated_descriptions_need_no_docstring() -> None:
    def look(city: Annotated[str, Field(description="Where.")], days: int) -> None:
        pass

    assert described(tool(look)) == {"city": "Where.", "days": None}


@pytest.mark.parametrize("text", [None, "", "One line.", "Two\n\nparagraphs."])
def test_a_docstring_without_sections_is_text(text: str | None) -> None:
    assert read_docstring(text).text == (text or "")
    assert read_docstring(text).parameters == {}


class Query(BaseModel):
    """What to look for."""

    text: str
    limit: int = 10


@tool
def by_query(ctx: RunContext[None], query: Query) -> str:
    return query.text


@tool
def by_dates(dates: Range = Range(low=1)) -> str:  # noqa: B008
    """Look by dates.

    Args:
        dates: From and to.
    """
    return str(dates)


class Clock:
    """Tells the time."""

    def __call__(self, zone: "str") -> str:
        return zone


def scaled(x: float, factor: float, key: str) -> float:  # noqa: D417
    """Scale it.

    Args:
        x: What.
    """
    return x * factor


def options(  # noqa: D417
    count: int = Field(default=3, ge=1, description="How many."),
    kind: Annotated[str, Field(alias="Kind", description="Which.")] = "a",
    made: list[int] = Field(default_factory=list),  # noqa: B008
) -> Any:
    """Do.

    Args:
        kind: Something else.
        made: Numbers.
    """
    return count, kind, made


def test_a_single_model_is_asked_for_by_its_fields() -> None:
    assert list(by_query.parameters["properties"]) == ["text", "limit"]
    assert by_query.description == "What to look for."
    assert "description" not in by_query.parameters
    assert by_dates.description == "Look by dates."
    assert by_dates.parameters["description"] == "From and to."


@pytest.mark.parametrize(
    ("given", "arguments", "bound"),
    [
        (by_query, '{"text": "x", "limit": 2}', {"query": Query(text="x", limit=2)}),
        (by_query, '{"query": {"text": "x"}}', {"query": Query(text="x")}),
        (by_dates, "", {}),
        (by_dates, '{"low": 2, "high": 3}', {"dates": Range(low=2, high=3)}),
    ],
)
def test_a_single_model_is_bound_by_its_fields_or_as_a_whole(
    given: Tool[..., Any], arguments: str, bound: Any
) -> None:
    assert given.bind(arguments) == bound


def test_what_is_called_like_a_function_is_a_tool() -> None:
    clock = Tool(Clock())
    assert (clock.name, clock.description) == ("Clock", "Tells the time.")
    assert list(clock.parameters["properties"]) == ["zone"]
    assert clock.source.file == __file__
    part = Tool(partial(scaled, factor=2, key="secret"))
    assert (part.name, part.description) == ("scaled", "Scale it.")
    # What is set already is no question to the model, and stays on this machine.
    assert part.parameters["properties"] == {"x": {"type": "number", "description": "What."}}
    assert part(**part.bind('{"x": 3}')) == 6


def test_a_field_may_describe_a_parameter() -> None:
    given = Tool(options)
    properties = given.parameters["properties"]
    assert properties["count"]["minimum"] == 1
    assert properties["count"]["description"] == "How many. (default: 3)"
    # What is written next to the parameter counts for more than the docstring.
    assert properties["Kind"]["description"] == "Which. (default: a)"
    assert properties["made"] == {
        "type": "array",
        "items": {"type": "integer"},
        "description": "Numbers.",
    }
    assert given(**given.bind("{}")) == (3, "a", [])
    assert given(**given.bind('{"count": 1, "Kind": "b", "made": [1]}')) == (1, "b", [1])


def test_null_stands_for_an_argument_that_is_left_out() -> None:
    def look(query: str, limit: int = None) -> int:  # type: ignore[assignment]  # noqa: RUF013
        return limit

    given = Tool(look)
    assert given.parameters["properties"]["limit"]["anyOf"][1] == {"type": "null"}
    assert given.bind('{"query": "x", "limit": null}') == {"query": "x"}


def test_strict_where_it_can_be() -> None:
    assert Tool(free, strict=None).contract.strict is False
    assert Tool(free, strict=None).problems() == []
    assert Tool(scaled, strict=None).contract.strict is True


def test_a_parameter_without_a_schema_is_told() -> None:
    def call(back: Callable[[], int]) -> None:
        pass

    (problem,) = Tool(call).problems()
    assert "tool 'call' cannot be described to a model. A parameter has no schema" in str(problem)
