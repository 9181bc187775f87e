"""Every output mode with every kind of type, from the spec to the result, through the server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from spec.outputs import TYPES

from batchspec import Job, NativeOutput, PromptedOutput, ToolOutput, rows
from batchspec.config import OpenAISettings, Settings
from batchspec.testing.simulated import SimulatedProject

MODES = {"native": NativeOutput, "tool": ToolOutput, "prompted": PromptedOutput}
ROWS = [{"id": "a"}, {"id": "b"}]


def jobs_of(mode: str, provider: str) -> dict[str, Job]:
    marker: Any = MODES[mode]
    return {
        f"m.{name.replace(' ', '_')}": Job(
            model=f"{provider}:gpt-5-mini",
            rows=rows.inline(ROWS),
            prompt=f"{name} {{id}}",
            output=marker(kind),
        )
        for name, (kind, _) in TYPES.items()
    }


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def provider() -> str:
    return "openai"


@pytest.fixture
def project(mode: str, provider: str, tmp_path: Path) -> Iterator[SimulatedProject]:
    settings = Settings(providers={"openai": OpenAISettings()})
    jobs = jobs_of(mode, provider)
    with SimulatedProject(tmp_path, tmp_path / "here", jobs=jobs, settings=settings) as opened:
        yield opened


@pytest.mark.parametrize("provider", ["openai", "openai-responses"])
def test_what_the_model_says_comes_back_as_the_type(project: SimulatedProject) -> None:
    for name, (_, value) in TYPES.items():
        project.answer(f"m.{name.replace(' ', '_')}", {...: value})
    project.apply()
    for name, (_, value) in TYPES.items():
        items = project.items(f"m.{name.replace(' ', '_')}")
        assert [item.output for item in items.values()] == [value, value], name
        assert {item.turns for item in items.values()} == {1}


def test_answers_are_made_up_that_fit(project: SimulatedProject) -> None:
    project.apply()
    assert project.runs[-1].requests == 2 * len(TYPES)
    for name in TYPES:
        items = project.items(f"m.{name.replace(' ', '_')}")
        assert {item.outcome for item in items.values()} == {"succeeded"}, name
