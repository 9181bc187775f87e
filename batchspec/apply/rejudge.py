"""Judging stored replies again, free: an output type, a validator or a bound changed."""

from batchspec.apply.collect import stored_row
from batchspec.apply.world import LocalJob, World
from batchspec.ids import ConversationId, JobAddress
from batchspec.messages import Outcome, Reply
from batchspec.reconcile.settle import settle, without_preamble
from batchspec.spec.context import RunContext
from batchspec.state.events import RepliesRejudged
from batchspec.state.settlement import Answered, AskAgain
from batchspec.state.stored import FinalReply


async def do_rejudge(world: World, job: JobAddress) -> None:
    """Judge the stored replies of a job again and record the outcomes that differ."""
    world.hook.event(await world.db(_rejudge, world, job))


def _rejudge(world: World, job: JobAddress) -> RepliesRejudged:
    local = world.jobs.get(job)
    changes: list[tuple[Outcome, str | None, ConversationId]] = []
    replies = 0
    if local is not None:
        wire = world.provider(local.desired.contract.provider).wire
        for stored in world.store.final_replies(job):
            replies += 1
            result = wire.decode(world.store.body(stored.reply)).result
            if isinstance(result, Reply):
                outcome, reason = _verdict(world, local, stored, result)
                if (outcome, reason) != (stored.outcome, stored.reason):
                    changes.append((outcome, reason, stored.conversation))
    event = RepliesRejudged(job=job, replies=replies, changed=len(changes), at=world.clock.now())
    world.store.rejudge(job, changes, event)
    return event


def _verdict(
    world: World, local: LocalJob, stored: FinalReply, reply: Reply
) -> tuple[Outcome, str | None]:
    """Return the outcome by today's policy; nothing that would cost a turn is begun."""

    def context() -> RunContext[object]:
        key, row = world.store.owner(stored.conversation)
        return RunContext(
            deps=local.deps(),
            job=local.desired.address,
            key=key or "",
            row={} if row is None else stored_row(world, row),
            turn=stored.turn,
        )

    settlement = settle(
        reply, local.judge, turn=stored.turn, attempts=0, output_retries=0, context=context
    )
    if isinstance(settlement, Answered):
        return settlement.outcome, settlement.reason
    if isinstance(settlement, AskAgain):
        return (
            "failed",
            f"The output is not accepted any more: {without_preamble(settlement.feedback)}",
        )
    return stored.outcome, stored.reason
