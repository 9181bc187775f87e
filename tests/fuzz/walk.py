"""A walk: somebody edits specs and data, things go wrong, processes die; then it becomes quiet.

Every step is a method with plain arguments and is written down, so that a walk that fails can be
printed as a program. What must hold is checked after each step, and once it has become quiet.
"""

import inspect
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Self

import anyio
from worlds import BASE_URL, World

from batchspec.errors import BatchspecError, RefusedError
from batchspec.ids import FileId
from batchspec.plan.changes import Kind, Plan
from batchspec.project import Project
from batchspec.providers.openai.client import OpenAIClient
from batchspec.simulator import AppTransport
from fuzz.desires import KINDS, MODELS, Desires, EchoModel, Wish, first_digest
from fuzz.troubles import TROUBLES, Killed, Reaper, mortal

P = ParamSpec("P")
Step = Callable[Concatenate["Walk", P], None]
_PASSES = 4
"""Applies after which a quiet world must be as it is wanted."""
_UNANSWERED = {"expired", "cancelled"}
_UNDER_WAY = "phase <> 'final'"
_UNSENT = "turn = 1 AND phase IN ('pending', 'batched')"
"""First turns that earlier plans left to be sent, or sent again."""
_TOKENS = 1e-5
"""US dollars by which a plan may be off, for tokens that are rounded."""
_ROWS = 6
"""Keys and values are few, so that rows come back and requests are equal."""


class WalkWorld(World):
    """A world whose calls are moments of death, with a client that never waits in real time."""

    def __init__(self, root: Path, echo: EchoModel) -> None:
        super().__init__(root, model=echo)
        self.wire = self.reaper = Reaper(self.app)
        self.hook.react = mortal(self.reaper)

    def client(self) -> OpenAIClient:
        transport = AppTransport(self.wire)
        return OpenAIClient(api_key="test", base_url=BASE_URL, transport=transport, retries=0)


@dataclass(frozen=True, slots=True)
class Seen:
    """An item as a reader sees it."""

    outcome: str | None
    text: str | None
    previous: bool

    @property
    def accepted(self) -> bool:
        return self.text is not None and self.outcome == "succeeded"


def step(method: Step[P]) -> Step[P]:
    """Write a step down; one that fails says the whole walk, as a program."""

    @wraps(method)
    def noted(walk: "Walk", *args: P.args, **kwargs: P.kwargs) -> None:
        bound = inspect.signature(method).bind(walk, *args, **kwargs)
        told = ", ".join(f"{k}={v!r}" for k, v in list(bound.arguments.items())[1:])
        walk.steps.append(f"{method.__name__}({told})")
        try:
            method(walk, *args, **kwargs)
            walk.world.check()
        except BaseException as error:
            if not isinstance(error, KeyboardInterrupt):
                error.add_note(walk.program())
            raise

    return noted


class Walk:
    """One world, what is wanted of it, and what has happened so far.

    Attributes:
        steps: So far, as calls.
        lossy: Whether something may have taken an answer after it was paid.
        again: How often somebody asked for answers anew.
        refused: Whether the last apply was refused or went wrong.
    """

    def __init__(self, seed: int = 0) -> None:
        self.steps: list[str] = []
        self.desires = Desires()
        self.echo = EchoModel()
        self.seed = seed
        self.lossy = False
        self.again = 0
        self.error: BatchspecError | None = None
        self._names = 0
        self.saved: Plan | None = None
        self._used = False
        self._gone: dict[str, Wish] = {}
        self._root = Path(tempfile.mkdtemp(prefix="walk-"))
        self._file = self._root / "later.plan"
        self.world = WalkWorld(self._root, self.echo)
        self.world.faults.seed = seed

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self.world.close()
        shutil.rmtree(self._root, ignore_errors=True)

    def program(self) -> str:
        """Return what has happened as a program that does it again."""
        lines = "\n".join(f"    walk.{told}" for told in self.steps)
        return (
            "# To try it again: PYTHONPATH=tests .venv/bin/python thisfile.py\n"
            f"from fuzz.walk import Walk\n\nwith Walk(seed={self.seed}) as walk:\n{lines}\n"
        )

    # --- what people want

    @step
    def add(self, kind: int, rows: int = 3, upstream: int = 0) -> None:
        """Add a job."""
        what = KINDS[kind % len(KINDS)]
        above = [w for w in self.desires.wishes.values() if w.kind in {"plain", "tooled"}]
        self._names += 1
        wish = Wish(f"j{self._names}", what, rows=tuple((f"r{n}", n) for n in range(rows)))
        if what in {"derived", "collected"}:
            wish = replace(wish, kind="plain")
            if above:
                up = above[upstream % len(above)]
                wish = replace(wish, kind=what, upstream=up.name, module=up.module, rows=())
        self.desires.wishes[wish.name] = wish

    @step
    def edit(self, job: int, part: str, value: Any) -> None:
        """Change one part of a job."""
        if wish := self._wish(job):
            self.desires.change(wish.name, **{part: value})

    @step
    def rename(self, job: int) -> None:
        """Give a job another name."""
        wish = self._wish(job)
        if wish and self._may_leave(wish.name):
            self._names += 1
            name = f"j{self._names}"
            known = self.desires.wishes
            self.desires.wishes = {
                (name if w.name == wish.name else w.name): replace(
                    w,
                    name=name if w.name == wish.name else w.name,
                    upstream=name if w.upstream == wish.name else w.upstream,
                )
                for w in known.values()
            }

    @step
    def move(self, job: int, module: str) -> None:
        """Put a job, and those whose rows come from it, into another file."""
        wish = self._wish(job)
        if wish and wish.upstream is None:
            names = self.desires.with_dependents(wish.name)
            for name in names if self._may_leave(*names) else ():
                self.desires.change(name, module=module)

    @step
    def remove(self, job: int) -> None:
        """Remove a job, and those whose rows come from it."""
        if wish := self._wish(job):
            names = self.desires.with_dependents(wish.name)
            for name in names if self._may_leave(*names) else ():
                del self.desires.wishes[name]

    @step
    def put_row(self, job: int, key: int, value: int) -> None:
        """Add a row, or change it."""
        if wish := self._wish(job):
            rows = dict(wish.rows) | {f"r{key % _ROWS}": value % _ROWS}
            self._set_rows(wish, rows)

    @step
    def drop_row(self, job: int, key: int) -> None:
        """Remove a row; the last one stays."""
        if (wish := self._wish(job)) and len(wish.rows) > 1:
            rows = dict(wish.rows)
            rows.pop(f"r{key % _ROWS}", None)
            self._set_rows(wish, rows or dict(wish.rows))

    @step
    def rename_key(self, job: int, key: int) -> None:
        """Give a row another key."""
        if wish := self._wish(job):
            old = f"r{key % _ROWS}"
            self._set_rows(wish, {(k + "x" if k == old else k): v for k, v in wish.rows})

    @step
    def reverse_rows(self, job: int) -> None:
        """Put the rows into another order."""
        if wish := self._wish(job):
            self._set_rows(wish, dict(reversed(wish.rows)))

    def _protected(self) -> set[str]:
        return {address for (address,) in self._rows("SELECT address FROM jobs WHERE protect")}

    def _may_leave(self, *names: str) -> bool:
        """Remember jobs that leave their addresses; not a protected one made of others' rows."""
        leaving = [self.desires.wishes[name] for name in names]
        if any(w.upstream and (w.protect or w.address in self._protected()) for w in leaving):
            return False
        self._gone.update((w.address, w) for w in leaving)
        return True

    def _let_go(self) -> None:
        """Put protected jobs that are gone back for one apply, as a person is told to."""
        wishes = self.desires.wishes
        here = {wish.address for wish in wishes.values()}
        back = [self._gone[a] for a in self._protected() - here if a in self._gone]
        if back:
            returned = {
                w.address: replace(w, protect=False, enabled=True, max_cost=None) for w in back
            }
            self.desires.wishes = wishes | returned
            for _ in range(_PASSES):
                self._apply()
            self.desires.wishes = wishes

    def _set_rows(self, wish: Wish, rows: dict[str, int]) -> None:
        if wish.upstream is None:
            self.desires.change(wish.name, rows=tuple(rows.items()))

    def _addresses(self, job: int | None) -> list[str]:
        wish = None if job is None else self._wish(job)
        return [wish.address] if wish else []

    def _wish(self, job: int) -> Wish | None:
        wishes = list(self.desires.wishes.values())
        return wishes[job % len(wishes)] if wishes else None

    # --- what goes wrong

    @step
    def trouble(self, number: int, times: int = 1) -> None:
        """Let something go wrong at the provider, or on the way to it."""
        found = TROUBLES[number % len(TROUBLES)]
        self.lossy |= found.loses
        self.world.faults.add(found.fault, times=times, **found.options)

    @step
    def lag(self) -> None:
        """Let the provider's lists lag behind, as long as there are troubles."""
        self.world.faults.add("list_lag", seconds=30.0)
        self.world.faults.add("file_unlisted", seconds=30.0)

    @step
    def cancel_there(self) -> None:
        """Cancel every open batch, as somebody with the same account could."""
        self.world.server.cancel_batches()

    @step
    def delete_files_there(self, outputs: bool) -> None:
        """Delete files at the provider, as somebody with the same account could."""
        client = OpenAIClient(
            api_key="test", base_url=BASE_URL, transport=AppTransport(self.world.app), retries=0
        )
        names = ("output_file_id", "error_file_id") if outputs else ("input_file_id",)
        for batch in self.world.remote():
            for file in {batch[name] for name in names} - {None, ""}:
                self.lossy |= outputs
                anyio.run(client.delete_file, FileId(file))

    @step
    def limits(self, max_requests: int = 50_000, min_requests: int = 1, tokens: int = 0) -> None:
        """Say what the account allows."""
        openai = self.world.settings.providers["openai"]
        values = {"max_requests": max_requests, "min_requests": min_requests}
        enqueued = {"max_enqueued_tokens": dict.fromkeys(MODELS, tokens) if tokens else {}}
        limits = openai.limits.model_copy(update=values | enqueued)
        changed = {"providers": {"openai": openai.model_copy(update={"limits": limits})}}
        self.world.settings = self.world.settings.model_copy(update=changed)

    @step
    def wait(self, seconds: int) -> None:
        """Let time pass."""
        self.world.clock.advance(float(seconds))

    # --- what is run

    @step
    def apply(
        self,
        *,
        detach: bool = False,
        target: int | None = None,
        replace_job: int | None = None,
        dies: int | None = None,
    ) -> None:
        """Plan and apply, as a process of its own; `dies` counts the moments until its death."""
        if self.desires.wishes:
            chosen, anew = self._addresses(target), self._addresses(replace_job)
            self.again += bool(anew)
            self._apply(detach=detach, targets=chosen, anew=anew, dies=dies)

    @step
    def refresh(self, dies: int | None = None) -> None:
        """Look at what is open; nothing is sent."""
        reaper = self.world.reaper
        before = reaper.count("POST", "/batches|/files")
        self._run(lambda project: project.refresh(hook=self.world.hook), dies)
        assert reaper.count("POST", "/batches|/files") == before, "a refresh sent something"

    @step
    def cancel(self, job: int, *, detach: bool = False, dies: int | None = None) -> None:
        """Stop what is under way for a job."""
        if wish := self._wish(job):
            hook = self.world.hook
            self._run(lambda project: project.cancel(wish.address, detach=detach, hook=hook), dies)

    @step
    def gc(self, dies: int | None = None) -> None:
        """Delete what nothing needs any more; every answer stays."""
        before = self._items()
        self._run(lambda project: project.state.gc(hook=self.world.hook), dies)
        assert self._items() == before

    @step
    def forget(self, job: int) -> None:
        """Drop a job from the state; its answers are kept, and found again for nothing."""
        if wish := self._wish(job):
            self._run(lambda project: project.state.forget([wish.address]))

    @step
    def save(self, target: int | None = None) -> None:
        """Save a plan, to be applied later."""
        if self.desires.wishes:
            self._write()
            self.saved, self._used = None, False

            def act(project: Project) -> None:
                plan = project.plan(targets=self._addresses(target), allow_empty=True)
                project.save_plan(plan, self._file)
                self.saved = plan

            self._run(act)

    @step
    def apply_saved(self, *, detach: bool = False, dies: int | None = None) -> None:
        """Apply the plan that was saved, whatever has happened meanwhile; never twice."""
        saved = self.saved
        if saved is None or not self.desires.wishes:
            return
        self._write()

        def make(project: Project) -> Plan:
            plan = project.replan(project.load_plan(self._file))
            assert plan.requests <= saved.requests, "it sends more than was saved"
            return plan

        self._carry_out(make, detach=detach, dies=dies)
        assert not (self._used and self.world.reaper.sent), "a plan was applied twice"
        self._used |= bool(self.world.reaper.sent)

    @step
    def destroy(
        self, job: int, *, answers: bool = False, detach: bool = False, dies: int | None = None
    ) -> None:
        """Remove a job from the state; it is still wanted."""
        if wish := self._wish(job):
            options = {"answers": answers, "detach": detach, "hook": self.world.hook}
            self._run(lambda project: project.destroy(wish.address, **options), dies)
            self.again += answers

    @step
    def look(self) -> None:
        """Make a plan and think again: nothing changes."""
        if self.desires.wishes:
            before, serial = self.world.reaper.writes, self._rows("SELECT * FROM journal")
            self._write()
            self._run(lambda project: project.plan(whole=False, allow_empty=True))
            assert self.world.reaper.writes == before, "a plan changed something at the provider"
            assert self._rows("SELECT * FROM journal") == serial, "a plan changed the state"

    @step
    def taint(self, job: int, key: int) -> None:
        """Say that an answer is bad."""
        if wish := self._wish(job):
            self._run(lambda project: project.taint(f'{wish.address}["r{key % _ROWS}"]'))
            self.again += self.error is None  # or it is not on record

    @step
    def quiet(self) -> None:
        """Let all troubles end; what is wanted must come about, and nothing more be done."""
        world, wishes = self.world, self.desires.wishes
        world.faults.clear()
        world.clock.advance(7200.0)
        for name, wish in list(wishes.items()):
            # Nobody's rows can come from a job that is switched off.
            enabled = wish.enabled or len(self.desires.with_dependents(name)) > 1
            self.desires.change(name, protect=False, max_cost=None, enabled=enabled)
        if not wishes:
            return
        self._let_go()
        for _ in range(_PASSES):
            self._apply()
            if self.error is None and not self._plan().can_apply:
                break
        assert self.error is None, f"it does not come to rest: {self.error}"
        plan = self._plan()
        assert not plan.can_apply, f"{_PASSES} passes did not suffice: {_told(plan)}"
        for _ in range(2):
            before = world.reaper.writes
            self._apply()
            assert world.reaper.writes == before, "there was nothing to do, and it was done"
            assert not self._plan().can_apply
            world.clock.advance(86_400.0)
        self._check_answers()
        self._check_paid_once()

    def _write(self) -> None:
        folder = self._root / "specs"
        shutil.rmtree(folder, ignore_errors=True)
        for name, source in self.desires.modules().items():
            self.world.spec(source, name)

    def _plan(self) -> Plan:
        self._write()
        with self.world.open() as project:
            return project.plan(allow_empty=True)

    def _apply(
        self,
        *,
        detach: bool = False,
        targets: Sequence[str] = (),
        anew: Sequence[str] = (),
        dies: int | None = None,
    ) -> None:
        self._write()
        self._carry_out(
            lambda project: project.plan(targets=targets, replace=anew, allow_empty=True),
            detach=detach,
            dies=dies,
        )

    def _carry_out(
        self, make: Callable[[Project], Plan], *, detach: bool = False, dies: int | None = None
    ) -> None:
        """Make a plan and apply it, and see that no more is done than it says."""
        world, reaper = self.world, self.world.reaper
        before, waiting, under_way = self._items(), self._count(_UNSENT), self._count(_UNDER_WAY)
        asked = self._asked()
        last = self._last_batch()
        reaper.sent.clear()
        plan: Plan | None = None

        def act(project: Project) -> None:
            nonlocal plan
            plan = make(project)
            project.apply(plan, hook=world.hook, detach=detach)

        self._run(act, dies)
        self._check_old_answers(before, asked)
        if plan is not None:
            self._check_within(plan, waiting)
            self._check_ceiling(plan, last)
            if not (self.lossy or under_way or self.error or self._talkative()):
                self._check_cost(plan)
        if isinstance(self.error, RefusedError) and "does not suffice" not in str(self.error):
            assert not reaper.sent, "it was refused, and something was sent"

    def _run(self, act: Callable[[Project], object], dies: int | None = None) -> None:
        """Let a process do something; what it says, or its death, is no failure."""
        self.error = None
        with self.world.open() as project:
            try:
                self.world.reaper.left = dies
                act(project)
            except BatchspecError as error:
                self.error = error
            except Killed:
                pass
            except BaseExceptionGroup as errors:
                if errors.split((Killed, BatchspecError))[1] is not None:
                    raise
            finally:
                self.world.reaper.left = None

    # --- what must hold

    def _rows(self, sql: str) -> list[Any]:
        file = self.world.state / "batchspec.db"
        if not file.exists():
            return []
        with sqlite3.connect(file) as db:
            return db.execute(sql).fetchall()

    def _count(self, where: str) -> int:
        rows = self._rows(f"SELECT COUNT(*) FROM conversations WHERE {where}")
        return rows[0][0] if rows else 0

    def _items(self) -> dict[tuple[str, str], Seen]:
        found: dict[tuple[str, str], Seen] = {}
        with self.world.open() as project:
            for (address,) in self._rows("SELECT address FROM jobs WHERE NOT removed"):
                found |= _seen(project, address)
        return found

    def _asked(self) -> dict[tuple[str, str], tuple[int, str | None, int]]:
        """Return of every item whose answer it wants, how that ended, and in how many tries."""
        sql = (
            "SELECT j.address, i.key, c.id, c.outcome, c.tries FROM items i "
            "JOIN conversations c ON c.id = i.conversation JOIN jobs j ON j.id = i.job"
        )
        return {(address, key): tuple(rest) for address, key, *rest in self._rows(sql)}

    def _check_old_answers(
        self,
        before: dict[tuple[str, str], Seen],
        asked: dict[tuple[str, str], tuple[int, str | None, int]],
    ) -> None:
        """See that every accepted answer is readable, as it was, until another one is accepted.

        Under the name its row has now: a row that is there under no old name and asks what a row
        asked that is gone is that one.
        """
        after, now = self._items(), self._asked()
        wanted = {w.address: {key for key, _ in w.rows} for w in self.desires.wishes.values()}
        for (address, key), old in before.items():
            if old.text is None or key not in wanted.get(address, ()):
                continue
            new = after.get((address, key))
            assert new is not None, f"{address}[{key}] is gone"
            assert new.text is not None or new.outcome is not None, f"{address}[{key}]: no answer"
            if old.accepted and now[address, key][1] != "succeeded":
                # A new judgement of the same reply is no loss.
                judged = now[address, key] != asked[address, key] and (
                    now[address, key][::2] == asked[address, key][::2]
                )
                assert judged or new.text == old.text, f"{address}[{key}]: {old} became {new}"
        left = {asked[name][0]: before[name] for name in before.keys() - after.keys()}
        for name in after.keys() - before.keys():
            old = left.get(now[name][0])
            if old and old.accepted and now[name][1] != "succeeded":
                same = [before[n].text for n in before if asked[n][0] == now[name][0]]
                assert after[name].text in same, f"{name}: {old} became {after[name]}"

    def _check_within(self, plan: Plan, waiting: int) -> None:
        """See that no more was sent for the first time than this plan and earlier ones said."""
        sent = self.world.reaper.sent
        assert len(sent) <= plan.requests + waiting, f"{len(sent)} sent: {_told(plan)}"
        sql = "SELECT lower(hex(substr(c.fingerprint, 1, 8))) FROM conversations c"
        known = {name for (name,) in self._rows(sql)}
        assert sent <= known

    def _last_batch(self) -> int:
        rows = self._rows("SELECT number FROM batches ORDER BY number DESC LIMIT 1")
        return rows[0][0] if rows else 0

    def _talkative(self) -> bool:
        """Tell whether tools have said more than a plan could know."""
        return bool(self._rows("SELECT 1 FROM tool_calls WHERE length(result) > 10000"))

    def _check_ceiling(self, plan: Plan, last: int) -> None:
        """See that the batches a saved plan made cost no more than it says, whatever else came."""
        if plan.ceiling is None:
            return
        turns = "SELECT SUM(cost) FROM turns t WHERE t.conversation = c.id"
        (spent,) = self._rows(
            f"SELECT (SELECT total(cost) FROM turns WHERE batch > {last}) + "
            f"(SELECT total(c.cost - coalesce(({turns}), 0)) FROM conversations c "
            f"WHERE c.batch > {last})"
        )[0]
        assert spent <= float(plan.ceiling) + _TOKENS, f"${spent} > {plan.ceiling}: {_told(plan)}"

    def _check_cost(self, plan: Plan) -> None:
        with self.world.open() as project, project.reader() as reader:
            spent = float(reader.spent() or 0) - float(plan.spent or 0)
        if plan.priced and not plan.counts.get(Kind.CONTINUE):
            assert spent <= float(plan.cost_at_most) + 1e-9, f"${spent}: {_told(plan)}"

    def _check_answers(self) -> None:
        """See that every wanted row ended, and has the answer of its own request."""
        with self.world.open() as project:
            project.load()
            for wish in self.desires.wishes.values():
                if not wish.enabled:
                    continue
                seen = _seen(project, wish.address)
                keys = {key for key, _ in wish.rows} or {key for _, key in seen}
                assert {key for _, key in seen} == keys, f"{wish.address}: {seen}"
                for (address, key), item in seen.items():
                    outcome = self._outcome(address, key)
                    assert outcome not in {None, *_UNANSWERED}, f"{address}[{key}]: {outcome}"
                    # An answer is not given up for one that was not accepted.
                    assert not item.previous or outcome != "succeeded", f"{address}[{key}]"
                    if outcome == "succeeded":
                        request = project.render(f"{address}[{json.dumps(key)}]").request
                        assert first_digest(request["body"]) in (item.text or ""), (address, key)

    def _outcome(self, address: str, key: str) -> str | None:
        sql = (
            "SELECT c.outcome FROM items i JOIN conversations c ON c.id = i.conversation "
            f"JOIN jobs j ON j.id = i.job WHERE j.address = '{address}' AND i.key = '{key}'"
        )
        outcome: str | None = self._rows(sql)[0][0]
        return outcome

    def _check_paid_once(self) -> None:
        """See that no request was answered twice, unless something was lost or asked for anew."""
        if not self.lossy:
            most = max(self.echo.asked.values(), default=0)
            assert most <= 1 + self.again, f"a request was answered {most} times"


def _seen(project: Project, address: str) -> dict[tuple[str, str], Seen]:
    return {
        (address, item.key): Seen(item.outcome, item.text, item.previous)
        for item in project.results(address)
    }


def _told(plan: Plan) -> str:
    return "; ".join(
        f"{job.address}: {dict(job.counts)} {[r.code for r in job.reasons]} {job.requests} requests"
        for job in plan.jobs
    )
