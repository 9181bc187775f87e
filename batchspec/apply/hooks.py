"""Telling users' hooks what became final, and what went wrong: at least once, beside the run."""

import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import anyio
import anyio.to_thread
from pydantic_core import to_json

from batchspec.apply.commands import CommandFailed, run_command
from batchspec.apply.series import Call, Late, Series
from batchspec.apply.telling import Thing, error_thing, final_thing, item_thing
from batchspec.apply.threads import FunctionRaised
from batchspec.apply.world import LocalHooks, World
from batchspec.errors import shortened, storable
from batchspec.ids import JobAddress, RowKey
from batchspec.reconcile.retry import backoff
from batchspec.redaction import raised, redacted
from batchspec.spec.context import RunContext, takes_context
from batchspec.spec.hooks import HOOKS, Command, Hook, JobError
from batchspec.spec.result import awaited, is_async
from batchspec.state.hooks import Delivery, Position, Told

CHUNK, MOST = 50, 400
"""Deliveries that are read and recorded together, which a crash tells again: at first, and where
they are told quickly."""
_QUICKLY = 0.5
"""Seconds for such a chunk."""
_SLICE = 1.0
"""Seconds in which a job's hooks are told before the loop looks what else there is to do."""
_AT_ONCE = 8
"""Deliveries of one job that run at once."""
_FIRST, _LONGEST = 5.0, 600.0
"""Seconds until the second try, and at most between two."""
_VALUE = 4_000
"""Bytes of a variable in the environment of a command, which may be no longer than 128 KiB."""


def hooks_due(world: World) -> dict[JobAddress, float]:
    """Return when hooks are to be told something, by job; blocking."""
    due = ((job, world.store.hook_due(job, whole=job not in world.waiting)) for job in world.hooked)
    return {job: at for job, at in due if at is not None}


async def do_hooks(
    world: World, job: JobAddress, draining: Callable[[], bool], *, errors_only: bool = False
) -> None:
    """Tell the hooks of a job what they are to be told, for a while.

    Args:
        world: What it works with.
        job: Whose hooks.
        draining: Asked before each delivery: whether none is to be begun.
        errors_only: Whether only errors are told.
    """
    began, chunk = world.clock.now(), CHUNK
    while True:
        now, whole = world.clock.now(), job not in world.waiting
        found = await world.db(partial(world.store.deliveries, job, now, chunk, whole=whole))
        if errors_only:
            found = [one for one in found if one.kind == "error"]
        well = await _tell(world, job, found, draining)
        if not found or errors_only or draining() or world.clock.now() - began >= _SLICE:
            return
        quickly = well and world.clock.now() - now < _QUICKLY
        chunk = min(2 * chunk, MOST) if quickly else CHUNK


async def _tell(
    world: World, job: JobAddress, found: Sequence[Delivery], draining: Callable[[], bool]
) -> bool:
    """Tell some deliveries and record what came of it; False: one of them failed."""
    local = world.hooked[job]
    keys = [one.key for one in found if one.key is not None and not one.stale]
    items: Mapping[RowKey, Any] = {}
    if keys:
        items = await anyio.to_thread.run_sync(local.read, keys)
    telling = _Telling(
        world=world, job=job, local=local, found=found, items=items, draining=draining
    )
    told: list[Told] = []
    try:
        await telling.all()
    finally:
        # What was told is told again only if it cannot be recorded.
        with anyio.CancelScope(shield=True):
            if told := telling.told():
                await world.db(world.store.record_told, job, told, world.clock.now())
    return bool(told) and not any(one.error for one in told)


async def note_error(
    world: World, jobs: Sequence[JobAddress], what: str, name: str, reason: str
) -> list[JobAddress]:
    """Note what the `on_error` hooks of jobs are to be told; returns the jobs that have one."""
    payloads = _payloads(world, jobs, what, name, reason)
    if payloads:
        await world.db(world.store.note_deliveries, payloads, world.clock.now())
    return list(payloads)


async def tell_unrecorded(
    world: World, jobs: Sequence[JobAddress], what: str, name: str, reason: str
) -> None:
    """Tell the `on_error` hooks of jobs an error once, where the state cannot be written."""
    now = int(world.clock.now())
    for job, payload in _payloads(world, jobs, what, name, reason).items():
        delivery = Delivery("error", Position(now, 0, 0), payload=payload, id=now)
        telling = _Telling(
            world=world,
            job=job,
            local=world.hooked[job],
            found=[delivery],
            items={},
            draining=lambda: False,
        )
        await telling.all()


def _payloads(
    world: World, jobs: Sequence[JobAddress], what: str, name: str, reason: str
) -> dict[JobAddress, str]:
    """Return an error as it is kept for the jobs that have a hook for it."""
    hooked = [job for job in jobs if job in world.hooked and "error" in world.hooked[job].targets]
    now, said = world.clock.now(), storable(shortened(redacted(reason)))
    errors = (JobError(address=job, what=what, name=name, reason=said, since=now) for job in hooked)
    return {JobAddress(error.address): to_json(error).decode() for error in errors}


@dataclass(slots=True, kw_only=True)
class _Telling:
    """Deliveries of one job that were read together."""

    world: World
    job: JobAddress
    local: LocalHooks
    found: Sequence[Delivery]
    items: Mapping[RowKey, Any]
    draining: Callable[[], bool]
    _things: dict[int, Thing] = field(default_factory=dict[int, Thing])
    _ended: dict[int, str | None] = field(default_factory=dict[int, "str | None"])
    """Why they failed; None: they did not."""

    async def all(self) -> None:
        """Tell them, several at once, begun in their order."""
        target = self.local.targets.get("item")
        plain = isinstance(target, Hook) and not _is_async_function(target.function)
        kinds = {"item"} if plain else set[str]()
        short = [n for n, one in enumerate(self.found) if one.kind in kinds]
        others = [n for n, one in enumerate(self.found) if one.kind not in kinds]
        left = iter(others)
        async with anyio.create_task_group() as group:
            if short and isinstance(target, Hook):
                group.start_soon(self._functions, target, short)
            for _ in range(min(_AT_ONCE, len(others))):
                group.start_soon(self._some, left)

    def told(self) -> list[Told]:
        """Return what became of them, up to the first one of which nothing is known."""
        found: list[Told] = []
        for number, delivery in enumerate(self.found):
            if number not in self._ended:
                break
            found.append(self._told(number, delivery))
        return found

    def _told(self, number: int, delivery: Delivery) -> Told:
        thing, target = self._things.get(number), self.local.targets.get(delivery.kind)
        if thing is None or target is None:
            return Told(delivery)
        why = self._ended[number]
        if why is None:
            self.world.told_at = self.world.clock.now()
            return Told(delivery)
        tries = delivery.attempts + 1
        if tries > target.retries:
            self.world.hook.warning(
                f"{HOOKS[delivery.kind]} of {self.job} was not told of {thing.address}, and is "
                f"passed over after {tries} tries: {why}"
            )
            return Told(delivery, why)
        wait = backoff(tries, first=_FIRST, cap=_LONGEST, name=thing.name)
        return Told(delivery, why, self.world.clock.now() + wait, thing.payload())

    # --- functions that are called for one item after the other

    async def _functions(self, target: Hook, numbers: Sequence[int]) -> None:
        made: Any = None
        function, asks = target.function, takes_context(target.function)
        if asks:
            try:
                made = await self.world.jobs[self.job].deps_here()
            except Exception as error:  # noqa: BLE001 - `deps` raise what they like
                self._none_of(numbers, raised(error))
                return
        pending: list[tuple[int, Any]] = []
        series = Series(
            self.world.here.threads,
            self._calls(function, numbers, made, asks=asks),
            self._called,
            lambda number, result: pending.append((number, result)),
            target.timeout,
        )
        await series.run(_AT_ONCE)
        for number, result in pending:
            run = partial(self.world.here.loop.run, partial(awaited, result))
            self._ended[number] = await _within(target.timeout, run)

    def _none_of(self, numbers: Sequence[int], why: str) -> None:
        for number in numbers:
            if (thing := self._item(self.found[number])) is not None:
                self._things[number] = thing
            self._ended[number] = why

    def _calls(
        self, function: Callable[..., Any], numbers: Sequence[int], made: Any, *, asks: bool
    ) -> Iterator[Call]:
        for number in numbers:
            if self.draining():
                return
            delivery = self.found[number]
            thing = self._item(delivery)
            if thing is None:
                self._ended[number] = None
                continue
            self._things[number] = thing
            given = [self._context(thing, delivery.attempts + 1, made)] if asks else []
            yield Call(number, partial(function, *given, thing.value))

    def _called(self, number: int, error: BaseException | None) -> None:
        if error is None:
            self._ended[number] = None
        else:
            self._ended[number] = str(error) if isinstance(error, Late) else raised(error)

    # --- everything else

    async def _some(self, left: Iterator[int]) -> None:
        for number in left:
            if self.draining():
                return
            delivery = self.found[number]
            target = self.local.targets.get(delivery.kind)
            thing = None if target is None else await self._thing(delivery)
            if target is None or thing is None:
                self._ended[number] = None
                continue
            self._things[number] = thing
            attempt, hook = delivery.attempts + 1, HOOKS[delivery.kind]
            if isinstance(target, Command):
                run = partial(self._execute, target, thing, attempt, hook)
            else:
                run = partial(self._call, target.function, thing, attempt)
            self._ended[number] = await _within(target.timeout, run)

    async def _thing(self, delivery: Delivery) -> Thing | None:
        """Return what is told; None: there is nothing to tell any more."""
        match delivery.kind:
            case "item":
                return self._item(delivery)
            case "error":
                return error_thing(self.job, delivery)
            case "job":
                return await final_thing(self.world, self.job, delivery)

    def _item(self, delivery: Delivery) -> Thing | None:
        return item_thing(self.job, delivery, self.items, self.local.document)

    def _context(self, thing: Thing, attempt: int, made: Any) -> RunContext[Any]:
        return RunContext[Any](
            deps=made,
            job=self.job,
            key=thing.key,
            row=thing.row,
            call_id=thing.name,
            attempt=attempt,
        )

    async def _call(self, function: Callable[..., Any], thing: Thing, attempt: int) -> None:
        here, given = self.world.here, [thing.value]
        if takes_context(function):
            made = await self.world.jobs[self.job].deps_here()
            given.insert(0, self._context(thing, attempt, made))
        call = partial(function, *given)
        if _is_async_function(function):
            await here.loop.run(call)
            return
        result = await here.threads.run(call)
        if is_async(result):
            await here.loop.run(partial(awaited, result))

    async def _execute(self, command: Command, thing: Thing, attempt: int, hook: str) -> None:
        # Reading an output runs functions of the spec.
        body = cast("bytes", await self.world.here.threads.run(thing.document))
        head = {"hook": hook, "id": thing.name, "attempt": attempt, "job": self.job}
        named = {
            "NAME": hook,
            "ID": thing.name,
            "ATTEMPT": str(attempt),
            "JOB": self.job,
            "ADDRESS": thing.address,
            **thing.variables,
        }
        await run_command(
            command.argv,
            to_json(head)[:-1] + b"," + body + b"}\n",
            {f"HOOK_{name}": _variable(value) for name, value in named.items()},
            self.local.folder,
        )


async def _within(seconds: float, run: Callable[[], Awaitable[Any]]) -> str | None:
    """Tell it; returns why that failed."""
    try:
        with anyio.move_on_after(seconds) as scope:
            await run()
    except FunctionRaised as error:
        return raised(error.error)
    except CommandFailed as error:
        return shortened(redacted(str(error)))
    except Exception as error:  # noqa: BLE001 - `deps` raise what they like
        return raised(error)
    return f"it took longer than {seconds:g} s" if scope.cancelled_caught else None


def _is_async_function(function: Callable[..., Any]) -> bool:
    called = function if inspect.isroutine(function) else getattr(function, "__call__", None)  # noqa: B004
    return inspect.iscoroutinefunction(called)


def _variable(value: str) -> str:
    """Return a value as an environment can hold it."""
    cut = value.encode("utf-8", "replace")[:_VALUE].replace(b"\0", b"")
    return cut.decode("utf-8", "ignore")
