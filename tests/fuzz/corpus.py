"""Result lines as the embedded server writes them, of every kind a model and a batch can give."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from worlds import Fault, World

from batchspec.simulator import HTTPFailure

ANSWER = "the-answer"
"""What every answer of the corpus says; a line for somebody says something of its own instead."""
SPEC = """
    from pydantic import BaseModel

    class Said(BaseModel):
        said: str

    def known(value: Said) -> Said:
        if "again" in value.said:
            raise ModelRetry("Say it in other words, not \\ud800.")
        return value

    @tool
    def look(what: str) -> str:
        if "break" in what:
            raise ValueError("broken \\udfff")
        return "seen " + what

    data = [{{"id": f"r{{n}}"}} for n in range({rows})]
    text = Job(model="openai:gpt-5-mini", rows=rows.inline(data), prompt="text {{id}}")
    typed = Job(model="openai:gpt-5-mini", rows=rows.inline(data), prompt="typed {{id}}",
                output=Said, output_validators=[known], output_retries=2)
    tooled = Job(model="openai:gpt-5-mini", rows=rows.inline(data), prompt="tooled {{id}}",
                 tools=[look], max_turns=3)
"""
"""Three jobs: text, a type with a validator, and tools."""


def _call(arguments: dict[str, Any], id_: str = "call_1", name: str = "look") -> dict[str, Any]:
    return {"id": id_, "name": name, "arguments": arguments}


def _calls(*calls: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "tool_calls": list(calls)}


def _said(text: str) -> Any:
    return lambda job: {"said": text} if job == "typed" else text


def _fails(status: int, message: str, code: str | None) -> Callable[[str], Any]:
    def answer(job: str) -> Any:
        raise HTTPFailure(status, message, code=code)

    return answer


KINDS: dict[str, Callable[[str], Any]] = {
    "answer": _said(ANSWER),
    "wide": _said(ANSWER + " übergröße \u2028 \u0085 \u2029 🙂"),
    "again": _said(ANSWER + " again"),
    "refused": lambda job: {"role": "assistant", "refusal": "I will not."},
    "truncated": lambda job: {"role": "assistant", "content": "half", "finish_reason": "length"},
    "filtered": lambda job: {
        "role": "assistant",
        "content": "",
        "finish_reason": "content_filter",
    },
    "nothing": lambda job: {"role": "assistant", "content": ""},
    "call": lambda job: _calls(_call({"what": ANSWER})),
    "calls": lambda job: _calls(
        _call({"what": ANSWER}), _call({"what": "break"}, "call_2"), _call({}, "call_3", "gone")
    ),
    "rejected": _fails(400, "Too long.", "context_length_exceeded"),
    "busy": _fails(429, "Not now.", "rate_limit_exceeded"),
    "broken": _fails(500, "Oh.", None),
}
"""By name, what the model says for a job."""
FINAL = {
    "answer": "succeeded",
    "wide": "succeeded",
    "refused": "refused",
    "truncated": "truncated",
    "filtered": "filtered",
    "rejected": "failed",
}
"""Kinds that end an item at once, and how; the others end it at some later turn or try."""


@cache
def corpus(provider: str = "openai") -> dict[str, dict[str, bytes]]:
    """Return lines by job and kind; those that never ran are of the kind `expired`."""
    files: list[bytes] = []

    def keep(body: bytes) -> bytes:
        files.append(body)
        return body

    with TemporaryDirectory() as folder, World(Path(folder), model=_said_by_kind) as world:
        world.wire.faults.append(Fault("GET", "/files/.*/content", rewrite=keep, times=None))
        world.spec(SPEC.format(rows=len(KINDS)).replace("openai:", f"{provider}:"))
        world.settings = world.settings.model_copy(update={"retries": 0})
        world.apply()
        owners = _owners(world)
        world.faults.add("early_expiry", share=0.0)
        world.apply(replace=["m.*"])
    found: dict[str, dict[str, bytes]] = {"text": {}, "typed": {}, "tooled": {}}
    for line in b"".join(files).split(b"\n"):
        if line:
            _sort(line, owners, found)
    return found


def _said_by_kind(body: dict[str, Any]) -> Any:
    said = body.get("messages") or body["input"]
    job, row = said[0]["content"].split()
    return list(KINDS.values())[int(row[1:]) % len(KINDS)](job)


def _owners(world: World) -> dict[str, tuple[str, str]]:
    with world.open() as project, project.reader() as reader:
        rows = reader.db.execute(
            "SELECT lower(hex(substr(c.fingerprint, 1, 8))), j.address, i.key FROM items i "
            "JOIN conversations c ON c.id = i.conversation JOIN jobs j ON j.id = i.job"
        ).fetchall()
    kinds = list(KINDS)
    return {custom: (job[2:], kinds[int(key[1:])]) for custom, job, key in rows}


def _sort(
    line: bytes, owners: dict[str, tuple[str, str]], found: dict[str, dict[str, bytes]]
) -> None:
    data = json.loads(line)
    job, kind = owners[data["custom_id"].partition("-")[0]]
    if data["error"]:
        kind = "expired"
    if data["custom_id"].endswith("-1"):  # a further turn says the same
        found[job].setdefault(kind, line)


def line_for(template: bytes, custom_id: str, said: str) -> bytes:
    """Return a line of the corpus as if it had been written for somebody.

    Args:
        template: The line.
        custom_id: Of the request.
        said: What stands in the place of `ANSWER`.
    """
    own = json.loads(template)["custom_id"]
    return template.replace(own.encode(), custom_id.encode()).replace(
        ANSWER.encode(), said.encode()
    )
