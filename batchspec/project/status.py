"""What is waited for, in sentences."""

from datetime import UTC, datetime

from batchspec.plan.drift import expiring
from batchspec.project.values import Status
from batchspec.state.records import BatchRecord, LaneRecord
from batchspec.store.reader import StateReader


def status_of(reader: StateReader, environment: str, now: float) -> Status:
    """Read how far everything is."""
    batches = tuple(reader.batches(open_only=True))
    lanes = tuple(reader.lanes(now))
    return Status(
        environment=environment,
        lineage=reader.lineage,
        serial=reader.serial(),
        jobs=tuple(job for job in reader.progress() if not job.removed),
        batches=batches,
        lanes=lanes,
        lease=reader.lease(),
        spent=reader.spent(),
        waiting=(
            *(_batch(batch, now) for batch in batches),
            *(text for batch in batches if (text := expiring(batch, now)) is not None),
            *(text for lane in lanes for text in _lane(lane, now)),
        ),
    )


def _batch(batch: BatchRecord, now: float) -> str:
    jobs = ", ".join(batch.jobs)
    name = batch.remote_id or batch.id
    if batch.phase == "ended":
        text = f"batch {name} of {jobs} has ended; its results are to be read"
    elif batch.phase == "submitted":
        counts = batch.counts
        age = _age(now - (batch.submitted_at or now))
        text = (
            f"batch {name} of {jobs} is {batch.status} since {age}, "
            f"{counts.completed + counts.failed} of {batch.members} requests done"
        )
    elif batch.create_at is not None:
        since = datetime.fromtimestamp(batch.create_at, UTC).strftime("%H:%M:%S UTC")
        text = f"batch {name} of {jobs}: outcome of its creation unknown since {since}"
    else:
        text = f"batch {name} of {jobs} with {batch.members} requests is to be sent"
    return f"{text} ({batch.note})" if batch.note else text


def _lane(lane: LaneRecord, now: float) -> list[str]:
    name = f"{lane.lane.provider}:{lane.lane.model}"
    found: list[str] = []
    if lane.tools:
        found.append(f"{lane.tools} conversations of {name} wait for tool results")
    if lane.later:
        wait = _age((lane.ready_at or now) - now)
        found.append(f"{lane.later} requests of {name} wait before they are sent again, {wait}")
    if lane.pending and lane.hold_kind == "full":
        found.append(
            f"{lane.pending} requests of {name} wait until a batch of it ends: {lane.hold_reason}"
        )
    elif lane.pending and lane.hold_until > now:
        wait = _age(lane.hold_until - now)
        found.append(f"{lane.pending} requests of {name} wait another {wait}: {lane.hold_reason}")
    elif lane.pending:
        found.append(f"{lane.pending} requests of {name} are to be sent")
    return found


def _age(seconds: float) -> str:
    if seconds < 90:
        return f"{max(0, seconds):.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
