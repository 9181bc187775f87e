"""The word problems in every output mode, at both endpoints."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dying import reach
from problems import Problem, Solution, calculator, is_right

from batchspec import Job, NativeOutput, PromptedOutput, ToolOutput, rows

DATA = Path(__file__).parent.parent / "data" / "problems.jsonl"


def problems() -> Iterator[dict[str, Any]]:
    """Yield as many problems as are wanted."""
    with DATA.open(encoding="utf-8") as file:
        for number, line in enumerate(file):
            if number == int(os.environ["ROWS"]):
                return
            yield json.loads(line)


def seen(_: Solution) -> None:
    """Accept everything; the process can die while answers are being judged."""
    reach("validator")


def solve(provider: str, output: object) -> Job:
    """Return the job in one mode at one endpoint."""
    return Job(
        model=f"{provider}:gpt-5-mini",
        rows=rows.iterable(problems, key="id"),
        row_type=Problem,
        instructions="Solve the problem. Leave every calculation to the calculator.",
        prompt="{question}",
        output=output,
        output_validators=[seen],
        tools=[calculator],
        grade=is_right,
        max_turns=8,
    )


chat_native = solve("openai", NativeOutput(Solution))
chat_tool = solve("openai", ToolOutput(Solution))
chat_prompted = solve("openai", PromptedOutput(Solution))
responses_native = solve("openai-responses", NativeOutput(Solution))
responses_tool = solve("openai-responses", ToolOutput(Solution))
responses_prompted = solve("openai-responses", PromptedOutput(Solution))
