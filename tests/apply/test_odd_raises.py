"""What users' code may raise and return that no text and no column holds: it costs its item."""

from typing import Any

import pytest
from worlds import World

from batchspec.errors import MOST_SAID, MOST_TOLD, ExitCode, SpecError

ODD = r"""
class NoText(Exception):
    def __str__(self): raise ValueError("no text")
    __repr__ = __str__
class Meta(type):
    @property
    def __name__(cls): raise ValueError("no name")
class NoName(Exception, metaclass=Meta): pass
class NoClass(Exception):
    @property
    def __class__(self): raise RuntimeError("no class")
class OddText(str):
    def encode(self, *_): raise RuntimeError("no bytes")
class Silent(ModelRetry):
    def __init__(self): pass
class Proxy:
    @property
    def __class__(self): raise RuntimeError("out of context")
    def __str__(self): raise RuntimeError("out of context")

RAISED = {
    "no text": NoText(), "no name": NoName("x"), "no class": NoClass("x"),
    "odd text": ValueError(OddText("x")), "half": ValueError("cut \ud83d"),
    "long": ValueError("y" * 5_000_000), "exit": SystemExit("z" * 5_000_000),
}
RETRIED = {
    "silent": Silent(), "object": ModelRetry(Proxy()), "none": ModelRetry(None),
    "half again": ModelRetry("cut \ud83d"), "long again": ModelRetry("z" * 5_000_000),
}
def act(key):
    if key == "proxy":
        return Proxy()
    if key == "half text":
        return "cut \ud83d"
    raise {**RAISED, **RETRIED}[key]
"""
RAISED = ("no text", "no name", "no class", "odd text", "half", "long", "exit")
RETRIED = ("silent", "object", "none", "half again", "long again")
RETURNED = ("proxy", "half text")
KEYS = (*RAISED, *RETRIED, *RETURNED)
ROWS = f"rows=rows.inline([{{'id': key}} for key in {KEYS!r}]), prompt='{{id}}'"
JOB = f"j = Job(model='openai:gpt-5-mini', {ROWS}, "


def calls(body: dict[str, Any]) -> Any:
    """Call `f` with the row's key, and answer with what it said."""
    last = body["messages"][-1]
    if last["role"] == "tool":
        return str(len(last["content"])) + last["content"][:200]
    call = {"name": "f", "arguments": {"key": last["content"]}}
    return {"role": "assistant", "tool_calls": [call]}


def reasons(world: World) -> dict[str, str]:
    items = world.items()
    assert all(len(item.reason or "") <= MOST_SAID for item in items.values())
    return {key: item.reason or "" for key, item in items.items() if item.outcome == "failed"}


@pytest.mark.parametrize(
    "head", ["@tool\ndef", "@tool\nasync def", "@tool(executor='process')\ndef"]
)
def test_a_tool_may_raise_and_return_what_cannot_be_told(world: World, head: str) -> None:
    world.spec(f"{ODD}\n{head} f(key: str) -> str:\n    return act(key)\n{JOB}tools=[f])")
    world.model = calls
    assert world.apply().exit_code == ExitCode.FAILED_ITEMS
    failed, told = reasons(world), world.texts()
    assert set(failed) == {*RAISED, "proxy"}
    assert failed["no text"] == "tool 'f' raised NoText: (its text cannot be made)"
    assert failed["no name"] == "tool 'f' raised an exception: x"
    assert failed["half"] == "tool 'f' raised ValueError: cut ?"
    assert failed["long"].startswith("tool 'f' raised ValueError: yyy")
    assert "more characters)" in failed["long"]
    assert "out of context" in failed["proxy"]
    assert told["half text"] == "5cut ?"
    assert (told["object"] or "").endswith('{"error": "Try again."}')
    assert (told["half again"] or "").endswith('{"error": "cut ?"}')
    assert int((told["long again"] or "").partition("{")[0]) < MOST_TOLD + 20


@pytest.mark.parametrize(
    "made",
    [
        "output_validators=[act], output_retries=0)",
        "output=TextOutput(act), output_retries=0)",
        "output_validators=[avalid], output_retries=0)",
    ],
    ids=["validator", "output function", "async"],
)
def test_what_judges_an_answer_may_raise_what_cannot_be_told(world: World, made: str) -> None:
    world.spec(f"{ODD}\nasync def avalid(key): return act(key)\n{JOB}{made}")
    world.model = lambda body: body["messages"][-1]["content"]
    assert world.apply().exit_code == ExitCode.FAILED_ITEMS
    failed = reasons(world)
    assert set(failed) >= {*RAISED, *RETRIED}
    assert failed["no text"].endswith("raised NoText: (its text cannot be made)")
    assert failed["half again"].endswith("cut ?")
    assert "more characters)" in failed["long again"]


@pytest.mark.parametrize("key", RAISED)
def test_deps_may_raise_what_cannot_be_told(world: World, key: str) -> None:
    tool = "@tool\ndef f(ctx: RunContext, key: str) -> str: return key\n"
    world.spec(f"{ODD}\n{tool}{JOB}tools=[f], deps=lambda: act({key!r}))")
    world.model = calls
    with pytest.raises(SpecError, match=r"deps of m\.j cannot be made") as caught:
        world.apply()
    assert len(str(caught.value)) < MOST_SAID + 500


def test_a_prompt_function_may_raise_what_cannot_be_told(world: World) -> None:
    made = JOB.replace("'{id}'", "lambda row: act(row['id'])")
    world.spec(f"{ODD}\n{made})")
    with pytest.raises(SpecError) as caught:
        world.apply()
    told = {d.detail.partition(" (")[0]: d.detail for d in caught.value.diagnostics}
    assert set(told) == {f"Row {key!r}" for key in KEYS if key != "half text"}
    assert all(len(detail) < MOST_SAID + 500 for detail in told.values())


def test_a_secret_is_blotted_out_before_a_text_is_cut(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_TOKEN", "abcdefghijklmnop")
    body = f"raise ValueError('y' * {MOST_SAID - 90} + 'abcdefghijklmnop' + 'z' * 999)"
    world.spec(f"@tool\ndef f(key: str) -> str: {body}\n{JOB}tools=[f])")
    world.model = calls
    world.apply()
    assert not any("abcd" in reason for reason in reasons(world).values())


@pytest.mark.parametrize("provider", ["openai", "openai-responses"])
def test_half_an_emoji_in_what_a_model_is_told_is_a_question_mark(
    world: World, provider: str
) -> None:
    world.spec(
        r"""
        from typing import Annotated
        from pydantic import Field

        @tool(description="Half \ud83d")
        def f() -> str: return ""

        j = Job(model="PROVIDER:gpt-5-mini", rows=rows.inline([{"id": "a"}]), prompt="{id}",
                tools=[f], output=Annotated[int, Field(description="Half \ud83d")])
        """.replace("PROVIDER", provider)
    )
    seen: list[str] = []

    def model(body: dict[str, Any]) -> str:
        seen.append(str(body))
        return '{"response": 1}'

    world.model = model
    assert world.apply().exit_code == ExitCode.DONE
    assert seen[0].count("Half ?") == 2
