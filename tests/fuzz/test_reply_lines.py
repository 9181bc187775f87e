"""One line at a time: whatever stands in a result file is judged, and nothing raises."""

import json
import math
from random import Random

import pytest

from batchspec.messages import LineError, Reply
from batchspec.ports import Wire
from batchspec.providers.openai.responses import ResponsesWire
from batchspec.providers.openai.wire import ChatCompletionsWire
from batchspec.reconcile.converse import after_feedback
from batchspec.reconcile.settle import Judge, settle
from batchspec.spec.output import NativeOutput, OutputMode, ToolOutput, output_mode
from batchspec.state.settlement import Answered, AskAgain, CallTools, SendAgain
from fuzz.amount import MINUTES, SEED
from fuzz.corpus import corpus, line_for
from fuzz.mutations import spoiled

LINES = 400_000 if MINUTES else 25_000
WIRES: dict[str, Wire] = {"openai": ChatCompletionsWire(), "openai-responses": ResponsesWire()}


def _judges() -> list[Judge]:
    modes: list[OutputMode] = [output_mode(kind) for kind in (str, dict[str, int], list[str])]
    modes.append(output_mode(NativeOutput(int, strict=False)))
    modes += [output_mode(ToolOutput(int, name=name)) for name in ("lookup", "final_result")]
    modes += [output_mode(kind) for kind in ([ToolOutput(int), bool], [int, str])]
    return [Judge(mode, tools=tools) for mode in modes for tools in (False, True)]


def check(line: bytes, judge: Judge, wire: Wire) -> str:
    """Judge a line, and see that whatever comes out can be stored, sent on and counted."""
    custom_id, result = wire.decode(line)
    assert custom_id is None or isinstance(custom_id, str)
    told = [custom_id or ""]
    if isinstance(result, LineError):
        told += [result.code, result.message]
    else:
        told += [
            result.text or "",
            result.refusal or "",
            *(p for c in result.tool_calls for p in c),
        ]
        assert all(type(n) is int and 0 <= n < 2**63 for n in result.usage)
        assert math.isfinite(sum(result.usage) * 1e-6)
    settlement = settle(result, judge, turn=1, attempts=0, output_retries=0)
    assert isinstance(settlement, Answered | AskAgain | CallTools | SendAgain)
    if isinstance(settlement, Answered | SendAgain):
        told.append(settlement.reason or "")
    if isinstance(settlement, AskAgain | CallTools):
        assert isinstance(result, Reply)
        feedback = settlement.feedback if isinstance(settlement, AskAgain) else ""
        answers = [wire.tool_answer(*answer) for answer in settlement.answers]
        messages = after_feedback([], wire.assistant(line), feedback, answers)
        json.loads(json.dumps(messages, allow_nan=False).encode())
        told.append(json.dumps(messages, ensure_ascii=False))
    for text in told:
        text.encode()  # what cannot be encoded can be neither stored nor sent
    return type(settlement).__name__


@pytest.mark.parametrize("provider", WIRES)
def test_failure_35_no_mutated_line_raises(told: list[str], provider: str) -> None:
    random, judges = Random(SEED), _judges()
    templates = [line for kinds in corpus(provider).values() for line in kinds.values()]
    seen: dict[str, int] = {}
    for number in range(LINES):
        seed = random.randrange(2**32)
        own = Random(seed)
        line = spoiled(own, line_for(own.choice(templates), f"{number:016x}-1", f"answer {number}"))
        try:
            became = check(line, own.choice(judges), WIRES[provider])
        except Exception as error:
            error.add_note(f"line {number} of seed {SEED}: {line[:2000]!r}")
            raise
        seen[became] = seen.get(became, 0) + 1
    told.append(f"reply lines of {provider}, seed {SEED}: {LINES} lines became {seen}")
    # Every way to end must be met often, or the mutations have grown dull.
    assert (
        min(seen.get(n, 0) for n in ("Answered", "AskAgain", "CallTools", "SendAgain"))
        > LINES / 100
    )


@pytest.mark.parametrize("provider", WIRES)
@pytest.mark.parametrize("job", ["text", "typed", "tooled"])
def test_every_kind_of_line_is_read_as_it_stands(job: str, provider: str) -> None:
    """The mutations begin with what a client reads: no kind of the corpus is unreadable."""
    for kind, template in corpus(provider)[job].items():
        result = WIRES[provider].decode(template).result
        unreadable = isinstance(result, LineError) and result.kind == "unreadable"
        assert not unreadable, kind
