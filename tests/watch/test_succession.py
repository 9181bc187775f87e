"""Which engine is in charge: a table of histories, without processes."""

import pytest

from batchspec.errors import Diagnostic
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
from batchspec.watch.protocol import Drain, Go, Note, Replan
from batchspec.watch.succession import (
    Deed,
    End,
    Kill,
    Later,
    Report,
    Start,
    Succession,
    Tell,
    Warn,
)

PROBLEM = (Diagnostic(summary="syntax error", detail="in line 3"),)


def told(deeds: list[Deed]) -> list[str]:
    """Return deeds as short words."""
    return [_word(deed) for deed in deeds]


def _word(deed: Deed) -> str:  # noqa: C901, PLR0911 - one per kind
    match deed:
        case Start(engine=engine, specs=specs):
            return f"start {engine}" + ("" if specs else " without specs")
        case Tell(engine=engine, command=Note(condition=said)):
            return f"note {engine} {said.type} {said.status}"
        case Tell(engine=engine, command=command):
            return f"{type(command).__name__.lower()} {engine}"
        case Kill(engine=engine):
            return f"kill {engine}"
        case Report(condition=said):
            return f"report {said.type} {said.status}"
        case Warn():
            return "warn"
        case Later(news=StartDue()):
            return "wake"
        case Later(news=HasBeenWell(engine=engine), seconds=seconds):
            return f"well {engine} after {seconds:g}"
        case Later(news=DrainOver(engine=engine), seconds=seconds):
            return f"wait {seconds:g} for {engine}"
        case End():
            return "end"


BEGIN: list[tuple[News, list[str]]] = [
    (CodeChanged(), ["start 1"]),
    (HasLoaded(1), ["go 1", "note 1 SpecLoaded True"]),
]
STORIES: dict[str, list[tuple[News, list[str]]]] = {
    "the first one takes over at once": BEGIN,
    "a change: the new one waits until the old one has ended": [
        *BEGIN,
        (CodeChanged(), ["start 2"]),
        (HasLoaded(2), ["drain 1"]),
        (HasEnded(1, 0), ["go 2", "note 2 SpecLoaded True"]),
    ],
    "a change while one loads: that one is given up": [
        *BEGIN,
        (CodeChanged(), ["start 2"]),
        (CodeChanged(), ["kill 2", "start 3"]),
        (HasLoaded(2), []),
        (HasEnded(2, -9), []),
        (HasLoaded(3), ["drain 1"]),
        (HasEnded(1, 0), ["go 3", "note 3 SpecLoaded True"]),
    ],
    "a change while the old one is drained: the newest takes over": [
        *BEGIN,
        (CodeChanged(), ["start 2"]),
        (HasLoaded(2), ["drain 1"]),
        (CodeChanged(), ["start 3"]),
        (HasEnded(1, 0), []),
        (HasLoaded(3), ["kill 2", "go 3", "note 3 SpecLoaded True"]),
        (HasEnded(2, -9), []),
    ],
    "and does not load: the one that waited takes over, and is what stays in force": [
        *BEGIN,
        (CodeChanged(), ["start 2"]),
        (HasLoaded(2), ["drain 1"]),
        (CodeChanged(), ["start 3"]),
        (HasEnded(1, 0), []),
        (HasNotLoaded(3, PROBLEM), ["kill 3", "go 2", "note 2 SpecLoaded False"]),
    ],
    "and does not load before the old one has ended: the one that waited waits on": [
        *BEGIN,
        (CodeChanged(), ["start 2"]),
        (HasLoaded(2), ["drain 1"]),
        (CodeChanged(), ["start 3"]),
        (CodeChanged(), ["kill 3", "start 4"]),
        (HasNotLoaded(4, PROBLEM), ["kill 4", "note 1 SpecLoaded False"]),
        (CodeChanged(), ["start 5"]),
        (HasLoaded(5), ["kill 2", "drain 1"]),
        (HasEnded(1, 0), ["go 5", "note 5 SpecLoaded True"]),
    ],
    "and the one that waited dies meanwhile": [
        *BEGIN,
        (CodeChanged(), ["start 2"]),
        (HasLoaded(2), ["drain 1"]),
        (CodeChanged(), ["start 3"]),
        (HasEnded(2, -9), []),
        (HasNotLoaded(3, PROBLEM), ["kill 3", "note 1 SpecLoaded False"]),
        (HasEnded(1, 0), ["report Running False", "wake"]),
    ],
    "an interrupt ends the ones that wait": [
        *BEGIN,
        (CodeChanged(), ["start 2"]),
        (HasLoaded(2), ["drain 1"]),
        (CodeChanged(), ["start 3"]),
        (StopWanted(), ["kill 3", "kill 2", "drain 1"]),
        (HasEnded(3, -9), []),
        (HasEnded(2, -9), []),
        (HasEnded(1, 0), ["end"]),
    ],
    "specs that do not load change nothing but a condition, and are tried again": [
        *BEGIN,
        (CodeChanged(), ["start 2"]),
        (HasNotLoaded(2, PROBLEM), ["kill 2", "note 1 SpecLoaded False"]),
        (HasEnded(2, 0), []),
        (CodeChanged(), ["start 3"]),
        (HasLoaded(3), ["drain 1"]),
        (HasEnded(1, 0), ["go 3", "note 3 SpecLoaded True"]),
    ],
    "an interpreter that ends while it loads is one that does not load": [
        *BEGIN,
        (CodeChanged(), ["start 2"]),
        (HasEnded(2, 3), ["kill 2", "note 1 SpecLoaded False"]),
        (StartDue(), []),
    ],
    "one that is killed while it loads is tried again: nothing may be wrong with the specs": [
        *BEGIN,
        (CodeChanged(), ["start 2"]),
        (HasEnded(2, -9), ["kill 2", "note 1 SpecLoaded False", "wake"]),
        (StartDue(), ["start 3"]),
        (HasLoaded(3), ["drain 1"]),
        (HasEnded(1, 0), ["go 3", "note 3 SpecLoaded True"]),
        (StartDue(), []),
    ],
    "the first one is killed while it loads": [
        (CodeChanged(), ["start 1"]),
        (
            HasEnded(1, -9),
            ["kill 1", "report SpecLoaded False", "start 2 without specs", "wake"],
        ),
        (StartDue(), ["wake"]),
        (HasLoaded(2), ["go 2", "note 2 SpecLoaded False"]),
        (StartDue(), ["start 3"]),
    ],
    "one that was killed is not tried again beside one for files that changed": [
        *BEGIN,
        (CodeChanged(), ["start 2"]),
        (HasEnded(2, -9), ["kill 2", "note 1 SpecLoaded False", "wake"]),
        (CodeChanged(), ["start 3"]),
        (StartDue(), []),
        (HasLoaded(3), ["drain 1"]),
        (StartDue(), []),
    ],
    "specs that never loaded: what is under way is looked after without them": [
        (CodeChanged(), ["start 1"]),
        (
            HasNotLoaded(1, PROBLEM),
            ["kill 1", "report SpecLoaded False", "start 2 without specs"],
        ),
        (HasEnded(1, 0), []),
        (HasLoaded(2), ["go 2", "note 2 SpecLoaded False"]),
        (CodeChanged(), ["start 3"]),
        (HasLoaded(3), ["drain 2"]),
        (HasEnded(2, 0), ["go 3", "note 3 SpecLoaded True"]),
    ],
    "not even the configuration is right: nothing is started until it changes": [
        (CodeChanged(), ["start 1"]),
        (
            HasNotLoaded(1, PROBLEM),
            ["kill 1", "report SpecLoaded False", "start 2 without specs"],
        ),
        (HasNotLoaded(2, PROBLEM), ["kill 2", "report SpecLoaded False"]),
        (CodeChanged(), ["start 3"]),
    ],
    "one that cannot be started changes nothing, is told once, and tried again": [
        *BEGIN,
        (CodeChanged(), ["start 2"]),
        (HasNotStarted(2, "no files"), ["note 1 Running False", "well 1 after 600", "wake"]),
        (StartDue(), ["start 3"]),
        (HasNotStarted(3, "no files"), ["wake"]),
        (HasBeenWell(1), ["well 1 after 600"]),
        (StartDue(), ["start 4"]),
        (HasLoaded(4), ["drain 1"]),
        (
            HasEnded(1, 0),
            ["go 4", "note 4 SpecLoaded True", "note 4 Running False", "well 4 after 600"],
        ),
        (HasBeenWell(4), ["note 4 Running True"]),
    ],
    "nor does it where specs then do not load": [
        *BEGIN,
        (CodeChanged(), ["start 2"]),
        (HasNotStarted(2, "no files"), ["note 1 Running False", "well 1 after 600", "wake"]),
        (StartDue(), ["start 3"]),
        (HasNotLoaded(3, PROBLEM), ["kill 3", "note 1 SpecLoaded False"]),
        (HasBeenWell(1), ["note 1 Running True"]),
    ],
    "not even the first one can be started": [
        (CodeChanged(), ["start 1"]),
        (HasNotStarted(1, "no files"), ["report Running False", "wake"]),
        (StartDue(), ["start 2"]),
        (HasNotStarted(2, "no files"), ["wake"]),
        (HasNotStarted(1, "no files"), []),
        (StopWanted(), ["end"]),
    ],
    "one that cannot be started leaves the one that waits its place": [
        *BEGIN,
        (CodeChanged(), ["start 2"]),
        (HasLoaded(2, 60.0), ["drain 1", "wait 60 for 1"]),
        (CodeChanged(), ["start 3"]),
        (HasNotStarted(3, "no files"), ["note 1 Running False", "well 1 after 600", "wake"]),
        (DrainOver(1), ["warn", "kill 1"]),
        (StartDue(), ["wake"]),
        (
            HasEnded(1, -9),
            ["go 2", "note 2 SpecLoaded True", "note 2 Running False", "well 2 after 600"],
        ),
        (StartDue(), ["start 4"]),
    ],
    "an engine that dies is started again, after a while": [
        *BEGIN,
        (HasEnded(1, -9), ["report Running False", "wake"]),
        (StartDue(), ["start 2"]),
        (
            HasLoaded(2),
            ["go 2", "note 2 SpecLoaded True", "note 2 Running False", "well 2 after 600"],
        ),
        (HasBeenWell(1), []),
        (HasBeenWell(2), ["note 2 Running True"]),
        (CodeChanged(), ["start 3"]),
        (HasLoaded(3), ["drain 2"]),
        (HasEnded(2, 0), ["go 3", "note 3 SpecLoaded True", "note 3 Running True"]),
    ],
    "one that dies while another loads is succeeded by it": [
        *BEGIN,
        (CodeChanged(), ["start 2"]),
        (HasEnded(1, -9), []),
        (HasLoaded(2), ["go 2", "note 2 SpecLoaded True"]),
    ],
    "one that dies while another waits for it to end is succeeded by it": [
        *BEGIN,
        (CodeChanged(), ["start 2"]),
        (HasLoaded(2), ["drain 1"]),
        (HasEnded(1, -9), ["go 2", "note 2 SpecLoaded True"]),
    ],
    "one that dies while it waits for the one before leaves that one in charge no more": [
        *BEGIN,
        (CodeChanged(), ["start 2"]),
        (HasLoaded(2), ["drain 1"]),
        (HasEnded(2, -9), ["kill 2", "note 1 SpecLoaded False", "wake"]),
        (HasEnded(1, 0), ["report Running False", "wake"]),
        (StartDue(), ["start 3"]),
        (StartDue(), []),
    ],
    "calls that do not end are cut short, so that the new one takes over": [
        *BEGIN,
        (CodeChanged(), ["start 2"]),
        (HasLoaded(2, 60.0), ["drain 1", "wait 60 for 1"]),
        (DrainOver(1), ["warn", "kill 1"]),
        (HasEnded(1, -9), ["go 2", "note 2 SpecLoaded True"]),
        (DrainOver(1), []),
    ],
    "calls that end in time are not, nor is the next one": [
        *BEGIN,
        (CodeChanged(), ["start 2"]),
        (HasLoaded(2, 60.0), ["drain 1", "wait 60 for 1"]),
        (HasEnded(1, 0), ["go 2", "note 2 SpecLoaded True"]),
        (DrainOver(1), []),
        (CodeChanged(), ["start 3"]),
        (HasLoaded(3, 60.0), ["drain 2", "wait 60 for 2"]),
    ],
    "they have time as long as the one that is to follow still loads": [
        *BEGIN,
        (CodeChanged(), ["start 2"]),
        (HasLoaded(2, 60.0), ["drain 1", "wait 60 for 1"]),
        (CodeChanged(), ["start 3"]),
        (DrainOver(1), []),
        (HasLoaded(3, 60.0), ["kill 2", "warn", "kill 1"]),
        (HasEnded(1, -9), ["go 3", "note 3 SpecLoaded True"]),
    ],
    "they are cut short too if it does not load, and the one before it follows": [
        *BEGIN,
        (CodeChanged(), ["start 2"]),
        (HasLoaded(2, 60.0), ["drain 1", "wait 60 for 1"]),
        (CodeChanged(), ["start 3"]),
        (DrainOver(1), []),
        (HasNotLoaded(3, PROBLEM), ["kill 3", "note 1 SpecLoaded False", "warn", "kill 1"]),
        (HasEnded(1, -9), ["go 2", "note 2 SpecLoaded False"]),
    ],
    "they are cut short too if nothing is left that could follow": [
        *BEGIN,
        (CodeChanged(), ["start 2"]),
        (HasLoaded(2, 60.0), ["drain 1", "wait 60 for 1"]),
        (CodeChanged(), ["start 3"]),
        (HasEnded(2, -9), []),
        (DrainOver(1), []),
        (HasNotLoaded(3, PROBLEM), ["kill 3", "note 1 SpecLoaded False", "warn", "kill 1"]),
        (HasEnded(1, -9), ["report Running False", "wake"]),
        (StartDue(), ["start 4"]),
    ],
    "calls that keep it from planning are cut short": [
        *BEGIN,
        (HasStuck(1), ["warn", "kill 1"]),
        (HasEnded(1, -9), ["report Running False", "wake"]),
        (StartDue(), ["start 2"]),
        (HasStuck(1), []),
    ],
    "a person who stops it waits for them": [
        *BEGIN,
        (CodeChanged(), ["start 2"]),
        (HasLoaded(2, 60.0), ["drain 1", "wait 60 for 1"]),
        (StopWanted(), ["kill 2", "drain 1"]),
        (DrainOver(1), []),
        (HasEnded(1, 0), []),
        (HasEnded(2, -9), ["end"]),
    ],
    "data that changed is planned by the same one": [*BEGIN, (DataChanged(), ["replan 1"])],
    "data may be what specs that do not load are missing": [
        *BEGIN,
        (CodeChanged(), ["start 2"]),
        (HasNotLoaded(2, PROBLEM), ["kill 2", "note 1 SpecLoaded False"]),
        (DataChanged(), ["start 3", "replan 1"]),
    ],
    "loading that takes too long is given up; having loaded, one may wait for long": [
        *BEGIN,
        (CodeChanged(), ["start 2"]),
        (HasLoaded(2), ["drain 1"]),
        (HasNotLoaded(2, PROBLEM), []),
        (HasNotLoaded(1, PROBLEM), []),
        (HasEnded(1, 0), ["go 2", "note 2 SpecLoaded True"]),
    ],
    "the first interrupt lets what runs end": [
        *BEGIN,
        (CodeChanged(), ["start 2"]),
        (StopWanted(), ["kill 2", "drain 1"]),
        (HasEnded(2, -9), []),
        (CodeChanged(), []),
        (HasEnded(1, 0), ["end"]),
    ],
    "the second one does not": [
        *BEGIN,
        (StopWanted(), ["drain 1"]),
        (StopWanted(), ["kill 1"]),
        (HasEnded(1, -9), ["end"]),
    ],
    "an interrupt while nothing runs ends it": [
        *BEGIN,
        (HasEnded(1, -9), ["report Running False", "wake"]),
        (StopWanted(), ["end"]),
    ],
}


@pytest.mark.parametrize("story", STORIES)
def test_each_story_goes_as_written(story: str) -> None:
    succession = Succession()
    for number, (news, deeds) in enumerate(STORIES[story]):
        assert told(succession.on(news, now=1000.0 + number)) == deeds, (number, news)


def test_an_engine_that_dies_again_and_again_is_started_ever_later() -> None:
    succession = Succession()
    waits: list[float] = []
    for engine in range(1, 15):
        succession.on(CodeChanged() if engine == 1 else StartDue(), now=0.0)
        succession.on(HasLoaded(engine), now=0.0)
        (_, deed) = succession.on(HasEnded(engine, -9), now=0.0)
        assert isinstance(deed, Later)
        waits.append(deed.seconds)
    assert waits == sorted(waits)
    assert waits[0] == 1.0
    assert waits[-1] == 300.0


def test_one_that_cannot_be_started_beside_one_that_runs_is_tried_ever_later() -> None:
    succession = Succession()
    succession.on(CodeChanged(), now=0.0)
    succession.on(HasLoaded(1), now=0.0)
    now, waits = 3600.0, list[float]()
    for engine in range(2, 15):
        succession.on(CodeChanged() if engine == 2 else StartDue(), now=now)
        deed = succession.on(HasNotStarted(engine, "no files"), now=now)[-1]
        assert isinstance(deed, Later)
        waits.append(deed.seconds)
        now += deed.seconds
    assert waits == sorted(waits)
    assert waits[0] == 1.0
    assert waits[-1] == 300.0


def test_one_that_ran_well_is_started_again_soon() -> None:
    succession = Succession()
    for engine, lived in ((1, 0.0), (2, 0.0), (3, 3600.0)):
        succession.on(CodeChanged() if engine == 1 else StartDue(), now=0.0)
        succession.on(HasLoaded(engine), now=0.0)
        (_, deed) = succession.on(HasEnded(engine, -9), now=lived)
    assert deed == Later(1.0, StartDue())


def test_commands_reach_the_one_in_charge() -> None:
    succession = Succession()
    succession.on(CodeChanged(), now=0.0)
    (go, _) = succession.on(HasLoaded(1), now=0.0)
    assert go == Tell(1, Go())
    assert succession.on(DataChanged(), now=0.0) == [Tell(1, Replan())]
    assert succession.on(StopWanted(), now=0.0) == [Tell(1, Drain())]
