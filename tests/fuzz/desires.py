"""What a person may want, as data that can be edited, and the model that answers it.

The model is a function of the request alone: whatever happened on the way, an answer can be checked
against the request it belongs to.
"""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Kind = Literal["plain", "typed", "tooled", "derived", "collected"]
KINDS: tuple[Kind, ...] = ("plain", "typed", "tooled", "derived", "collected")
MODELS = ("gpt-5-mini", "gpt-5-nano")
_MAX_TOKENS = (4000, 4001, 100)
_HEAD = "from pydantic import BaseModel\n"
_TYPED = '''
class {name}_said(BaseModel):
    """{schema}"""

    said: str


def {name}_check(value: {name}_said) -> {name}_said:
    if {policy} == 2 and not value.said.endswith("!"):
        raise ModelRetry("Louder.")
    return value

'''
_TOOLED = '''
@tool
def {name}_look(what: str) -> str:
    """Look, {schema} times."""
    return "{policy} " + what + " word" * {words}

'''


@dataclass(frozen=True, slots=True)
class Wish:
    """One job as it is wanted.

    Attributes:
        name: Of its variable.
        module: Whose variable it is.
        upstream: The job its rows come from, if any.
        prompt: A version of the prompt.
        instructions: A version of them; 0: none.
        model: Which of `MODELS`.
        tokens: A version of the settings; 2: replies are short, so that a plan is cheap.
        schema: A version of the type's or the tool's description, which the model sees.
        policy: A version of what runs here: the validator, or the body of the tool; 2: the tool
            says more than any plan could know.
        rows: Key and value of each row, if they do not come from another job.
    """

    name: str
    kind: Kind
    module: str = "m"
    upstream: str | None = None
    prompt: int = 0
    instructions: int = 0
    model: int = 0
    tokens: int = 0
    schema: int = 0
    policy: int = 0
    enabled: bool = True
    protect: bool = False
    max_cost: float | None = None
    rows: tuple[tuple[str, int], ...] = ()

    @property
    def address(self) -> str:
        return f"{self.module}.{self.name}"

    @property
    def talkative(self) -> bool:
        """Whether its further turns may cost more than a plan says."""
        return self.kind == "tooled" and self.policy == 2

    def source(self) -> str:
        """Return the job as a person would write it."""
        arguments = {
            "model": repr(f"openai:{MODELS[self.model]}"),
            "rows": self._rows(),
            "prompt": repr(self._prompt()),
            "settings": repr({"max_tokens": _MAX_TOKENS[self.tokens]}),
        }
        if self.instructions:
            arguments["instructions"] = repr(f"Be brief, {self.instructions}.")
        if self.kind == "typed":
            arguments["output"] = f"{self.name}_said"
            arguments["output_validators"] = f"[{self.name}_check]"
        if self.kind == "tooled":
            arguments["tools"] = f"[{self.name}_look]"
        for name, plain in (("enabled", True), ("protect", False), ("max_cost", None)):
            if (value := getattr(self, name)) != plain:
                arguments[name] = repr(value)
        before = {"typed": _TYPED, "tooled": _TOOLED}.get(self.kind, "")
        told = ", ".join(f"{name}={value}" for name, value in arguments.items())
        versions = {"name": self.name, "schema": self.schema, "policy": self.policy}
        versions["words"] = 20_000 * self.talkative
        return f"{before.format(**versions)}\n{self.name} = Job({told})\n"

    def _rows(self) -> str:
        if self.kind == "derived":
            # Every second one is sent on as answers come in.
            eager = int(self.name.removeprefix("j")) % 2 == 0
            return f"rows.outputs_of({self.upstream}, eager={eager})"
        if self.kind == "collected":
            return f"rows.collect({self.upstream})"
        return f"rows.inline({[{'id': key, 'v': value} for key, value in self.rows]})"

    def _prompt(self) -> str:
        what = {"derived": "{output}", "collected": "{outputs}"}.get(self.kind, "{v}")
        return f"{self.kind} {self.prompt}: {what}"


@dataclass(slots=True)
class Desires:
    """All that is wanted."""

    wishes: dict[str, Wish] = field(default_factory=dict)

    def change(self, name: str, **values: Any) -> None:
        self.wishes[name] = replace(self.wishes[name], **values)

    def with_dependents(self, name: str) -> list[str]:
        """Return a job and all whose rows come from it, directly or not."""
        found = [name]
        for wish in self.wishes.values():
            if wish.upstream in found:
                found.append(wish.name)
        return found

    def modules(self) -> dict[str, str]:
        """Return the source of each module."""
        found: dict[str, str] = {}
        for wish in self.wishes.values():
            found[wish.module] = found.get(wish.module, _HEAD) + wish.source()
        return found


class EchoModel:
    """Answers with a digest of the request, and counts how often each was asked."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    def __call__(self, body: dict[str, Any]) -> Any:
        self.asked[_digest(body)] += 1
        messages = body["messages"]
        said = f"<{first_digest(body)}>"
        last = messages[-1]
        if last["role"] == "tool":
            return said
        if "tools" in body:
            call = {"id": "call_1", "name": body["tools"][0]["function"]["name"]}
            calls = [{**call, "arguments": {"what": said}}]
            if said < "<8":
                calls.append({**call, "id": "call_2", "arguments": {"what": 7}})
            return {"role": "assistant", "tool_calls": calls}
        if "response_format" in body:
            again = "feedback" in last["content"]
            return {"said": said + "!" * again}
        if said < "<1":
            return {"role": "assistant", "refusal": "I will not."}
        if said < "<2":
            return {"role": "assistant", "content": "half", "finish_reason": "length"}
        return said


def first_digest(body: dict[str, Any]) -> str:
    """Return what tells a request apart, whatever turn it is in."""
    messages: list[Any] = []
    for message in body["messages"]:
        if message["role"] == "assistant":
            break
        messages.append(message)
    return _digest({**body, "messages": messages})


def _digest(body: Any) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:12]
