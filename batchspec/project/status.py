"""What is waited for, in sentences."""

from collections.abc import Mapping
from datetime import UTC, datetime

from batchspec.plan.drift import expiring
from batchspec.ports import Provider
from batchspec.project.values import Status
from batchspec.reconcile.admit import UnderWay, admits, under_way
from batchspec.state.records import BatchRecord, LaneRecord
from batchspec.store.lease import gone, watched
from batchspec.store.reader import StateReader


def status_of(
    reader: StateReader, environment: str, now: float, providers: Mapping[str, Provider]
) -> Status:
    """Read how far everything is."""
    batches = tuple(reader.batches(open_only=True))
    lanes = tuple(reader.lanes(now))
    every = [lane.lane for lane in lanes]
    lease = reader.lease()
    return Status(
        environment=environment,
        lineage=reader.lineage,
        serial=reader.serial(),
        jobs=tuple(job for job in reader.progress() if not job.removed),
        batches=batches,
        lanes=lanes,
        lease=lease,
        lease_free=lease is not None and gone(lease, now),
        watched=watched(lease, now),
        spent=reader.spent(),
        missing=tuple(reader.missing()),
        conditions=tuple(reader.conditions()),
        hooks=tuple(reader.hooks()),
        waiting=(
            *(_batch(batch, now) for batch in batches),
            *(text for batch in batches if (text := expiring(batch, now)) is not None),
            *(
                text
                for lane in lanes
                for text in _lane(
                    lane,
                    under_way(lane.lane, every, batches),
                    providers.get(lane.lane.provider),
                    now,
                )
            ),
        ),
    )


def _batch(batch: BatchRecord, now: float) -> str:
    jobs = ", ".join(batch.jobs)
    name = batch.remote_id or batch.id
    if batch.phase == "ended":
        text = f"batch {name} of {jobs} has ended; its results are to be read"
    elif batch.phase == "submitted":
        counts = batch.counts
        since = age(now - (batch.submitted_at or now))
        text = (
            f"batch {name} of {jobs} is {batch.status} since {since}, "
            f"{counts.completed + counts.failed} of {batch.members} requests done"
        )
    elif batch.create_at is not None:
        since = datetime.fromtimestamp(batch.create_at, UTC).strftime("%H:%M:%S UTC")
        text = f"batch {name} of {jobs}: outcome of its creation unknown since {since}"
    else:
        text = f"batch {name} of {jobs} with {batch.members} requests is to be sent"
    return f"{text} ({batch.note})" if batch.note else text


def _lane(lane: LaneRecord, others: UnderWay, provider: Provider | None, now: float) -> list[str]:
    name = f"{lane.lane.provider}:{lane.lane.model}"
    found: list[str] = []
    if lane.tools:
        found.append(f"{lane.tools} conversations of {name} wait for tool results")
    if lane.later:
        wait = age((lane.ready_at or now) - now)
        found.append(f"{lane.later} requests of {name} wait before they are sent again, {wait}")
    if lane.pending:
        why = _held_back(lane, others, provider, now)
        found.append(f"{lane.pending} requests of {name} {why or 'are to be sent'}")
    return found


def _held_back(
    lane: LaneRecord, others: UnderWay, provider: Provider | None, now: float
) -> str | None:
    """Return what the requests of a lane wait for; None when nothing holds them back."""
    if lane.hold_kind == "full" and others.submitted:
        return f"wait until a batch of it ends: {lane.hold_reason}"
    if lane.hold_until > now:
        return f"wait another {age(lane.hold_until - now)}: {lane.hold_reason}"
    cap = None if provider is None else provider.cap(lane.lane.model)
    if cap is not None and not admits(lane, cap, others):
        return (
            f"wait for room: about {others.tokens:,} of {cap:,} prompt tokens are under way "
            "(max_enqueued_tokens)"
        )
    if provider is not None and lane.pending < provider.min_requests and others.any:
        return f"wait for more, up to {provider.min_requests} (min_requests)"
    return None


def age(seconds: float) -> str:
    """Return a time as people say it: `45 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{max(0, seconds):.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
