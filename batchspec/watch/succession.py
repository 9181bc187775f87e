"""Which engine is in charge, and what is done when one loads, fails, ends, or files change: pure.

Specs are loaded in a fresh interpreter each time. An engine that loads waits until the one before
it has ended, and takes over; one that does not load changes nothing but a condition, so that what
was in force last stays in force.
"""

from dataclasses import dataclass, replace

from batchspec.errors import Diagnostic
from batchspec.reconcile.retry import backoff
from batchspec.state.watching import ConditionChanged, ConditionStatus, ConditionType
from batchspec.watch.news import (
    CodeChanged,
    DataChanged,
    DrainOver,
    HasBeenWell,
    HasEnded,
    HasLoaded,
    HasNotLoaded,
    HasNotStarted,
    HasStuck,
    News,
    StartDue,
    StopWanted,
)
from batchspec.watch.protocol import Command, Drain, Go, Note, Replan

FIRST, LONGEST = 1.0, 300.0
"""Seconds until an engine that died is started again; each further death doubles them."""
WELL = 600.0
"""Seconds after which an engine that then dies has run well."""

# --- what is to be done


@dataclass(frozen=True, slots=True)
class Start:
    """Start an engine; without specs it only looks after what is under way."""

    engine: int
    specs: bool = True


@dataclass(frozen=True, slots=True)
class Tell:
    """Give a command to an engine."""

    engine: int
    command: Command


@dataclass(frozen=True, slots=True)
class Kill:
    """End the process of an engine at once."""

    engine: int


@dataclass(frozen=True, slots=True)
class Report:
    """Tell people of a condition that no engine could record yet."""

    condition: ConditionChanged


@dataclass(frozen=True, slots=True)
class Warn:
    """Tell people a sentence."""

    message: str


@dataclass(frozen=True, slots=True)
class Later:
    """Report something after some seconds."""

    seconds: float
    news: StartDue | DrainOver | HasBeenWell


@dataclass(frozen=True, slots=True)
class End:
    """Nothing is left to do."""


Deed = Start | Tell | Kill | Report | Warn | Later | End


@dataclass(slots=True)
class Succession:
    """The engine in charge, the one that is to take over, and what is known of the specs.

    Attributes:
        current: The engine in charge.
        candidate: The engine that loads, or waits for the current one to end.
        fallback: An engine that has loaded and waited when files changed again: it takes over if
            what they hold now does not load.
    """

    current: int | None = None
    candidate: int | None = None
    fallback: int | None = None
    _last: int = 0
    _ready: bool = False
    """Whether the candidate has loaded."""
    _stopping: bool = False
    _deaths: int = 0
    _since: float = 0.0
    """When an engine took over, or could not."""
    _spec: ConditionChanged | None = None
    _running: ConditionChanged | None = None
    """What is said of engines that died, or could not be started; None: none did."""
    _caretaker_next: bool = False
    """Whether the candidate has none."""
    _killed: bool = False
    """Whether the last one was killed while it loaded specs, or never began to: nobody knows
    whether they load."""
    _over: bool = False
    """Whether the current one was told to drain, and has had the time for it."""

    @property
    def loading(self) -> bool:
        """Whether it is not known yet whether the specs load that were asked for last."""
        return self.candidate is not None and not self._ready

    def on(  # noqa: C901, PLR0911 - one per kind
        self, news: News, now: float
    ) -> list[Deed]:
        """Say what is to be done now that something has happened.

        Args:
            news: What happened; of an engine that is neither current nor candidate nothing counts.
            now: Unix seconds.
        """
        match news:
            case StopWanted():
                return self._stop()
            case HasEnded(engine=engine, code=code):
                return self._ended(engine, code, now)
            case _ if self._stopping:
                return []
            case HasLoaded(engine=engine, patience=patience):
                return self._loaded(engine, patience, now)
            case HasNotLoaded(engine=engine, problems=problems):
                return self._not_loaded(engine, problems, now)
            case HasNotStarted(engine=engine, why=why):
                return self._not_started(engine, why, now)
            case CodeChanged():
                return self._anew()
            case DataChanged():
                return self._data()
            case StartDue():
                return self._start_due()
            case DrainOver(engine=engine):
                return self._drain_over(engine)
            case HasBeenWell(engine=engine):
                return self._well(engine, now)
            case HasStuck(engine=engine):
                return [Warn(_STUCK), Kill(engine)] if engine == self.current else []

    def _anew(self, *, specs: bool = True) -> list[Deed]:
        """Start a candidate in the place of the one there is."""
        gone, self.fallback = (
            (self.fallback, self.candidate) if self._ready else (self.candidate, self.fallback)
        )
        deeds: list[Deed] = [] if gone is None else [Kill(gone)]
        self._last += 1
        self.candidate, self._ready = self._last, False
        self._caretaker_next = not specs
        self._killed &= not specs
        return [*deeds, Start(self._last, specs=specs)]

    def _start_due(self) -> list[Deed]:
        """Start an engine where none is, or where the newest specs were not loaded by chance."""
        if self.candidate is not None:
            return [Later(FIRST, StartDue())] if self._killed else []
        return self._anew() if self._killed or self.current is None else []

    def _data(self) -> list[Deed]:
        # Specs that did not load may have looked for the data.
        wrong = self._spec is not None and self._spec.status == "False"
        deeds = self._anew() if wrong and self.candidate is None else []
        return deeds if self.current is None else [*deeds, Tell(self.current, Replan())]

    def _loaded(self, engine: int, patience: float, now: float) -> list[Deed]:
        if engine != self.candidate:
            return []
        self._ready = True
        if not self._caretaker_next:
            self._spec = _said("SpecLoaded", "True", "Loaded", "The specs are loaded.", now)
        deeds: list[Deed] = [] if self.fallback is None else [Kill(self.fallback)]
        self.fallback = None
        if self.current is None:
            return [*deeds, *self._take_over(now)]
        if self._over:
            return [*deeds, *self._cut_short()]
        over = DrainOver(self.current)
        deeds.append(Tell(self.current, Drain()))
        return [*deeds, Later(patience, over)] if patience else deeds

    def _drain_over(self, engine: int) -> list[Deed]:
        if engine != self.current:
            return []
        self._over = True
        return self._cut_short()

    def _cut_short(self) -> list[Deed]:
        """End the current engine, which had the time to, unless another one still loads."""
        if not self._over or self.current is None or (self.candidate and not self._ready):
            return []
        return [Warn(_CUT_SHORT), Kill(self.current)]

    def _take_over(self, now: float) -> list[Deed]:
        assert self.candidate is not None  # noqa: S101 - it has loaded
        self.current, self.candidate, self._since = self.candidate, None, now
        self._over = self._ready = False
        deeds: list[Deed] = [Tell(self.current, Go())]
        notes = (self._spec, self._running)
        deeds += [Tell(self.current, Note(one)) for one in notes if one is not None]
        if self._running is not None and self._running.status == "False":
            deeds.append(Later(WELL, HasBeenWell(self.current)))
        return deeds

    def _well(self, engine: int, now: float) -> list[Deed]:
        if engine != self.current:
            return []
        if self._killed:
            return [Later(WELL, HasBeenWell(engine))]
        self._running = _said("Running", "True", "Runs", "The engine runs.", now)
        return [Tell(engine, Note(self._running))]

    def _not_loaded(self, engine: int, problems: tuple[Diagnostic, ...], now: float) -> list[Deed]:
        if engine != self.candidate or self._ready:
            return []
        self.candidate, self.fallback = self.fallback, None
        self._ready = self.candidate is not None
        stays = (
            "what was in force stays in force"
            if self.current or self.candidate
            else "open batches are looked after"
        )
        told = "\n".join(map(str, problems)) or "They could not be loaded."
        message = f"The specs do not load; {stays}. {told}"
        self._spec = _said("SpecLoaded", "False", "NotLoaded", message, now)
        deeds: list[Deed] = [Kill(engine)]
        if self.current is not None:
            return [*deeds, Tell(self.current, Note(self._spec)), *self._cut_short()]
        if self.candidate is not None:
            return [*deeds, *self._take_over(now)]
        deeds.append(Report(self._spec))
        if self._caretaker_next:
            # Not even the configuration is right: nothing can be looked after until it is.
            return deeds
        return [*deeds, *self._anew(specs=False)]

    def _not_started(self, engine: int, why: str, now: float) -> list[Deed]:
        """Let what is in force stay so, say once why, and try again after a while."""
        if engine != self.candidate:
            return []
        self.candidate, self.fallback = self.fallback, None
        self._ready, self._killed = self.candidate is not None, True
        said = _said("Running", "False", "NotStarted", _NOT_STARTED.format(why), now)
        before, self._running = self._running, said
        deeds = [*self._again(now), *self._cut_short()]
        if before is not None and replace(before, at=now) == said:
            return deeds
        if self.current is None:
            return [Report(said), *deeds]
        well = Later(WELL, HasBeenWell(self.current))
        return [Tell(self.current, Note(said)), well, *deeds]

    def _ended(self, engine: int, code: int, now: float) -> list[Deed]:
        if engine == self.candidate:
            return self._candidate_ended(engine, code, now)
        if engine != self.current:
            self.fallback = None if engine == self.fallback else self.fallback
            return []
        self.current = None
        if self._stopping:
            return self._gone()
        if self.candidate is not None:
            return self._take_over(now) if self._ready else []
        return self._died(code, now)

    def _candidate_ended(self, engine: int, code: int, now: float) -> list[Deed]:
        if self._stopping:
            self.candidate = None
            return self._gone()
        self._ready = False
        problem = Diagnostic(summary="the interpreter ended", detail=_how(code))
        deeds = self._not_loaded(engine, (problem,), now)
        if code >= 0:
            return deeds
        self._killed = True
        return [*deeds, *self._again(now)]

    def _again(self, now: float) -> list[Later]:
        """Start an engine after a while, which is longer each time in a row."""
        self._deaths = 1 if now - self._since > WELL else self._deaths + 1
        self._since = now
        return [Later(backoff(self._deaths, first=FIRST, cap=LONGEST), StartDue())]

    def _died(self, code: int, now: float) -> list[Deed]:
        (again,) = self._again(now)
        often = "" if self._deaths == 1 else f" for the {self._deaths}th time in a row"
        message = (
            f"The engine {ended_how(code)}{often}; it is started again in {again.seconds:.0f} s. "
            "Its own words, if any, are in the log."
        )
        self._running = _said("Running", "False", "EngineDied", message, now)
        return [Report(self._running), again]

    def _stop(self) -> list[Deed]:
        engines = [one for one in (self.current, self.candidate) if one is not None]
        if self._stopping:
            return [Kill(one) for one in engines] or [End()]
        self._stopping = True
        waiting = (self.candidate, self.fallback)
        deeds: list[Deed] = [Kill(one) for one in waiting if one is not None]
        if self.current is not None:
            deeds.append(Tell(self.current, Drain()))
        return deeds or [End()]

    def _gone(self) -> list[Deed]:
        return [End()] if self.current is None and self.candidate is None else []


def _said(
    kind: ConditionType, status: ConditionStatus, reason: str, message: str, now: float
) -> ConditionChanged:
    return ConditionChanged(type=kind, status=status, reason=reason, message=message, at=now)


_CUT_SHORT, _STUCK = (
    f"Calls of tools and hooks did not end in time (watch.drain_timeout), so that {what}: they are "
    "cut short, as by a crash. They run again, and of tools marked `once` their items fail."
    for what in ("new specs could not come into force", "nothing could be planned")
)

_NOT_STARTED = (
    "No engine can be started: {}. What is in force stays in force, and it is tried again, ever "
    "more rarely. See how many files and processes the watcher and its user may have."
)


def ended_how(code: int) -> str:
    """Return how a process ended, in words."""
    return f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"


def _how(code: int) -> str:
    again = " It is tried again." if code < 0 else ""
    how = ended_how(code)
    return f"It {how} before the specs were loaded. Its own words, if any, are above.{again}"
