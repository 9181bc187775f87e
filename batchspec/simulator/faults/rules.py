"""The faults of one simulator: rules, what they have struck so far, and the draw."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import RLock
from typing import Any, TypeVar

from batchspec.simulator.faults.catalogue import read_fault
from batchspec.simulator.faults.ledger import Ledger, StoredRule
from batchspec.simulator.faults.rule import Fault, Occasion
from batchspec.simulator.faults.scenario import Scenario, read_scenario
from batchspec.simulator.faults.tally import Tally, chance
from batchspec.simulator.jobs.database import Database
from batchspec.simulator.wire import Clock, Json

F = TypeVar("F", bound=Fault)
_HERE = Path()


@dataclass(slots=True)
class Rule:
    """A fault with its name, and how often it had an occasion and took it."""

    id: str
    fault: Fault
    seen: int = 0
    hit: int = 0
    added_at: float | None = None
    """Unix seconds; nothing before a server has the rule."""
    running: bool = False
    """Whether it was added while a server ran, which makes it outlive that server."""
    counts: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    """By what the rule counts separately: seen and hit."""

    def to_wire(self) -> Json:
        return {
            "id": self.id,
            **self.fault.document(),
            "seen": self.seen,
            "hit": self.hit,
            "added_at": self.added_at,
        }


class Faults:
    """Rules that say what goes wrong and when; safe to use in any thread.

    The same seed, rules and occasions give the same faults. Rules that are there when a server is
    made belong to that start; those added later stay in its directory until they are removed.
    Counters are kept there too, so that a server started again goes on with them.
    """

    def __init__(self, seed: int = 0) -> None:
        """Make an empty set of rules.

        Args:
            seed: Of every draw.
        """
        self.seed = seed
        self._rules: dict[str, Rule] = {}
        self._lock = RLock()
        self._ledger: Ledger | None = None
        self._clock: Clock | None = None

    # --- rules

    def add(self, fault: str, *, id: str | None = None, **options: Any) -> str:  # noqa: A002  its name on the wire
        """Add a rule and return its id.

        Args:
            fault: The kind, as in the catalogue.
            id: Names the rule; by default it is the kind and a number. A rule of that name is
                replaced.
            options: The conditions and options of this kind.

        Raises:
            FaultError: There is no such kind or option, or a value is not right; all is told.
        """
        return self.add_table({"fault": fault, **options}, id=id)

    def add_table(self, table: Mapping[str, Any], *, id: str | None = None) -> str:  # noqa: A002  its name on the wire
        """Add a rule as it stands in a scenario file, and return its id.

        Args:
            table: The kind as `fault`, and its conditions and options.
            id: As in `add`.

        Raises:
            FaultError: As in `add`.
        """
        fault = read_fault(table)
        return self._add(fault, id or self._unused(fault.known_as()))

    def add_scenario(self, scenario: str | Path | Scenario) -> list[str]:
        """Add all rules of a scenario and return their ids.

        Args:
            scenario: The name of one that comes with the package, or a TOML or JSON file.

        Raises:
            FaultError: There is no such scenario, or something in the file is not right.
            OSError: The file cannot be read.
        """
        found = scenario if isinstance(scenario, Scenario) else read_scenario(scenario)
        named = enumerate(found.faults, start=1)
        return [self._add(fault, f"{found.name}/{number}") for number, fault in named]

    def remove(self, id: str) -> bool:  # noqa: A002  its name on the wire
        """Remove a rule; false when there is none of that id."""
        with self._lock:
            found = self._rules.pop(id, None)
            if self._ledger is not None:
                self._ledger.delete(id)
        return found is not None

    def clear(self) -> None:
        """Remove all rules."""
        for rule in self.rules():
            self.remove(rule.id)

    def rules(self) -> list[Rule]:
        """Return copies of all rules, in the order in which they are looked at."""
        with self._lock:
            return [replace(rule) for rule in self._rules.values()]

    def _unused(self, fault: str) -> str:
        with self._lock:
            number = 1
            while f"{fault}-{number}" in self._rules:
                number += 1
            return f"{fault}-{number}"

    def _add(self, fault: Fault, id_: str) -> str:
        with self._lock:
            rule = Rule(id_, fault, running=self._ledger is not None)
            self._store(rule)
            self._rules[id_] = rule
        return id_

    # --- the server's directory

    def attach(self, database: Database, clock: Clock) -> None:
        """Go on with the counters, and with the rules of an earlier run, of a server's directory.

        Args:
            database: Where they are.
            clock: Says the time in unix seconds.
        """
        with self._lock:
            self._ledger, self._clock = Ledger(database), clock
            stored = {rule.id: rule for rule in self._ledger.rules()}
            for rule in self._rules.values():
                self._begin(rule, stored.pop(rule.id, None))
            for left in stored.values():
                self._take_over(self._ledger, left)
            for id_, key, seen, hit in self._ledger.counts():
                if id_ in self._rules:
                    counted = self._rules[id_]
                    counted.counts[key] = (seen, hit)
                    counted.seen += seen
                    counted.hit += hit

    def _begin(self, rule: Rule, stored: StoredRule | None) -> None:
        """Let a rule of this start go on, if an earlier one had the same, or begin anew."""
        rule.seen = rule.hit = 0
        rule.counts.clear()
        rule.running = False
        if stored is not None and json.loads(stored.document) == rule.fault.document():
            rule.added_at = stored.added_at
        else:
            self._store(rule)

    def _take_over(self, ledger: Ledger, stored: StoredRule) -> None:
        if stored.running:
            fault = read_fault(json.loads(stored.document))
            self._rules[stored.id] = Rule(stored.id, fault, added_at=stored.added_at, running=True)
        else:
            ledger.delete(stored.id)

    def _store(self, rule: Rule) -> None:
        if self._ledger is not None and self._clock is not None:
            rule.added_at = self._clock()
            document = json.dumps(rule.fault.document())
            self._ledger.put(StoredRule(rule.id, document, rule.running, rule.added_at))

    # --- the draw

    def any(self, *stages: type[Fault]) -> bool:
        """Tell whether there is a rule of some kinds at all; cheap, for hot paths."""
        return any(isinstance(rule.fault, stages) for rule in tuple(self._rules.values()))

    def of(self, stage: type[F]) -> list[F]:
        """Return the faults of a kind, struck or not."""
        with self._lock:
            return [r.fault for r in self._rules.values() if isinstance(r.fault, stage)]

    def draw_now(self, stage: type[F], occasion: Occasion) -> list[F]:
        """Draw for something that leaves no other trace, and store the counters at once."""
        tally = Tally()
        drawn = self.draw(stage, occasion, tally)
        if tally and self._ledger is not None:
            self._ledger.write(tally.write)
        return drawn

    def looks(self, id_: str, status: str) -> int:
        """Count one more look of a client at an object in a status; returns their number."""
        return 1 if self._ledger is None else self._ledger.read(id_, status)

    def draw(self, stage: type[F], occasion: Occasion, tally: Tally) -> list[F]:
        """Return the faults of a kind that strike at an occasion.

        Args:
            stage: The kind.
            occasion: What could be struck.
            tally: Notes the draws; whoever draws writes it.
        """
        with self._lock:
            return [
                rule.fault
                for rule in self._rules.values()
                if isinstance(rule.fault, stage) and self._struck(rule, occasion, tally)
            ]

    def _struck(self, rule: Rule, occasion: Occasion, tally: Tally) -> bool:
        if not self._timely(rule) or not rule.fault.fits(occasion):
            return False
        key = rule.fault.key(occasion)
        seen, hits = rule.counts.get(key, (0, 0))
        draw = chance(self.seed, rule.id, key, seen + 1)
        hit = rule.fault.strikes(seen + 1, hits, draw)
        rule.counts[key] = (seen + 1, hits + hit)
        rule.seen += 1
        rule.hit += hit
        tally.note(rule.id, key, hit=hit)
        return hit

    def _timely(self, rule: Rule) -> bool:
        fault = rule.fault
        if not fault.after and fault.until is None:
            return True
        if self._clock is None or rule.added_at is None:
            return not fault.after
        age = self._clock() - rule.added_at
        return fault.after <= age and (fault.until is None or age < fault.until)


def load_faults(scenarios: Iterable[str], *, seed: int = 0, root: Path = _HERE) -> Faults:
    """Return the rules of some scenarios.

    Args:
        scenarios: Names of scenarios that come with the package, or paths.
        seed: Of every draw.
        root: Where relative paths begin.

    Raises:
        FaultError: There is no such scenario, or something in a file is not right.
        OSError: A file cannot be read.
    """
    faults = Faults(seed)
    for scenario in scenarios:
        faults.add_scenario(root / scenario if Path(scenario).suffix else scenario)
    return faults
