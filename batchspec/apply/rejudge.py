"""Judging stored replies again, free: an output type, a validator or a bound changed."""

from collections.abc import Iterator

from batchspec.apply.collect import stored_row
from batchspec.apply.world import LocalJob, World
from batchspec.errors import shortened
from batchspec.ids import ConversationId, JobAddress
from batchspec.messages import Outcome, Reply
from batchspec.reconcile.settle import settle
from batchspec.spec.context import RunContext
from batchspec.spec.feedback import for_people
from batchspec.state.events import Event, RepliesRejudged
from batchspec.state.settlement import Answered, AskAgain
from batchspec.state.stored import FinalReply

_Change = tuple[Outcome, str | None, ConversationId]


async def do_rejudge(world: World, job: JobAddress) -> None:
    """Judge the stored replies of a job again and record the outcomes that differ."""
    world.hook.event(await world.db(_rejudge, world, job))


def _rejudge(world: World, job: JobAddress) -> Event:
    local = world.jobs.get(job)
    replies = 0

    def changes(local: LocalJob) -> Iterator[_Change]:
        nonlocal replies
        provider = world.provider(local.desired.contract.provider)
        for stored in world.store.final_replies(job):
            replies += 1
            # The job's endpoint may be another one now (`ignore_changes`).
            wire = provider.wire(stored.endpoint)
            result = wire.decode(world.store.body(stored.reply)).result
            if isinstance(result, Reply):
                outcome, reason = _verdict(world, local, stored, result)
                if (outcome, reason) != (stored.outcome, stored.reason):
                    yield outcome, reason, stored.conversation

    def event(changed: int) -> Event:
        return RepliesRejudged(job=job, replies=replies, changed=changed, at=world.clock.now())

    return world.store.rejudge(job, () if local is None else changes(local), event)


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
        reply,
        local.judge,
        turn=stored.turn,
        attempts=0,
        output_retries=stored.output_retries,
        context=context,
    )
    if isinstance(settlement, Answered):
        return settlement.outcome, settlement.reason
    if isinstance(settlement, AskAgain) and stored.outcome != "exhausted":
        told = f"The output is not accepted any more: {for_people(settlement.feedback)}"
        return "failed", shortened(told)
    return stored.outcome, stored.reason
