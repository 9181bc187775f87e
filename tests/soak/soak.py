"""Ten minutes of real processes, signals and file changes, and what must hold in the end."""

import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Self

from pydantic import BaseModel

from batchspec.project import Project
from soak.edits import Edits
from soak.services import marked
from soak.stage import ALL, Stage, readable_by_others, wait_until
from soak.troubles import Troubles
from soak.visits import Visits

_CALM = 0.25
"""The last part of the time, in which processes may grow old: nobody ends or kills them."""
_SILENT = 1.5
"""Seconds for which a watcher that has nothing to do says nothing."""
_LONG = 3.0
"""Seconds a deed may take without being told."""
_PAUSES = (0.1, 0.3, 1.0, 2.0, 4.0, 7.0)
_SETTLED = 180.0
"""Seconds until what is wanted must have come about, once it is quiet."""
_LINES = 400
"""Lines a watcher may say in a minute."""
_WARM, _OLD = 20.0, 60.0
"""Seconds after which a process is warm, and for which it must live then to be judged."""
_RSS, _FILES = 24_000_000, 8
"""How much peaks may grow while a process lives."""

Deed = Callable[[], None]


class Soak:
    """A stage, and what happens on it.

    Args:
        folder: An empty one.
        seed: Of everything that happens.
        tell: Is told each thing that happens, with the seconds since the beginning.
    """

    def __init__(self, folder: Path, seed: int, tell: Callable[[str], None] = str) -> None:
        self.random = Random(seed)
        self.stage = Stage(folder)
        self.edits = Edits(self.stage, self.random)
        self.troubles = Troubles(self.stage, self.random)
        self.visits = Visits(self.stage, self.random)
        self.figures: dict[str, object] = {}
        self._tell = tell
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        self.edits.begin()
        self.stage.watch()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stage.close()

    # --- what happens

    def live(self, seconds: float) -> None:
        """Let things happen for a while, the last part of it without an end to any process."""
        end = time.monotonic() + seconds
        calm, rough = self._calm(), self._rough()
        while (left := end - time.monotonic()) > 0:
            deeds = calm if left < _CALM * seconds else calm | rough
            self.do(self.random.choices(list(deeds), list(deeds.values()))[0])
            self.stage.wait(min(self.random.choice(_PAUSES), max(left, 0.0)))

    def do(self, deed: Deed) -> None:
        """Do one thing."""
        self.stage.catch_up()
        name = deed.__name__.strip("_").replace("_", " ")
        self._note(name)
        self.stage.done[name] += 1
        began = time.monotonic()
        deed()
        if (took := time.monotonic() - began) > _LONG:
            self._note(f"{name} took {took:.1f} s")

    def _calm(self) -> Mapping[Deed, float]:
        edits, visits, troubles = self.edits, self.visits, self.troubles
        return {
            edits.edit: 10,
            edits.grow: 10,
            edits.touch: 2,
            edits.swap: 2,
            edits.half_written: 4,
            troubles.break_connection: 8,
            visits.scrape: 3,
            visits.webhook: 4,
            visits.status: 1,
            visits.results: 1,
            visits.approve: 4,
        }

    def _rough(self) -> Mapping[Deed, float]:
        edits, visits, troubles = self.edits, self.visits, self.troubles
        return {
            edits.check_out: 3,
            edits.break_syntax: 4,
            edits.emptied: 3,
            edits.delete: 3,
            edits.move_folder: 3,
            visits.plan: 2,
            visits.collect_garbage: 2,
            visits.apply: 2,
            troubles.end: 2,
            troubles.end_twice: 1,
            troubles.kill: 2,
            troubles.hang_up: 2,
            troubles.kill_engine: 3,
            troubles.freeze: 3,
            troubles.hand_over: 4,
            troubles.kill_server: 3,
        }

    def _note(self, what: str) -> None:
        self._tell(f"{time.monotonic() - self._began:6.1f} {what}")

    # --- what must hold

    def settle(self) -> None:
        """Let it become quiet; then everything that was wanted must be so, and be paid once."""
        stage = self.stage
        self._note("it becomes quiet")
        stage.finish()
        stage.thaw()
        stage.proxy.trap = None
        self.edits.write()
        if stage.options != ALL:
            stage.main.signal(signal.SIGTERM)
            stage.ended(stage.main, signal.SIGTERM)
            stage.options = ALL
            stage.watch()
        quiet = time.monotonic()
        self._converge(quiet + _SETTLED)
        self.figures["seconds until all was as wanted"] = round(time.monotonic() - quiet, 1)
        self._note("all is as wanted")
        stage.run("plan", "--detailed-exitcode", codes={0})
        stage.main.signal(signal.SIGTERM)
        stage.ended(stage.main, signal.SIGTERM)
        self._check_paid()
        self._check_left()
        self._check_flat()

    def _converge(self, until: float) -> None:
        wrong: object = "nothing was looked at"
        while wrong:
            assert time.monotonic() < until, (wrong, list(self.stage.main.last)[-15:])
            self.stage.wait(max(0.5, self.stage.main.said + _SILENT - time.monotonic()))
            if time.monotonic() - self.stage.main.said >= _SILENT:
                wrong = self._unsettled() or self._other_answers()

    def _unsettled(self) -> object:
        """Return what is still under way, or not well."""
        said = self.stage.run("status", "--json", codes={0, 3, 4}).document()
        names = self.stage.wanted.answers().keys()
        conditions = {(one["type"], one["job"]): one["status"] for one in said["conditions"]}
        well = [("SpecLoaded", None), ("Planned", None), ("Consented", None)]
        well += [("Converged", name) for name in names]
        wrong = [one for one in well if conditions.get(one) != "True"]
        return wrong or said["batches"] or said["waiting"] or said["pending"]

    def _other_answers(self) -> object:
        """Return a job whose answers are not those that belong to what is wanted."""
        with Project(self.stage.root) as project:
            for address, wanted in self.stage.wanted.answers().items():
                items = list(project.results(address))
                found = {item.key: _plain(item.output) for item in items}
                if found != wanted or {item.outcome for item in items} != {"succeeded"}:
                    return address, found, wanted
        return None

    def _check_paid(self) -> None:
        """See in the provider's own files that each request was answered once."""
        self.stage.read_lines()
        statuses, lines = Counter(self.stage.batches.values()), self.stage.answered
        assert not statuses.keys() - {"completed", "cancelled"}, statuses
        self.figures |= {
            "batches": statuses.total(),
            "batches that were cancelled": statuses["cancelled"],
            "requests answered": lines.total(),
            "requests answered again": lines.total() - len(lines),
        }
        again = {name: n for name, n in lines.items() if n > 1}
        assert not again, f"paid twice: {again}"

    def _check_left(self) -> None:
        """See that nobody is left, nothing is open to others, and nobody had a bug to tell of."""
        stage = self.stage
        stage.server.stop()
        wait_until(lambda: not marked(stage.mark), f"somebody is left: {marked(stage.mark)}", 30.0)
        assert not readable_by_others(stage.state)
        for service in stage.services:
            said = "".join(service.complaints)
            assert "Traceback" not in said, said
            assert "bug" not in said, said

    def _check_flat(self) -> None:
        """See that no process grew, and none said too much."""
        stage = self.stage
        self.figures["watchers"] = len(stage.services)
        for role in ("watcher", "engine"):
            gauges = [one for one in stage.gauges.values() if one.role == role and one.samples]
            samples = [sample for one in gauges for sample in one.samples]
            self.figures |= {
                f"{role}s looked at": len(gauges),
                f"{role}: oldest, s": round(max(sample[0] for sample in samples)),
                f"{role}: most memory, MB": round(max(s[1] for s in samples) / 1e6),
                f"{role}: most open files": max(sample[2] for sample in samples),
            }
            grown = [found for one in gauges if (found := one.grew(_WARM, _OLD))]
            if grown:
                most = max(one[0] for one in grown), max(one[1] for one in grown)
                self.figures[f"{role}s that grew old"] = len(grown)
                self.figures[f"{role}: most growth, MB"] = round(most[0] / 1e6, 1)
                self.figures[f"{role}: most growth, open files"] = most[1]
                assert most[0] <= _RSS, f"{role}: {most[0]:,} bytes more"
                assert most[1] <= _FILES, f"{role}: {most[1]} files more"
        lines = max(max(service.minutes.values(), default=0) for service in stage.services)
        self.figures["lines a watcher said in a minute, at most"] = lines
        assert lines <= _LINES, lines

    # --- what is printed

    def table(self) -> str:
        """Return how often what was done, how processes ended, and the figures."""
        rows: list[tuple[str, object]] = [*sorted(self.stage.done.items())]
        rows += [(f"exit code of {name}", n) for name, n in sorted(self.stage.codes.items())]
        rows += self.figures.items()
        return "\n".join(f"{name:<48} {value:>8}" for name, value in rows)


def _plain(output: object) -> object:
    return output.model_dump() if isinstance(output, BaseModel) else output
