"""The turns of items: each request with its reply and its tool calls, for eyes and for machines."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from pydantic_core import to_json
from rich.text import Text

from batchspec.cli.views.streams import print_json_list, print_prose, stdout, write_bytes
from batchspec.cli.views.words import clean, clipped, counted, money, number, timestamp
from batchspec.messages import LineError, Reply, ToolCall
from batchspec.results.read import Item
from batchspec.results.turns import ToolRun, Turn
from batchspec.spec.output.members import DEFAULT_NAME

_LONGEST = 400
"""Characters of a reply, of arguments and of a result that are shown; JSON has all of them."""

Conversations = Iterable[tuple[Item, Sequence[Turn]]]


def show_turns(conversations: Conversations) -> None:
    """Print items with their turns, as they are read."""
    found = False
    for item, turns in conversations:
        found = True
        print_prose(stdout(), _item(item, turns))
    if not found:
        print_prose(stdout(), [Text("No items.")])


def print_turns(conversations: Conversations, *, lines: bool) -> None:
    """Print items with their turns as one JSON document, or one a line."""
    entries = (
        {**_head(item), "turns": list(map(_document, turns))} for item, turns in conversations
    )
    if not lines:
        print_json_list("items", entries)
        return
    for entry in entries:
        write_bytes(to_json(entry, inf_nan_mode="null") + b"\n")


# --- for eyes


def _item(item: Item, turns: Sequence[Turn]) -> Iterator[Text]:
    reason = f": {clean(item.reason)}" if item.reason else ""
    yield Text.assemble((clean(item.address), "bold"), f"  {item.outcome or 'not final'}{reason}")
    asked = list(dict.fromkeys(turn.answer for turn in turns if not turn.replaced))
    # An old answer that was to this very request is among the turns, before the one waited for.
    kept = asked[0] if item.previous and len(asked) > 1 else None
    shown = kept if item.previous else asked[-1] if asked else None
    several = len({turn.answer for turn in turns}) > 1
    for answer, its in groupby(turns, lambda turn: turn.answer):
        own = list(its)
        if several:
            yield Text(f"  answer {answer}{_became(own[0], kept, asked)}", "dim")
        # Only its last reply gives an item that succeeded its output.
        gave = own[-1] if item.outcome == "succeeded" and answer == shown else None
        final = _is_over(item) or answer != asked[-1]
        for turn in own:
            yield from _turn(turn, gave=turn is gave, final=final)


def _became(turn: Turn, kept: int | None, asked: Sequence[int]) -> str:
    """Say what became of an answer that is one of several."""
    if turn.answer == kept:
        return ", kept until another is accepted"
    if not turn.replaced:
        return ""
    return ", given up" if asked and turn.answer > asked[-1] else ", replaced"


def _is_over(item: Item) -> bool:
    """Tell whether nothing more comes of the answer asked for last: it has one, or why not."""
    return item.outcome is not None and (not item.previous or item.reason is not None)


def _turn(turn: Turn, *, gave: bool, final: bool) -> Iterator[Text]:
    used = f"{counted(turn.usage.input_tokens, 'token')} in, {turn.usage.output_tokens:,} out"
    cost = "" if turn.cost is None else f", {money(turn.cost)}"
    yield Text(f"  turn {turn.number}  {used}{cost}", "dim")
    yield from map(Text, _replied(turn.reply))
    yield from (_called(run, final=final) for run in turn.tool_calls)
    refused = turn.feedback is not None
    yield from (_uncalled(call, gave=gave, refused=refused) for call in turn.other_calls)
    if turn.feedback is not None:
        yield Text.assemble(("    not accepted: ", "yellow"), _short(turn.feedback))


def _replied(reply: Reply | LineError | None) -> Iterator[str]:
    match reply:
        case None:
            yield "    no reply"
        case LineError():
            yield f"    error {clean(reply.code)}: {_short(reply.message)}"
        case Reply():
            if reply.refusal:
                yield f"    refused: {_short(reply.refusal)}"
            if reply.text:
                yield f"    {_short(reply.text)}"


def _called(run: ToolRun, *, final: bool) -> Text:
    given = run.arguments if isinstance(run.arguments, str) else to_json(run.arguments).decode()
    none = "no result" if final else "no result yet"
    came = none if run.result is None else _short(run.result)
    colour = "red" if run.failed else ""
    called = f"    {clean(run.name)}({_short(given)}) → "
    how = ", ".join(_how(run, final=final))
    return Text.assemble(called, (came, colour), (f"  [{how}]", "dim"))


def _uncalled(call: ToolCall, *, gave: bool, refused: bool) -> Text:
    called = f"    {clean(call.name)}({_short(call.arguments)})"
    output = (gave or refused) and call.name.startswith(DEFAULT_NAME)
    told = "no function was called" if not output else "the output" if gave else "an output"
    return Text.assemble(called, (f"  [{told}]", "dim"))


def _how(run: ToolRun, *, final: bool) -> Iterator[str]:
    """Yield how a call went: when, how long, how often."""
    if run.failed:
        yield "failed"
    if run.reused:
        yield "reused"
    elif not run.attempts:
        yield "not run" if final or run.result is not None else "waits"
    if run.attempts:
        yield counted(run.attempts, "attempt")
    if run.seconds is not None:
        yield f"{run.seconds:.3f} s"
    if run.started_at is not None:
        yield timestamp(run.started_at)


def _short(text: str) -> str:
    return clipped(clean(" ".join(text.split())), _LONGEST)


# --- for machines


def _head(item: Item) -> dict[str, Any]:
    return {
        "address": item.address,
        "key": item.key,
        "outcome": item.outcome,
        "reason": item.reason,
    }


def _document(turn: Turn) -> dict[str, Any]:
    return {
        "answer": turn.answer,
        "replaced": turn.replaced,
        "number": turn.number,
        "batch": turn.batch,
        "request": turn.request,
        "reply": _reply(turn.reply),
        "error": _error(turn.reply),
        "usage": turn.usage._asdict(),
        "cost_usd": number(turn.cost),
        "feedback": turn.feedback,
        "tool_calls": [_run(run) for run in turn.tool_calls],
        "other_calls": [
            {"name": call.name, "arguments": call.arguments} for call in turn.other_calls
        ],
    }


def _reply(reply: Reply | LineError | None) -> dict[str, Any] | None:
    if not isinstance(reply, Reply):
        return None
    return {"text": reply.text, "refusal": reply.refusal, "finish": reply.finish}


def _error(reply: Reply | LineError | None) -> dict[str, Any] | None:
    if not isinstance(reply, LineError):
        return None
    return {"kind": reply.kind, "code": reply.code, "message": reply.message}


def _run(run: ToolRun) -> dict[str, Any]:
    return {
        "name": run.name,
        "arguments": run.arguments,
        "result": run.result,
        "failed": run.failed,
        "attempts": run.attempts,
        "reused": run.reused,
        "started_at": run.started_at,
        "seconds": run.seconds,
    }
