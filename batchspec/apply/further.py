"""What follows a stored reply: its context, its judgement, and the request that asks again."""

from functools import partial

from pydantic_core import from_json

from batchspec.apply.world import LocalJob, World, stored_row
from batchspec.fingerprint import canonical_json
from batchspec.ids import RecordRef
from batchspec.messages import Reply
from batchspec.ports import Wire
from batchspec.reconcile.converse import after_feedback
from batchspec.reconcile.settle import settle
from batchspec.spec.context import RunContext
from batchspec.state.settlement import AskAgain, Settlement
from batchspec.state.stored import FinalReply, StoredReply


def asked_again(world: World, wire: Wire, request: RecordRef, line: bytes, ask: AskAgain) -> bytes:
    """Return the messages of the turn that tells a model why its output was not accepted.

    Args:
        world: Where the request is stored.
        wire: Of the conversation.
        request: Of the turn that was answered.
        line: That answered it.
        ask: What the model is told.
    """
    stored = world.store.body(request).partition(b"\t")[0]
    answers = [wire.tool_answer(call, content) for call, content in ask.answers]
    messages = after_feedback(from_json(stored), wire.assistant(line), ask.feedback, answers)
    return canonical_json(messages)


def judged_again(
    world: World, local: LocalJob, stored: FinalReply | StoredReply, reply: Reply
) -> Settlement:
    """Judge a stored reply by today's rules; what it takes of users' code is made as needed."""
    return settle(
        reply,
        local.judge,
        turn=stored.turn,
        attempts=0,
        output_retries=stored.output_retries,
        context=partial(_context, world, local, stored),
    )


def _context(world: World, local: LocalJob, stored: FinalReply | StoredReply) -> RunContext[object]:
    key, row = world.store.owner(stored.conversation)
    return RunContext(
        deps=local.deps(),
        job=local.desired.address,
        key=key or "",
        row={} if row is None else stored_row(world, row),
        turn=stored.turn,
        retry=stored.output_retries,
    )
