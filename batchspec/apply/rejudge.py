"""Judging stored replies again, free: an output type, a validator or a bound changed."""

from collections.abc import Iterator

from pydantic_core import from_json, to_json

from batchspec.apply.further import judged_again
from batchspec.apply.world import LocalJob, World
from batchspec.errors import shortened
from batchspec.ids import JobAddress
from batchspec.messages import Reply
from batchspec.spec.feedback import for_people
from batchspec.state.events import Event, RepliesRejudged
from batchspec.state.resumption import BOUND, FIRST, REPLY, TURN
from batchspec.state.settlement import Answered, AskAgain, CallTools, Settlement
from batchspec.state.stored import FinalReply, Verdict


async def do_rejudge(world: World, job: JobAddress) -> None:
    """Judge the stored replies of a job again and record the outcomes that differ."""
    world.hook.event(await world.db(_rejudge, world, job))


def _rejudge(world: World, job: JobAddress) -> Event:
    local = world.jobs.get(job)
    accepted = world.store.open_segment("answers")
    replies = 0

    def changes(local: LocalJob) -> Iterator[Verdict]:
        nonlocal replies
        provider = world.provider(local.desired.contract.provider)
        for stored in world.store.final_replies(job):
            replies += 1
            # The job's endpoint may be another one now (`ignore_changes`).
            wire = provider.wire(stored.endpoint)
            result = wire.decode(world.store.body(stored.reply)).result
            if isinstance(result, Reply):
                settlement = judged_again(world, local, stored, result)
                verdict = _verdict(settlement, stored)
                text = _other_text(world, local, stored, result, settlement)
                if text is not None:
                    verdict = verdict._replace(answer=accepted.append(to_json(text)))
                if verdict[:3] != (stored.outcome, stored.reason, stored.resumable) or text:
                    yield verdict

    def event(changed: int) -> Event:
        return RepliesRejudged(job=job, replies=replies, changed=changed, at=world.clock.now())

    return world.store.rejudge(job, () if local is None else changes(local), event, [accepted])


def _other_text(
    world: World, local: LocalJob, stored: FinalReply, reply: Reply, settlement: Settlement
) -> str | None:
    """Return the text that is accepted now, None where it is what is kept.

    A reply may hold several answers, of which another one may be the first that is accepted.
    """
    if not isinstance(settlement, Answered) or not settlement.text:
        return None
    output = local.judge.output
    if stored.outcome == "succeeded":
        if len(output.candidates(reply)) < 2:
            return None
        kept = output.read(reply) if stored.answer is None else world.store.body(stored.answer)
        if settlement.text == (from_json(kept) if isinstance(kept, bytes) else kept):
            return None
    return settlement.text


def _verdict(settlement: Settlement, stored: FinalReply) -> Verdict:
    """Return what a reply is by today's policy; nothing that would cost a turn is begun."""
    outcome, reason = stored.outcome, stored.reason
    resumable = stored.resumable
    match settlement:
        case Answered():
            outcome, reason = settlement.outcome, settlement.reason
            resumable = BOUND if settlement.bound else FIRST
        case AskAgain():
            resumable = REPLY
            if stored.outcome != "exhausted":
                told = for_people(settlement.feedback)
                outcome = "failed"
                reason = shortened(f"The output is not accepted any more: {told}")
        case CallTools(_, answers) if stored.outcome == "succeeded" and answers:
            resumable, outcome = REPLY, "failed"
            told = " ".join(dict.fromkeys(for_people(answer.content) for answer in answers))
            reason = shortened(f"The output is not accepted any more: {told}")
        case CallTools() if resumable in {FIRST, BOUND}:
            resumable = REPLY
        case _:
            pass
    if outcome == "succeeded":
        resumable = FIRST
    elif stored.resumable == TURN:  # what was judged is the reply of the turn before
        outcome, reason, resumable = stored.outcome, stored.reason, TURN
    return Verdict(outcome, reason, resumable, stored.conversation)
