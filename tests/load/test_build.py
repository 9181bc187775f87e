"""From specs to the desired state, or to everything that is wrong."""

# ruff: noqa: E501 - messages stay as they are seen

import subprocess
import sys
from pathlib import Path

import pytest

from batchspec.desired.graph import Desired
from batchspec.errors import ExitCode, SpecError, exit_code_for
from batchspec.load.build import check_rows, load_project
from batchspec.load.determinism import check_determinism

from .conftest import Project

PROVIDERS = {"openai": "/v1/chat/completions", "laptop": "/v1/chat/completions"}

TICKETS = '''
from typing import Literal
from pydantic import Field


class Triage(BaseModel):
    """How a support ticket is routed."""
    queue: Literal["billing", "bug", "other"]
    urgency: int = Field(ge=1, le=5)


@tool(timeout=10, retries=1)
def lookup_order(ctx: RunContext, order_id: str) -> dict:
    """Look up an order.

    Args:
        order_id: The id printed on the invoice.
    """
    return {}


triage = Job(
    model="openai:gpt-5-mini",
    rows=rows.csv("data/tickets.csv", key="id"),
    instructions="You route support tickets.",
    prompt="Ticket from {customer}:\\n{text}",
    output=Triage,
    tools=[lookup_order],
    settings={"temperature": 0, "extra_body": {"store": False}},
)
'''
DATA = "id,customer,text\n1,Ann,Hello\n2,Bob,Hi\n"
JOB = 'Job(model="openai:m", rows=rows.inline([{"id": 1}]), prompt="{id}"'


def load(root: Path) -> Desired:
    return load_project(root, providers=PROVIDERS)


def told(root: Path) -> list[str]:
    with pytest.raises(SpecError) as caught:
        load(root)
    assert exit_code_for(caught.value) is ExitCode.ERROR
    return [str(d) for d in caught.value.diagnostics]


def test_a_project_becomes_its_desired_state(project: Project) -> None:
    root = project(
        {
            "specs/tickets.py": TICKETS,
            "specs/report.py": (
                "from tickets import triage\n"
                'bugs = Job(model="laptop:qwen:7b", rows=rows.outputs_of(triage, where=lambda i: 1),'
                ' prompt="{row[text]} {output.queue}")\n'
                'all = Job(model="openai:m", rows=rows.collect("tickets.triage"), prompt="{count}")\n'
                'off = Job(model="openai:m", rows=rows.inline([]), prompt="x", enabled=False)\n'
            ),
            "data/tickets.csv": DATA,
        }
    )
    desired = load(root)
    assert desired.addresses == ("tickets.triage", "report.all", "report.bugs")
    triage = desired["tickets.triage"]
    assert str(triage.source) == "specs/tickets.py:28"
    assert triage.contract.to_json() == {
        "provider": "openai",
        "endpoint": "/v1/chat/completions",
        "model": "gpt-5-mini",
        "tools": [
            {
                "name": "lookup_order",
                "description": "Look up an order.",
                "parameters": {
                    "type": "object",
                    "properties": {
                        "order_id": {
                            "type": "string",
                            "description": "The id printed on the invoice.",
                        }
                    },
                    "required": ["order_id"],
                    "additionalProperties": False,
                },
                "strict": True,
            }
        ],
        "output": {
            "name": "Triage",
            "schema": {
                "type": "object",
                "description": "How a support ticket is routed.",
                "properties": {
                    "queue": {"type": "string", "enum": ["billing", "bug", "other"]},
                    "urgency": {"type": "integer", "minimum": 1, "maximum": 5},
                },
                "required": ["queue", "urgency"],
                "additionalProperties": False,
            },
            "description": None,
            "strict": True,
        },
        "settings": {"temperature": 0, "store": False},
    }
    assert list(triage.tools) == ["lookup_order"]
    assert desired["report.bugs"].depends_on == ("tickets.triage",)
    assert desired["report.bugs"].contract.model == "qwen:7b"
    assert [list(check_rows(job, root)) for job in desired] == [[], [], []]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            f"j = {JOB.replace('openai', 'opnai')})",
            (
                "specs/a.py:8: a.j: provider is not known. 'opnai' is not among the providers of"
                " batchspec.toml. Did you mean 'openai'?"
            ),
        ),
        (
            f"j = {JOB.replace('{id}', '{idx}')})",
            (
                "specs/a.py:8: a.j: template field is not known. In `prompt`: {idx} names a field the"
                " rows do not have. Did you mean 'id'?"
            ),
        ),
        (
            f"j = {JOB}, instructions='{{x}}')",
            "specs/a.py:8: a.j: template field is not known. In `instructions`: {x} names a field",
        ),
        (
            (
                "class Row(BaseModel):\n    text: str\n"
                f"j = {JOB.replace('{id}', '{txt}')}, row_type=Row)"
            ),
            (
                "specs/a.py:10: a.j: template field is not known. In `prompt`: {txt} names a field the"
                " rows do not have. Did you mean 'text'?"
            ),
        ),
        (
            "j = Job(model='openai:m', rows=rows.files('*'), prompt='{contents}')",
            "Known: name, path, text.",
        ),
        (
            f"up = {JOB})\nj = Job(model='openai:m', rows=rows.outputs_of(up), prompt='{{text}}')",
            (
                "specs/a.py:9: a.j: template field is not known. In `prompt`: {text} names a field the"
                " rows do not have. Known: key, output, row."
            ),
        ),
        (
            f"j = {JOB}, output=dict[str, int])",
            (
                "specs/a.py:8: a.j: output type does not fit strict mode. at $: an object with free"
                " keys (such as `dict[str, X]`); list the keys as fields, or use a list of key/value"
                " objects. Or write `NativeOutput(dict, strict=False)`"
            ),
        ),
        (
            f"from enum import Enum\nj = {JOB}, output=Enum('E', {{'A': float('nan')}}))",
            (
                "specs/a.py:9: a.j: request is not JSON. request.output.schema.$defs.E.enum[0] cannot"
                " be sent as JSON: Out of range float values are not JSON compliant; got nan."
            ),
        ),
        (
            f"class Row(BaseModel):\n    id: 'Nowhere'\nj = {JOB}, row_type=Row)",
            "specs/a.py:10: a.j: row_type is not finished. `Row` is not fully defined; you should",
        ),
        (
            f"class Odd: pass\nj = {JOB}, output=Odd)",
            "specs/a.py:9: a.j: output type has no JSON schema. PydanticSchemaGenerationError:",
        ),
        (
            f"def f(q: dict[str, int]): pass\nj = {JOB}, tools=[f])",
            "specs/a.py:8: a.j: parameters of tool 'f' do not fit strict mode. at $.q: an object",
        ),
        (
            (
                "def f(q: int): pass\n@tool(name='f')\ndef g(q: int): pass\n"
                f"j = {JOB}, tools=[f, g])"
            ),
            "specs/a.py:11: a.j: tool name is not unique. Two tools are called 'f' (",
        ),
        (
            "j = Job(model='openai:m', rows=rows.collect('a.k'), prompt='x')",
            "specs/a.py:8: a.j: upstream job is not known. There is no job 'a.k'. Did you mean 'a.j'?",
        ),
        (
            f"jobs = [{JOB})]\nj = Job(model='openai:m', rows=rows.collect(jobs[0]), prompt='x')",
            "specs/a.py:9: a.j: upstream job is not a resource. The job made at specs/a.py:8 is not",
        ),
        (
            f"up = {JOB}, enabled=False)\nj = Job(model='openai:m', rows=rows.collect(up), prompt='x')",
            "specs/a.py:9: a.j: upstream job is not enabled. Its rows are made of answers of a.up",
        ),
        (
            (
                "j = Job(model='openai:m', rows=rows.collect('a.k'), prompt='x')\n"
                "k = Job(model='openai:m', rows=rows.collect('a.j'), prompt='x')"
            ),
            "specs/a.py:8: a.j: jobs depend on each other in a circle. a.j needs a.k needs a.j",
        ),
    ],
)
def test_what_is_wrong_without_reading_rows_is_told(
    project: Project, text: str, expected: str
) -> None:
    (line,) = told(project({"specs/a.py": text}))
    assert line.startswith(expected) or expected in line


def test_everything_is_told_at_once_in_the_order_of_files(project: Project) -> None:
    root = project(
        {
            "specs/b.py": f"j = {JOB.replace('openai', 'x')})",
            "specs/a.py": f"1 / 0\nj = {JOB})",
            "specs/c.py": "from b import j\nk = Job(model='m', rows=rows.collect(j), prompt='x')",
            "specs/d.py": "from c import k\nl = Job(model='openai:m', rows=rows.collect(k), prompt='x')",
        }
    )
    assert [line.split(". ")[0] for line in told(root)] == [
        "specs/a.py:8: loading the module failed",
        "specs/b.py:8: b.j: provider is not known",
        "specs/c.py:9: Job is not valid",
    ]


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (
            "[{'role': 'user', 'content': 'x', 'tool_call_id': object()}]",
            "`tool_call_id` is the id of the call it answers, a text; got <object object at ",
        ),
        (
            "[{'role': 'user', 'content': ['x', {'type': 'x', 'v': [object()]}]}]",
            "prompt[0].content[1].v[0] cannot be sent as JSON: Object of type object is not JSON",
        ),
        (
            "[{'type': 'x', 'v': float('nan')}]",
            "prompt[0].content[0].v cannot be sent as JSON: Out of range float values are not JSON",
        ),
        (
            "[{'role': 'assistant', 'content': None, 'tool_calls': [5]}]",
            "A call in `tool_calls` is a dict such as",
        ),
    ],
)
def test_a_message_no_request_can_hold_is_told_with_its_row(
    project: Project, result: str, told: str
) -> None:
    root = project({"specs/a.py": "j = " + JOB.replace('"{id}"', f"lambda row: {result}") + ")"})
    desired = load(root)
    (line,) = [str(d) for d in check_rows(desired["a.j"], root)]
    assert line.startswith("specs/a.py:8: a.j: prompt cannot be rendered. Row '1' (row 1): " + told)
    assert check_determinism(desired, root) == []


def test_a_row_that_does_not_fit_is_told_with_its_line(project: Project) -> None:
    root = project(
        {
            "specs/a.py": (
                "class Row(BaseModel):\n    id: int\n    text: str\n"
                'j = Job(model="openai:m", rows=rows.csv("d.csv"), prompt="{text}", row_type=Row)'
            ),
            "d.csv": "id,text\n1,a\nx,b\n3\n",
        }
    )
    assert [str(d) for d in check_rows(load(root)["a.j"], root)] == [
        (
            "d.csv:3: a.j: row does not fit its row_type. Row 'x': id: Input should be a valid integer,"
            " unable to parse string as an integer (got 'x')."
        ),
        (
            "d.csv:4: a.j: row has too few fields. It has 1, the header has 2. A field that holds ','"
            " or a line break must be in quotes."
        ),
    ]


def test_many_problems_of_one_job_are_counted(project: Project) -> None:
    root = project(
        {
            "specs/a.py": 'j = Job(model="openai:m", rows=rows.csv("d.csv"), prompt="x")',
            "d.csv": "id\n" + "1,2\n" * 1030,
        }
    )
    found = [str(d) for d in check_rows(load(root)["a.j"], root)]
    assert len(found) == 21
    assert found[-1] == (
        "specs/a.py:8: a.j: … and 1_010 more. Only the first 20 problems of a job are shown."
    )


def test_a_missing_data_file_is_told_where_it_is_named(project: Project) -> None:
    root = project(
        {"specs/a.py": 'j = Job(model="openai:m",\n  rows=rows.csv("no.csv"), prompt="{x}")'}
    )
    (found,) = check_rows(load(root)["a.j"], root)
    assert str(found).startswith(
        "specs/a.py:9: a.j: data file cannot be read. no.csv: no such file"
    )


def test_the_spec_language_is_light_to_import() -> None:
    code = (
        "import sys, batchspec.spec.job, batchspec.spec.rows;"
        "print([m for m in ('griffe', 'openai', 'asyncio', 'sqlite3') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
