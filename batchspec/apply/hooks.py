"""Telling users' hooks what became final, and what went wrong: at least once, beside the run."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any, cast

import anyio
import anyio.to_thread
from pydantic_core import from_json, to_json

from batchspec.apply.commands import CommandFailed, run_command
from batchspec.apply.threads import FunctionRaised
from batchspec.apply.world import LocalHooks, World
from batchspec.errors import shortened
from batchspec.ids import JobAddress, RowKey, item_address
from batchspec.messages import Usage
from batchspec.reconcile.retry import backoff
from batchspec.redaction import raised, redacted
from batchspec.spec.context import RunContext, takes_context
from batchspec.spec.hooks import HOOKS, RETRIES, TIMEOUT, Command, JobError, JobFinal, Target
from batchspec.spec.result import awaited, is_async
from batchspec.state.hooks import Delivery, Told

CHUNK = 50
"""Deliveries that are read and recorded together: what a crash tells again at most."""
_AT_ONCE = 8
"""Deliveries of one job that run at once."""
_FIRST, _LONGEST = 5.0, 600.0
"""Seconds until the second try, and at most between two."""
_VALUE = 4_000
"""Bytes of a variable in the environment of a command, which may be no longer than 128 KiB."""


@dataclass(slots=True, kw_only=True)
class _Thing:
    """What one delivery tells.

    Attributes:
        value: The item, `JobFinal` or `JobError` that a function gets.
        address: Of the item or the job.
        name: Stable: the same thing told again has the same name.
        document: Makes the JSON a command gets, but for its head.
        variables: For the environment of a command.
    """

    value: Any
    address: str
    name: str
    document: Callable[[], bytes]
    variables: dict[str, str] = field(default_factory=dict[str, str])
    row: dict[str, Any] = field(default_factory=dict[str, Any])
    key: str = ""


def hooks_due(world: World) -> dict[JobAddress, float]:
    """Return when hooks are to be told something, by job; blocking."""
    due = ((job, world.store.hook_due(job, whole=job not in world.waiting)) for job in world.hooked)
    return {job: at for job, at in due if at is not None}


async def do_hooks(
    world: World, job: JobAddress, draining: Callable[[], bool], *, errors_only: bool = False
) -> None:
    """Tell the hooks of a job some of what they are to be told.

    Args:
        world: What it works with.
        job: Whose hooks.
        draining: Asked before each delivery: whether none is to be begun.
        errors_only: Whether only errors are told.
    """
    store, now = world.store, world.clock.now()
    whole = job not in world.waiting
    found = await world.db(partial(store.deliveries, job, now, CHUNK, whole=whole))
    if errors_only:
        found = [one for one in found if one.kind == "error"]
    local = world.hooked[job]
    keys = [one.key for one in found if one.key is not None and not one.stale]
    items: Mapping[RowKey, Any] = {}
    if keys:
        items = await anyio.to_thread.run_sync(local.read, keys)
    telling = _Telling(world, job, local, items, draining)
    try:
        await telling.all(found)
    finally:
        # What was told is told again only if it cannot be recorded.
        with anyio.CancelScope(shield=True):
            if told := telling.told():
                await world.db(store.record_told, job, told, world.clock.now())


async def note_error(
    world: World, jobs: Sequence[JobAddress], what: str, name: str, reason: str
) -> list[JobAddress]:
    """Note what the `on_error` hooks of jobs are to be told; returns the jobs that have one."""
    hooked = [job for job in jobs if job in world.hooked and "error" in world.hooked[job].targets]
    now = world.clock.now()
    payloads = {
        job: to_json(
            JobError(
                address=job, what=what, name=name, reason=shortened(redacted(reason)), since=now
            )
        ).decode()
        for job in hooked
    }
    if payloads:
        await world.db(world.store.note_deliveries, payloads, now)
    return hooked


class _Telling:
    """Deliveries of one job that were read together."""

    def __init__(
        self,
        world: World,
        job: JobAddress,
        local: LocalHooks,
        items: Mapping[RowKey, Any],
        draining: Callable[[], bool],
    ) -> None:
        self._world = world
        self._job = job
        self._local = local
        self._items = items
        self._draining = draining
        self._ended: dict[int, Told] = {}

    async def all(self, found: Sequence[Delivery]) -> None:
        """Tell them, several at once, begun in their order."""
        left = iter(enumerate(found))
        async with anyio.create_task_group() as group:
            for _ in range(min(_AT_ONCE, len(found))):
                group.start_soon(self._some, left)

    def told(self) -> list[Told]:
        """Return what became of them, up to the first one of which nothing is known."""
        found: list[Told] = []
        for number in range(len(self._ended)):
            if number not in self._ended:
                break
            found.append(self._ended[number])
        return found

    async def _some(self, left: Iterator[tuple[int, Delivery]]) -> None:
        for number, delivery in left:
            if self._draining():
                return
            self._ended[number] = await self._one(delivery)

    async def _one(self, delivery: Delivery) -> Told:
        target = self._local.targets.get(delivery.kind)
        thing = None if target is None else await self._thing(delivery)
        if target is None or thing is None:
            return Told(delivery)
        why = await self._deliver(target, thing, delivery.attempts + 1, HOOKS[delivery.kind])
        if why is None:
            self._world.told_at = self._world.clock.now()
            return Told(delivery)
        return self._failed(delivery, target, thing, why)

    def _failed(self, delivery: Delivery, target: Target, thing: _Thing, why: str) -> Told:
        tries = delivery.attempts + 1
        most = 1 + (target.retries if isinstance(target, Command) else RETRIES)
        if tries >= most:
            self._world.hook.warning(
                f"{HOOKS[delivery.kind]} of {self._job} was not told of {thing.address}, and is "
                f"passed over after {tries} tries: {why}"
            )
            return Told(delivery, why)
        wait = backoff(tries, first=_FIRST, cap=_LONGEST, name=thing.name)
        payload = None
        if delivery.kind == "job":
            payload = to_json(_plain(thing.value)).decode()
        return Told(delivery, why, self._world.clock.now() + wait, payload)

    # --- what is told

    async def _thing(self, delivery: Delivery) -> _Thing | None:
        """Return what is told; None: there is nothing to tell any more."""
        if delivery.stale:
            return None
        name = f"{self._job}@{delivery.at.settled}"
        if delivery.kind == "item":
            return self._item(delivery)
        if delivery.kind == "error":
            error = JobError(**from_json(delivery.payload or "{}"))
            name = f"{self._job}!{delivery.id}"
            return self._job_thing(error, name, "error", asdict(error), error.reason)
        if delivery.payload is not None:
            given = from_json(delivery.payload)
            given |= {"usage": Usage(**given["usage"]), "cost": _decimal(given["cost"])}
            final = JobFinal(**given)
        else:
            final = await self._final()
        document = _plain(final)
        cost = document.pop("cost")
        document["cost_usd"] = None if cost is None else float(cost)
        return self._job_thing(final, name, "final", document)

    def _item(self, delivery: Delivery) -> _Thing | None:
        item = None if delivery.key is None else self._items.get(delivery.key)
        if item is None or item.outcome is None:
            return None
        address = item_address(self._job, item.key)
        return _Thing(
            value=item,
            address=address,
            name=f"{address}@{delivery.at.settled}",
            document=lambda: b'"item":' + self._local.document(item).strip(),
            variables={"KEY": item.key, "OUTCOME": item.outcome, "REASON": item.reason or ""},
            row=item.row,
            key=item.key,
        )

    def _job_thing(
        self, value: Any, name: str, word: str, document: Any, reason: str = ""
    ) -> _Thing:
        return _Thing(
            value=value,
            address=self._job,
            name=name,
            document=lambda: to_json({word: document})[1:-1],
            variables={"REASON": reason} if reason else {},
        )

    async def _final(self) -> JobFinal:
        jobs = await self._world.db(self._world.store.progress)
        one = next(job for job in jobs if job.address == self._job)
        return JobFinal(
            address=self._job,
            items=one.items,
            outcomes={str(outcome): n for outcome, n in one.outcomes.items()},
            usage=one.usage,
            cost=one.cost,
            turns=one.turns,
        )

    # --- telling it

    async def _deliver(self, target: Target, thing: _Thing, attempt: int, hook: str) -> str | None:
        """Tell it; returns why that failed."""
        timeout = target.timeout if isinstance(target, Command) else TIMEOUT
        try:
            with anyio.move_on_after(timeout) as scope:
                if isinstance(target, Command):
                    await self._execute(target, thing, attempt, hook)
                else:
                    await self._call(target, thing, attempt)
        except FunctionRaised as error:
            return raised(error.error)
        except CommandFailed as error:
            return shortened(redacted(str(error)))
        except Exception as error:  # noqa: BLE001 - `deps` raise what they like
            return raised(error)
        return f"it took longer than {timeout:g} s" if scope.cancelled_caught else None

    async def _call(self, function: Callable[..., Any], thing: _Thing, attempt: int) -> None:
        here, given = self._world.here, [thing.value]
        if takes_context(function):
            made = await self._world.jobs[self._job].deps_here()
            context = RunContext[Any](
                deps=made,
                job=self._job,
                key=thing.key,
                row=thing.row,
                call_id=thing.name,
                attempt=attempt,
            )
            given.insert(0, context)
        call = partial(function, *given)
        called = function if inspect.isroutine(function) else getattr(function, "__call__", None)  # noqa: B004
        if inspect.iscoroutinefunction(called):
            await here.loop.run(call)
            return
        result = await here.threads.run(call)
        if is_async(result):
            await here.loop.run(partial(awaited, result))

    async def _execute(self, command: Command, thing: _Thing, attempt: int, hook: str) -> None:
        # Reading an output runs functions of the spec.
        body = cast("bytes", await self._world.here.threads.run(thing.document))
        head = {"hook": hook, "id": thing.name, "attempt": attempt, "job": self._job}
        named = {
            "NAME": hook,
            "ID": thing.name,
            "ATTEMPT": str(attempt),
            "JOB": self._job,
            "ADDRESS": thing.address,
            **thing.variables,
        }
        await run_command(
            command.argv,
            to_json(head)[:-1] + b"," + body + b"}\n",
            {f"HOOK_{name}": _variable(value) for name, value in named.items()},
            self._local.folder,
        )


def _variable(value: str) -> str:
    """Return a value as an environment can hold it."""
    cut = value.encode("utf-8", "replace")[:_VALUE].replace(b"\0", b"")
    return cut.decode("utf-8", "ignore")


def _plain(final: JobFinal) -> dict[str, Any]:
    return asdict(final) | {"usage": final.usage._asdict()}


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
