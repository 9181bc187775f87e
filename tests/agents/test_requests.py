"""What a job of an agent sends is what Pydantic AI would send for the same agent and prompt."""

import json
import re
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from batchspec import Job, rows
from batchspec.desired.expand import Expander
from batchspec.load.build import load_project
from batchspec.project.wiring import WIRES

from .corpus import CORPUS, ENDPOINTS, Case, model_of

PATHS = {"openai": "/v1/chat/completions", "openai-responses": "/v1/responses"}

each_case = pytest.mark.parametrize("name", CORPUS)
each_endpoint = pytest.mark.parametrize("endpoint", ENDPOINTS)


def theirs(case: Case, endpoint: str, prompt: str) -> dict[str, Any]:
    """Return the body of the first request of a run."""
    bodies: list[bytes] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        bodies.append(request.content)
        return httpx2.Response(400, json={"error": {"message": "enough"}})

    client = httpx2.AsyncClient(transport=httpx2.MockTransport(answer))
    agent = case.make(model_of(endpoint, client))
    # Of settings that the endpoint does not take; the job is made without them too.
    with warnings.catch_warnings(action="ignore"), pytest.raises(Exception, match="enough"):
        anyio.run(partial(agent.run, prompt, deps=case.deps))
    body: dict[str, Any] = json.loads(bodies[0])
    return body


def ours(case: Case, endpoint: str) -> dict[str, Any]:
    """Return the body of the request for one row."""
    agent = case.make(model_of(endpoint))
    row = {"id": "1", "place": "Paris"}
    given = {"ignore": ["end_strategy", "model_settings"], **case.job}
    job = Job.from_agent(
        agent,
        model=f"{endpoint}:gpt-4.1-mini",
        rows=rows.inline([row]),
        prompt=case.prompt,
        **given,
    )
    desired = load_project(Path(), providers=PATHS, jobs={"m.j": job})["m.j"]
    messages = Expander(desired).render_messages(row)
    return WIRES[PATHS[endpoint]].body(desired.contract, messages)


@each_endpoint
@each_case
def test_the_request_is_the_one_of_pydantic_ai(name: str, endpoint: str) -> None:
    case = CORPUS[name]
    prompt = case.prompt.replace("{{", "{").replace("}}", "}")
    expected, sent = theirs(case, endpoint, prompt), ours(case, endpoint)
    assert meaning(sent) == meaning(expected)


# --- what two bodies have in common that mean the same


def meaning(body: dict[str, Any]) -> dict[str, Any]:
    """Return a body without what makes no difference."""
    body = {name: value for name, value in body.items() if value is not None}
    asked = _format(body)
    head, rest = _messages(body)
    left = {
        name: value
        for name, value in body.items()
        if name not in READ and (name, value) not in SAME_AS_NOTHING
    }
    bound = next((body[name] for name in BOUNDS if name in body), None)
    tools = sorted((_tool(tool) for tool in body.get("tools", ())), key=lambda tool: tool["name"])
    return left | {"bound": bound, "asked": asked, "head": head, "rest": rest, "tools": tools}


BOUNDS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
READ = {*BOUNDS, "tools", "messages", "input", "instructions", "text", "response_format"}
READ |= {"store", "include"}
SAME_AS_NOTHING = [("stream", False), ("tool_choice", "auto")]
"""What endpoints take when nothing is said."""


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    tool = tool.get("function", tool)
    strict = bool(tool.get("strict"))
    return {
        "name": tool["name"],
        "description": tool.get("description") or "",
        "strict": strict,
        "parameters": _schema(tool["parameters"], strict),
    }


def _format(body: dict[str, Any]) -> Any:
    given = body.get("response_format") or body.get("text", {}).get("format")
    if given is None or given["type"] != "json_schema":
        return given
    given = given.get("json_schema", given)
    strict = bool(given.get("strict"))
    schema = _schema(_opened(given["schema"], given["schema"], 4), strict)
    # We say it in the schema as well.
    description = schema.pop("description", None)
    return given["name"], given.get("description") or description, strict, schema


def _opened(schema: Any, root: Any, depth: int) -> Any:
    """Return a schema with its references followed, so far as it takes to see a difference."""
    if isinstance(schema, list):
        return [_opened(each, root, depth) for each in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {name: value for name, value in schema.items() if name != "$defs"}
    if isinstance(schema.get("anyOf"), list) and len(schema["anyOf"]) == 1:
        schema |= schema.pop("anyOf")[0]
    if "discriminator" in schema:
        # One of them by a constant: no more than one fits in either case.
        schema = {n: v for n, v in schema.items() if n != "discriminator"}
        schema["anyOf"] = schema.pop("oneOf")
    if "$ref" in schema:
        place = schema.pop("$ref").removeprefix("#/$defs/")
        target = root if place == "#" else root["$defs"][place]
        return _opened(target | schema, root, depth - 1) if depth else "…"
    found = {name: _opened(value, root, depth) for name, value in schema.items()}
    properties = found.get("properties", {})
    if isinstance(properties, dict) and properties.keys() == {"kind", "data"}:
        # They describe a member of a union one level above.
        inner = properties["data"].pop("description", None)
        found |= {"description": inner} if inner else {}
    return found


def _schema(schema: Any, strict: bool) -> Any:
    """Return a schema without notes for people; where it is not enforced, extras are a note too."""
    if isinstance(schema, list):
        return [_schema(each, strict) for each in schema]
    if not isinstance(schema, dict):
        return schema
    dropped = {"title"} | (set() if strict else {"additionalProperties"})
    found = {}
    for name, value in schema.items():
        if name in ("properties", "$defs"):
            found[name] = {key: _schema(each, strict) for key, each in value.items()}
        elif name not in dropped:
            found[name] = _schema(value, strict)
    return found


def _messages(body: dict[str, Any]) -> tuple[str, list[Any]]:
    """Return the text of all system messages, and the other ones."""
    messages = body.get("messages") or body["input"]
    head = [body["instructions"]] if body.get("instructions") else []
    head += [m["content"] for m in messages if m["role"] in ("system", "developer")]
    rest = [m for m in messages if m["role"] not in ("system", "developer")]
    text = re.sub(r"\n{2,}", "\n\n", "\n\n".join(text.strip() for text in head))
    # The schema of prompted mode stands in it.
    start, end = text.find('{"'), text.rfind("}")
    if start < 0:
        return text, rest
    schema = json.loads(text[start : end + 1])
    schema = _schema(_opened(schema, schema, 4), strict=False)
    return text[:start] + json.dumps(schema, sort_keys=True) + text[end + 1 :], rest
