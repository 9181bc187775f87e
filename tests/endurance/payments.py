"""What a provider answered, in which batch, and what of it never reached who paid."""

import hashlib
import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from fuzz.desires import EchoModel

from batchspec.simulator import Faults

DAY = 86_400.0


class Answer(NamedTuple):
    """One answer to one request.

    Attributes:
        at: Unix seconds.
        batch: The provider's name of the batch it was in.
    """

    at: float
    batch: str


@dataclass(frozen=True, slots=True)
class Twice:
    """A request that was answered again though nothing had taken the answer before."""

    body: dict[str, Any]
    answers: tuple[Answer, ...]
    wrong: Answer
    """The one that should have done."""


class Payments(EchoModel):
    """Remembers who answered what, and which batches a fault took answers of.

    A fault that may take answers strikes a batch when that is created, when its lines are answered,
    or when its files are written. So each answer but the last one of a request must be of a batch
    that was struck, whenever that was.

    Args:
        faults: Of the provider.
        provider: Its engine, whose batches are moved one at a time.
    """

    def __init__(self, faults: Faults, provider: Any) -> None:
        super().__init__()
        self.now: Callable[[], float] = provider.clock.now
        self.answers: dict[str, list[Answer]] = {}
        self.bodies: dict[str, dict[str, Any]] = {}
        self.struck: dict[str, set[str]] = {}
        """What took answers, by batch."""
        self._provider = provider
        self._losing: set[str] = set()
        self._batch: str | None = None
        self._observe(faults)

    def __call__(self, body: dict[str, Any]) -> Any:
        name = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        self.bodies.setdefault(name, body)
        assert self._batch is not None, "it was asked outside of a batch"
        self.answers.setdefault(name, []).append(Answer(self.now(), self._batch))
        return super().__call__(body)

    def loses(self, document: dict[str, Any]) -> None:
        """Note a fault that may take answers, as its rule documents it."""
        self._losing.add(_told(document))

    @property
    def again(self) -> int:
        """How many answers were given to requests that had one already."""
        return sum(len(answers) - 1 for answers in self.answers.values())

    def twice(self, may: Callable[[dict[str, Any], Answer, Answer], bool]) -> list[Twice]:
        """Return what was answered again without a reason.

        Args:
            may: Tells whether somebody wanted a request to be asked again, from its body, the
                answer and the next one.
        """
        found: list[Twice] = []
        for name, answers in self.answers.items():
            for one, following in pairwise(answers):
                lost = self._lost_of(one.batch)
                if not lost and not may(self.bodies[name], one, following):
                    found.append(Twice(self.bodies[name], tuple(answers), one))
        return found

    def _lost_of(self, batch: str) -> set[str]:
        """Return what took answers of a batch."""
        record = self._provider.database.batch(batch)
        created = {_told(json.loads(document)) for document in record.faults}
        return self.struck.get(batch, set()) | created & self._losing

    def hides(self, batch: str) -> bool:
        """Tell whether files of a batch are there whose names nobody is told."""
        record = self._provider.database.batch(batch)
        faults = [json.loads(document)["fault"] for document in record.faults] if record else []
        return not {"no_output_file", "error_file"}.isdisjoint(faults)

    def tell_batch(self, batch: str) -> str:
        """Return what became of a batch at the provider, for people."""
        record, struck = self._provider.database.batch(batch), self._lost_of(batch)
        names = [json.loads(document)["fault"] for document in record.faults]
        return f"{record.status}, {record.total} lines, made with {names}, struck by {struck or {}}"

    def _observe(self, faults: Faults) -> None:
        draw, moved = faults.draw, self._provider._moved

        def noted(*args: Any) -> Any:
            drawn = draw(*args)
            if self._batch is not None:
                documents = {_told(fault.document()) for fault in drawn}
                if documents & self._losing:
                    self.struck.setdefault(self._batch, set()).update(documents & self._losing)
            return drawn

        def followed(batch: Any, now: float) -> bool:
            with self._moving(batch.id):
                done: bool = moved(batch, now)
                return done

        faults.draw = noted  # type: ignore[method-assign]
        self._provider._moved = followed

    @contextmanager
    def _moving(self, batch: str) -> Generator[None]:
        self._batch = batch
        try:
            yield
        finally:
            self._batch = None


def _told(document: dict[str, Any]) -> str:
    return json.dumps(document, sort_keys=True)
