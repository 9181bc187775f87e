"""Prompts that come out differently are found before they are paid for."""

from pathlib import Path

import pytest

from batchspec.errors import Diagnostic
from batchspec.load.build import load_project
from batchspec.load.determinism import check_determinism

from .conftest import Project

JOB = 'Job(model="openai:m", rows=rows.inline([{"id": 1, "text": "a b c"}] * 3), '


def check(root: Path) -> list[Diagnostic]:
    return check_determinism(load_project(root, providers={"openai": "/v1"}), root)


@pytest.mark.parametrize(
    "arguments",
    [
        'prompt="{text}")',
        'prompt=lambda row: row["text"].upper(), instructions="x")',
        'prompt=lambda row: row.pop("text"))',
        'prompt=lambda row: " ".join(sorted(set(row["text"]))))',
        "prompt=lambda row: 1 / 0)",
    ],
)
def test_a_deterministic_prompt_passes(project: Project, arguments: str) -> None:
    assert check(project({"specs/a.py": f"print('noise')\nj = {JOB}{arguments}"})) == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            (
                f"import itertools\nn = itertools.count()\nj = {JOB}"
                "prompt=lambda row: f'Number {next(n)}')"
            ),
            (
                "specs/a.py:10: a.j: prompt is not deterministic. Row '1' came out differently when"
                " rendered again: messages[0].content was 'Number 0', then 'Number 3'."
            ),
        ),
        (
            (
                "words = {str(n) for n in range(50)}\n"
                f"j = {JOB}prompt='x', instructions=lambda row: ' '.join(words))"
            ),
            (
                "specs/a.py:9: a.j: prompt is not deterministic. Row '1' came out differently when"
                " rendered again in another process: messages[0].content was "
            ),
        ),
        (
            (
                f"import itertools\nn = itertools.count()\nj = {JOB}prompt=lambda row:"
                " [{'role': 'user', 'content': 'x'}] * (1 + next(n)))"
            ),
            "rendered again: messages was ",
        ),
    ],
)
def test_a_prompt_that_varies_is_told_with_both_values(
    project: Project, text: str, told: str
) -> None:
    (found,) = check(project({"specs/a.py": text}))
    assert told in str(found)
    assert found.severity == "error"


def test_a_process_that_fails_is_a_warning(project: Project) -> None:
    root = project(
        {
            "specs/a.py": (
                "import os\nassert os.environ.get('PYTHONHASHSEED') not in ('1', '2')\n"
                f"j = {JOB}prompt=lambda row: 'x')"
            )
        }
    )
    (found,) = check(root)
    assert found.severity == "warning"
    assert "prompts could not be checked in another process. Of a.j." in str(found)
