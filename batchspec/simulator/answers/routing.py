"""Several sources of answers, chosen by job or model."""

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from functools import lru_cache

from batchspec.ids import JobAddress, names
from batchspec.simulator.answers.port import Answer, Model, Question, Replay

JobOf = Callable[[str], str | None]
"""Says which job a line belongs to, by its custom_id. The server itself knows no jobs."""


class RoutedModel:
    """Asks the first source whose pattern fits.

    Args:
        routes: Sources by pattern, in the order in which they are tried: the name of a model
            (`gpt-5-mini`, `gpt-*`) or the address of a job (`tickets.triage`, `tickets.*`); `*`
            fits everything.
        fallback: Asked when no pattern fits.
        job_of: Finds the job of a line; without it patterns of jobs fit nothing.
    """

    def __init__(
        self, routes: Mapping[str, Model], fallback: Model, *, job_of: JobOf | None = None
    ) -> None:
        self._routes = routes
        self._fallback = fallback
        self._job_of = job_of
        self._find = lru_cache(maxsize=1_024)(self._route)

    def answer(self, question: Question) -> Answer | Replay:
        job = None
        if self._job_of is not None and question.custom_id is not None:
            job = self._job_of(question.custom_id)
        return self._find(question.body["model"], job).answer(question)

    def _route(self, model: str, job: str | None) -> Model:
        for pattern, source in self._routes.items():
            if fnmatchcase(model, pattern) or (job is not None and names(pattern, JobAddress(job))):
                return source
        return self._fallback
