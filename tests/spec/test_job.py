"""What `Job` accepts, and what it says about what it does not."""

import copy
import dataclasses
import inspect
from typing import Any

import pytest
from pydantic import BaseModel

from batchspec.errors import ModelRetry, SpecError
from batchspec.spec import rows
from batchspec.spec.collect import collecting
from batchspec.spec.context import RunContext
from batchspec.spec.job import Job, graded, validated
from batchspec.spec.output import NativeOutput, TextOutput, ToolOutput
from batchspec.spec.tool import Tool

GOOD: dict[str, Any] = {
    "model": "openai:gpt-5-mini",
    "rows": rows.inline([{"id": 1}]),
    "prompt": "{id}",
}


def no_row() -> str:
    return ""


async def waits(row: Any) -> str:
    return ""


def only_context(ctx: RunContext[None]) -> str:
    return ctx.key


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"promt": "x"}, "Job has no argument 'promt'. Did you mean 'prompt'?"),
        ({"model": "gpt-5"}, '`model` is written "provider:model", for example'),
        ({"model": None}, '`model` is written "provider:model"'),
        ({"rows": [{"id": 1}]}, "`rows` says where rows come from: rows.inline([…])"),
        ({"prompt": "{"}, "`prompt`: The template cannot be read: Single '{'"),
        ({"prompt": 3}, "`prompt` is a template or a function of a row; got 3."),
        ({"prompt": waits}, "`prompt` must be a plain function"),
        ({"prompt": no_row}, "`prompt` must be a function of one parameter, the row"),
        ({"prompt": ""}, "`prompt` is an empty text; nothing would be asked."),
        ({"instructions": ""}, "`instructions` is an empty text; leave it out."),
        ({"variants": {"a": {"instructions": ""}}}, "`instructions` is an empty text"),
        ({"instructions": "{}"}, "`instructions`: The template holds {}, which names no field."),
        ({"output": "json"}, "`output`: it is None or str for text, a type, a function, a list"),
        ({"output": no_row}, "`output`: an output function makes the output of its parameters"),
        ({"output": only_context}, "`output`: an output function makes the output of its param"),
        ({"output": max}, "`output`: an output function makes the output of its parameters"),
        ({"output": TextOutput(no_row)}, "the function of TextOutput must take (text), or (ctx: "),
        ({"output": TextOutput(only_context)}, "the function of TextOutput must take (text), or"),
        ({"output": TextOutput(pow)}, "the function of TextOutput must take (text), or (ctx: Run"),
        ({"output": [str.upper, TextOutput(no_row)]}, "the function of TextOutput must take (tex"),
        ({"output": [int, int]}, "`output`: int stands twice in a list of outputs: keep one."),
        ({"output": [ToolOutput(int), bool, int]}, "`output`: int stands twice in a list of out"),
        ({"output": NativeOutput([list[int], list[int]])}, "`output`: list[int] stands twice in"),
        ({"output_validators": len}, "`output_validators` is a list of functions"),
        ({"output_validators": [1]}, "`output_validators` is a list of functions; 1 is none."),
        ({"output_validators": [no_row]}, "must take (value) or (ctx, value)."),
        ({"output_retries": -1}, "`output_retries` is a whole number from 0; got -1."),
        ({"output_retries": 10**30}, "`output_retries` is 1_000_000_000 at most."),
        ({"output_retries": float("inf")}, "`output_retries` is a whole number from 0; got inf."),
        ({"output": ToolOutput(int, name=5)}, "`name` of ToolOutput is a text; got 5."),  # type: ignore[arg-type]
        ({"output": ToolOutput(int, max_retries=10**30)}, "from 0 to 1_000_000_000; got 1000"),
        ({"output": NativeOutput(int, description=5)}, "`description` of NativeOutput is a text"),  # type: ignore[arg-type]
        ({"output": NativeOutput(int, strict=5)}, "`strict` of NativeOutput is True, False or"),  # type: ignore[arg-type]
        ({"row_type": BaseModel}, "`row_type` is a class of your own that inherits from"),
        ({"max_cost": 10**400}, "`max_cost` is an amount in US dollars"),
        ({"max_cost": float("inf")}, "`max_cost` is an amount in US dollars; got inf."),
        ({"max_turns": float("nan")}, "`max_turns` is a whole number from 1; got nan."),
        ({"max_turns": 10**30}, "`max_turns` is 1_000_000_000 at most."),
        ({"samples": float("nan")}, "`samples` is a whole number from 1; got nan."),
        ({"max_turns": 0}, "`max_turns` is a whole number from 1; got 0."),
        ({"max_turns": True}, "`max_turns` is a whole number from 1; got True."),
        ({"tools": ["search"]}, "`tools` is a list of functions; 'search' is none."),
        ({"row_type": dict}, "`row_type` is a Pydantic model (the class)"),
        ({"settings": 1}, "`settings` is a dict such as"),
        ({"settings": {"temprature": 1}}, "Did you mean 'temperature'?"),
        ({"samples": 0}, "`samples` is a whole number from 1; got 0."),
        ({"variants": {}}, "`variants` is a mapping such as"),
        ({"variants": {"a": {"promt": "x"}}}, "`variants` 'a': Job has no argument 'promt'. Did"),
        ({"variants": {"a": {"rows": 1}}}, "`rows` is the same in all variants; say it for the"),
        ({"variants": {"a": {"model": "x"}}}, "`variants` 'a': `model` is written"),
        ({"variants": {"a": 1}}, "what is different in a variant is a mapping; got 1."),
        ({"variants": {"\n": {}}}, "the name of a variant is a short printable text."),
        ({"variants": {"x" * 101: {}}}, "the name has 101 characters; at most 100 are allowed."),
        ({"samples": 1001}, "Variants times samples are 1001; at most 1000 are allowed."),
        ({"grade": 1}, "`grade` is a function (row, output) or (output), or a Job; got 1."),
        ({"grade": waits}, "`grade` must be a plain function."),
        ({"deps": len}, "`deps` is a function without parameters"),
        ({"max_cost": -1}, "`max_cost` is an amount in US dollars; got -1."),
        ({"max_cost": float("nan")}, "`max_cost` is an amount in US dollars; got nan."),
        ({"protect": "yes"}, "`protect` is True or False; got 'yes'."),
        ({"ignore_changes": "model"}, "`ignore_changes` is a list"),
        ({"ignore_changes": ["promt"]}, "Did you mean 'prompt'?"),
        ({"metadata": 1}, "`metadata` is a dict"),
        ({"metadata": {"a": 1}}, "`metadata` maps texts to texts; got 'a': 1."),
        ({"metadata": {"a": "\ud83d"}}, "`metadata` has a character no request can hold; got 'a'"),
        ({"metadata": {"\ud83d": "a"}}, "`metadata` has a character no request can hold; got"),
        ({"metadata": {"batchspec": "x"}}, "`metadata` 'batchspec' is ours"),
        ({"metadata": {"a": "x" * 513}}, "is too long; 64 and 512 characters are allowed."),
        ({"metadata": dict.fromkeys("abcdefghijklmno", "")}, "has 15 entries; at most 14"),
        ({"completion_window": "soon"}, '`completion_window` is "24h"'),
    ],
)
def test_a_wrong_argument_is_told_with_its_line(arguments: dict[str, Any], told: str) -> None:
    line = inspect.currentframe().f_lineno + 2  # type: ignore[union-attr]
    with pytest.raises(SpecError) as caught:
        Job(**(GOOD | arguments))
    diagnostic = caught.value.diagnostics[0]
    assert told in diagnostic.detail
    assert str(diagnostic.source) == f"{__file__}:{line}"


def test_all_problems_of_a_job_are_told_at_once() -> None:
    """Whether a job may have no `rows` is known once all are loaded: a judge has none."""
    with pytest.raises(SpecError) as caught:
        Job(model="x", prompt="{", max_turn=3)  # type: ignore[call-arg]
    assert [d.detail.split(".")[0] for d in caught.value.diagnostics] == [
        "Job has no argument 'max_turn'",
        '`model` is written "provider:model", for example "openai:gpt-5-mini"; got \'x\'',
        "`prompt`: The template cannot be read: Single '{' encountered in format string",
    ]


def test_positional_arguments_are_refused() -> None:
    with pytest.raises(SpecError, match="Write the arguments of Job by name"):
        Job("openai:x", **GOOD)  # type: ignore[misc]


def test_a_collector_gets_the_problems_and_the_module_goes_on() -> None:
    with collecting() as found:
        job = Job(**(GOOD | {"max_turns": 0}))
        Job(**(GOOD | {"protect": 1}))
    assert [d.detail.split()[0] for d in found] == ["`max_turns`", "`protect`"]
    assert not job.valid


def test_a_job_is_frozen_equal_to_itself_only_and_knows_its_place() -> None:
    job = Job(**GOOD)
    line = inspect.currentframe().f_lineno - 1  # type: ignore[union-attr]
    assert str(job.source) == f"{__file__}:{line}"
    assert job.module_file == __file__
    assert job != Job(**GOOD)
    with pytest.raises(dataclasses.FrozenInstanceError):
        job.model = "x"  # type: ignore[misc]


def test_a_job_can_be_copied_and_replaced() -> None:
    job = Job(**GOOD, settings={"temperature": 0})
    assert copy.copy(job).settings == {"temperature": 0}
    assert dataclasses.replace(job, model="openai:y").model == "openai:y"


def test_what_was_given_is_kept_apart_from_what_the_user_changes_later() -> None:
    settings: dict[str, Any] = {"temperature": 0}
    job = Job(**GOOD, settings=settings)
    settings["temperature"] = 1
    assert job.settings == {"temperature": 0}


def test_a_plain_function_is_a_tool() -> None:
    def search(query: str) -> str:
        """Search."""
        return query

    (tool,) = Job(**GOOD, tools=[search]).tools
    assert isinstance(tool, Tool)
    assert tool.name == "search"


class Ticket(BaseModel):
    id: int


def test_grade_takes_the_row_and_the_output_or_the_output_alone() -> None:
    assert graded(Job(**GOOD, grade=lambda row, output: row["id"] == output), {"id": 1}, 1) == 1.0
    assert graded(Job(**GOOD, grade=lambda output: output / 2), {"id": 1}, 1) == 0.5
    assert graded(Job(**GOOD), {"id": 1}, 1) is None


def test_validators_run_in_order_and_may_ask_the_model_again() -> None:
    def double(value: int) -> int:
        return value * 2

    def check(ctx: RunContext[None], value: int) -> None:
        if value > ctx.turn:
            raise ModelRetry("too large")

    job = Job(**GOOD, output=int, output_validators=[double, check])
    context = RunContext(deps=None, job="a.b", key="1", row={}, turn=5)
    assert validated(job, 2, context) == 4
    with pytest.raises(ModelRetry, match="too large"):
        validated(job, 3, context)
