"""Secrets that validators of types raise: in no file, and told to nobody."""

from typing import Any

import pytest
from worlds import World

from batchspec.errors import BatchspecError

SECRET = "Hu7-verysecretvalue"
SPEC = """
import os
from pydantic import BaseModel, field_validator

class Out(BaseModel):
    id: str

    @field_validator("id")
    @classmethod
    def check(cls, given: str) -> str:
        raise ValueError("401 for " + os.environ["SHOP_API_KEY"])

j = Job(model='openai:gpt-5-mini', rows=rows.inline([{{"id": "a"}}]), prompt='{{id}}', {more})
"""


@pytest.mark.parametrize(
    "more", ["output=Out", "output=ToolOutput(Out)", "output=PromptedOutput(Out)", "row_type=Out"]
)
def test_no_secret_leaves_a_type(world: World, monkeypatch: pytest.MonkeyPatch, more: str) -> None:
    monkeypatch.setenv("SHOP_API_KEY", SECRET)
    asked: list[Any] = []

    def answer(body: dict[str, Any]) -> Any:
        asked.append(body)
        if body.get("tools"):
            call = {"name": "final_result", "arguments": {"id": "b"}}
            return {"role": "assistant", "tool_calls": [call]}
        return '{"id": "b"}'

    world.model = answer
    world.spec(SPEC.format(more=more))
    try:
        world.apply()
        told = str(world.items()["a"].reason)
        assert len(asked) == 2
    except BatchspecError as error:
        told = str(error)
    assert "401 for [redacted]" in told
    assert SECRET not in told + str(asked)
    for file in world.state.rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes()
