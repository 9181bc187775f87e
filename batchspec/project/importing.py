"""Importing a batch that was made by hand: its answers become those of a job, without paying."""

from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeGuard

import anyio.to_thread

from batchspec.apply.download import split_lines
from batchspec.apply.failing import stop_message
from batchspec.desired.expand import DesiredRow, Expander, in_chunks
from batchspec.desired.graph import DesiredJob
from batchspec.errors import Diagnostic, ProviderError, RefusedError, SpecError
from batchspec.ids import BatchId, FileId, LaneId, RemoteId
from batchspec.load.rows import read_rows
from batchspec.plan.changes import Kind
from batchspec.plan.diff import classify
from batchspec.plan.foreign import (
    body_difference,
    lineage_of,
    our_request,
    read_line,
    same_model,
)
from batchspec.ports import Provider
from batchspec.ports.providers import line_overhead
from batchspec.project.accounts import bindings
from batchspec.project.atwork import acquired
from batchspec.project.beating import beating
from batchspec.project.imported import ImportResult, Mismatch, choose, nothing
from batchspec.project.jobs import derived_rows
from batchspec.project.pacing import paced
from batchspec.project.planning import Planner
from batchspec.project.rowpass import Rows, doubled
from batchspec.project.wiring import Connections
from batchspec.reconcile.observe import describe
from batchspec.spec.rows import DerivedSource
from batchspec.state.events import BatchImported, PlanAgreed
from batchspec.state.records import TERMINAL, BatchRecord
from batchspec.state.remote import CallError, NotFound, Refused, RemoteBatch
from batchspec.state.stored import RecordedRow
from batchspec.store.foreign import ForeignBatch, Match, Matched, Standing, later_turns
from batchspec.store.reader import StateReader

if TYPE_CHECKING:
    from batchspec.project.project import Project


class Importing:
    """One import of one batch."""

    def __init__(
        self, project: "Project", job: DesiredJob, batch: RemoteId, *, match: Match, force: bool
    ) -> None:
        self._project = project
        self._job = job
        self._batch = batch
        self._match: Match = match
        self._force = force
        self._rows = 0
        self._unread = 0

    async def run(self) -> ImportResult:
        """Look at the batch, match its lines with the rows of the job, and record it.

        Raises:
            RefusedError: It cannot be answers of this job, or no line is for a row of it.
            ProviderError: The provider does not know it, or does not answer.
            SpecError: Rows are not right.
        """
        project = self._project
        store = project.store()
        with ExitStack() as stack:
            stack.callback(store.release)
            await acquired(store, project.mint(), "import")
            stack.enter_context(beating(store))
            connections = Connections(
                project.settings, project.directory, project.root, project.simulated
            )
            stack.callback(connections.close)
            name = self._job.contract.provider
            bound = bindings(store, project.providers, [name], connections, project.clock)
            provider = paced(
                project, connections.connect(project.providers[name]), connections.warn
            )
            if bound:
                store.commit(*bound)
            try:
                return await self._import(provider)
            finally:
                if provider.client is not project.providers[provider.name].client:
                    await provider.client.close()

    async def _import(self, provider: Provider) -> ImportResult:
        if (known := self._known()) is not None:
            return self._already(known)
        remote = await self._retrieve(provider)
        self._check(remote)
        with ExitStack() as stack:
            reader = stack.enter_context(self._project.store().reader())
            planner = self._project.planner(reader)
            stack.callback(planner.draft.discard)
            foreign = ForeignBatch(planner.draft)
            await self._read(provider, remote, foreign)
            record = partial(self._record, provider, remote, planner, reader, foreign)
            return await anyio.to_thread.run_sync(record)

    def _known(self) -> BatchRecord | None:
        with self._project.store().reader() as reader:
            found = (b for b in reader.batches() if b.remote_id == self._batch)
            return next(found, None)

    def _already(self, known: BatchRecord) -> ImportResult:
        return ImportResult(
            job=self._job.address,
            remote_id=self._batch,
            already=True,
            members=known.jobs.get(self._job.address, 0),
            status=known.status,
        )

    # --- the batch

    async def _retrieve(self, provider: Provider) -> RemoteBatch:
        try:
            return await provider.client.retrieve(self._batch)
        except NotFound as error:
            raise ProviderError(
                f"Provider {provider.name!r} knows no batch {self._batch!r} ({error}). Check the "
                "id, and that the key belongs to the account and project that made it. Nothing "
                "was recorded."
            ) from error
        except CallError as error:
            raise _failed(provider, error) from error

    def _check(self, remote: RemoteBatch) -> None:
        """Refuse a batch that cannot hold answers of this job."""
        name, job, contract = self._batch, self._job.address, self._job.contract
        if remote.endpoint is not None and remote.endpoint != contract.endpoint:
            raise RefusedError(
                f"Batch {name} is for {remote.endpoint}, job {job} for {contract.endpoint}: its "
                "answers cannot be the job's. Nothing was recorded."
            )
        if remote.status == "failed" and not (remote.output_file_id or remote.error_file_id):
            raise RefusedError(
                f"Batch {name} failed before anything ran ({describe(remote.errors)}), so that "
                "there is no answer to import. Nothing was recorded."
            )
        with self._project.store().reader() as reader:
            self._check_lineage(remote, reader)

    def _check_lineage(self, remote: RemoteBatch, reader: StateReader) -> None:
        lineage = lineage_of(remote.metadata)
        token = remote.metadata.get("batchspec")
        if lineage == reader.lineage and any(b.id == token for b in reader.batches()):
            raise RefusedError(
                f"Batch {self._batch} is one of this state's own, whose creation got no answer "
                "or which doubles another. `batchspec apply` finds and handles it by itself."
            )
        if lineage not in {None, reader.lineage} and not self._force:
            raise RefusedError(
                f"Batch {self._batch} was made by another state (lineage …{str(lineage)[-8:]}), "
                "which may count on it too; the answers would be in both. To import it all the "
                "same, add `--force`. Nothing was recorded."
            )

    # --- its lines

    async def _read(self, provider: Provider, remote: RemoteBatch, foreign: ForeignBatch) -> None:
        """Keep the lines of the input file; where it is gone, the names in the result files."""
        try:
            await self._read_input(provider, remote.input_file_id, foreign)
        except NotFound as error:
            if self._match != "custom-id":
                raise RefusedError(
                    f"The input file of batch {self._batch} is gone ({error}), so that nobody can "
                    "tell what its lines asked. If their custom_ids are the keys of the rows, or "
                    "ours, `--match custom-id` trusts them. Nothing was recorded."
                ) from error
            await self._read_results(provider, remote, foreign)
        except CallError as error:
            raise _failed(provider, error) from error
        await anyio.to_thread.run_sync(foreign.read)

    async def _read_input(
        self, provider: Provider, file: FileId | None, foreign: ForeignBatch
    ) -> None:
        if file is None:
            raise NotFound("the batch does not name it")
        number = 0
        async for lines in split_lines(provider.client.content(file)):
            kept = [
                (n, found)
                for n, line in enumerate(lines, number + 1)
                if (found := read_line(line)) is not None
            ]
            number += len(lines)
            if kept:
                self._check_model(kept[0][1].model)
            before = foreign.lines
            await anyio.to_thread.run_sync(foreign.put, kept)
            self._unread += len(lines) - (foreign.lines - before)

    def _check_model(self, model: str | None) -> None:
        wanted = self._job.contract.model
        if model is not None and not same_model(model, wanted):
            raise RefusedError(
                f"Batch {self._batch} asks {model}, job {self._job.address} asks {wanted}: its "
                "answers cannot be the job's. Nothing was recorded."
            )

    async def _read_results(
        self, provider: Provider, remote: RemoteBatch, foreign: ForeignBatch
    ) -> None:
        self._check_model(remote.model)
        if remote.status not in TERMINAL:
            raise RefusedError(
                f"The input file of batch {self._batch} is gone and the batch has not ended, so "
                "that the names of its lines are not known yet. Try again once it has ended."
            )
        number = 0
        decode = provider.wire(self._job.contract.endpoint).decode
        for file in filter(None, (remote.output_file_id, remote.error_file_id)):
            try:
                async for lines in split_lines(provider.client.content(file)):
                    names = [decode(line).custom_id for line in lines]
                    ids = [(n, name) for n, name in enumerate(names, number + 1) if _is_text(name)]
                    number += len(lines)
                    await anyio.to_thread.run_sync(foreign.put_ids, ids)
            except CallError as error:
                raise _failed(provider, error) from error

    # --- the rows

    def _record(
        self,
        provider: Provider,
        remote: RemoteBatch,
        planner: Planner,
        reader: StateReader,
        foreign: ForeignBatch,
    ) -> ImportResult:
        """Match and record; blocking."""
        self._put_turns(provider, reader, foreign)
        with self._project.desired.imports():
            self._put_rows(provider, planner, foreign)
        matched = foreign.match(self._match)
        result = self._result(remote, foreign, matched)
        if self._match == "auto" and result.left_out:
            raise RefusedError(choose(result))
        if not matched.open:
            raise RefusedError(nothing(result))
        event = self._commit(remote, planner, matched)
        return replace(result, members=event.members)

    def _put_turns(self, provider: Provider, reader: StateReader, foreign: ForeignBatch) -> None:
        """Put the further turns that wait to be sent beside the lines."""
        for turn in later_turns(reader, self._job.address):
            contract = reader.contract(turn.contract).at(turn.turn)
            wire = provider.wire(contract.endpoint)
            spoken = wire.encode(turn.messages_json)
            foreign.later(turn, our_request(wire.line_parts(contract), spoken))

    def _put_rows(self, provider: Provider, planner: Planner, foreign: ForeignBatch) -> None:
        """Put the rows of the job beside the lines, and those a line may be for into the plan."""
        job, draft = self._job, planner.draft
        wire = provider.wire(job.contract.endpoint)
        parts, overhead = wire.line_parts(job.contract), line_overhead(wire, job.contract)
        known = draft.begin(job.address, job.contract, job.policy, partial=True)
        expanded = Expander(job).expand(self._source(planner))
        for chunk in in_chunks(expanded):
            problems = [row for row in chunk if isinstance(row, Diagnostic)]
            if problems:
                raise SpecError(problems)
            rows = [row for row in chunk if not isinstance(row, Diagnostic)]
            self._rows += len(rows)
            changes: list[tuple[DesiredRow, Kind]] = []
            for row, was in zip(rows, draft.look(job.address, rows), strict=True):
                kind, standing = _standing(row, was, known=known, protect=job.job.protect)
                ours = our_request(parts, wire.encode(row.messages_json))
                if foreign.row(job.address, row, ours, standing):
                    changes.append((row, kind))
            if doubles := draft.put(
                job.address, changes, lambda messages: overhead + wire.size(messages)
            ):
                raise SpecError([doubled(job, double) for double in doubles])

    def _source(self, planner: Planner) -> Rows:
        job = self._job
        if not isinstance(job.rows, DerivedSource):
            return read_rows(job.rows, self._project.root)
        if set(job.depends_on) & planner.reader.unfinished():
            raise RefusedError(
                f"The rows of {job.address} are made of answers of {', '.join(job.depends_on)}, "
                "which are not all there. Nothing was recorded."
            )
        return derived_rows(job, planner.desired, planner.reader, planner.providers)

    # --- what came of it

    def _result(self, remote: RemoteBatch, foreign: ForeignBatch, matched: Matched) -> ImportResult:
        differing = foreign.differing()
        return ImportResult(
            job=self._job.address,
            remote_id=self._batch,
            members=matched.open,
            lines=foreign.lines,
            answered=matched.answered,
            under_way=matched.under_way,
            unmatched=foreign.lines - matched.lines - (differing.lines if differing else 0),
            unread=self._unread,
            rows=self._rows,
            rows_without_line=self._rows - matched.rows,
            other_requests=matched.other_requests,
            mismatches=differing.lines if differing else 0,
            left_out=differing.left_out if differing else 0,
            example=None
            if differing is None
            else Mismatch(
                differing.custom_id,
                differing.key,
                body_difference(differing.ours, differing.theirs),
            ),
            stray=foreign.stray(),
            status=remote.status,
        )

    def _commit(self, remote: RemoteBatch, planner: Planner, matched: Matched) -> BatchImported:
        project, now = self._project, self._project.clock.now()
        agreed = PlanAgreed(
            plan=planner.plan_id,
            job=self._job.address,
            added=matched.open,
            changed=0,
            removed=0,
            at=now,
        )
        event = BatchImported(
            id=BatchId(project.mint()),
            lane=LaneId(0),
            remote_id=remote.id,
            status=remote.status,
            members=0,
            jobs={},
            submitted_at=remote.created_at or now,
            at=now,
        )
        return project.store().import_batch(planner.draft, agreed, event)


def _is_text(name: str | None) -> TypeGuard[str]:
    """Tell whether a custom_id can be stored: half a surrogate pair is no text."""
    return name is not None and 0 < len(name) == len(name.encode(errors="ignore").decode())


def _standing(
    row: DesiredRow, was: RecordedRow, *, known: bool, protect: bool
) -> tuple[Kind, Standing]:
    """Return what recording a row takes, and whether it can wait for this batch."""
    kind, _ = classify(row, was, known_job=known)
    match kind:
        case Kind.SUBMIT:
            return kind, "open"
        case Kind.RESUBMIT:
            return kind, "answered" if protect else "open"
        case Kind.CONTINUE:  # its request is on record already
            return Kind.KEEP, "open" if was.phase == "pending" else "under_way"
        case Kind.REUSE if was.same_phase != "final":
            return kind, "open" if was.same_phase == "pending" else "under_way"
        case _:
            return Kind.KEEP, "answered"


def _failed(provider: Provider, error: CallError) -> ProviderError:
    if isinstance(error, Refused | NotFound):
        return ProviderError(stop_message(provider, error))
    return ProviderError(
        f"Provider {provider.name!r} did not answer as it should ({error}). Nothing was recorded; "
        "run the command again."
    )
