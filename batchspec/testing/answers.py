"""The model of a test: it knows whose request it gets, and says what the test gave for it."""

from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import RLock
from types import EllipsisType
from typing import Any, NamedTuple, NoReturn, TypeGuard

from batchspec.ids import JobAddress, RowKey, item_address, member, parse_custom_id
from batchspec.simulator import Answer, HTTPFailure, Model, Question, Replay, SchemaModel
from batchspec.spec.embedding import ENDPOINT as EMBEDDINGS
from batchspec.spec.output import OutputMode
from batchspec.spec.shapes import is_list, is_mapping
from batchspec.spec.suggest import did_you_mean
from batchspec.testing.scripts import MadeUp, Script, embedded, made_up, spoken

Owners = Callable[[bytes], Sequence[tuple[JobAddress, RowKey]]]
"""From the first bytes of a request's fingerprint to the items that wait for it."""


class ScriptError(AssertionError):
    """The answers a test gave do not fit what was asked; every misfit has a line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the model is asked.

    Attributes:
        job: The job's address.
        key: Of the row.
        turn: From 1.
        body: Of the request, as the provider gets it.
    """

    job: str
    key: str
    turn: int
    body: Mapping[str, Any]

    @property
    def messages(self) -> list[dict[str, Any]]:
        """Return the messages; of an `EmbeddingJob` there are none."""
        given = self.body.get("messages", self.body.get("input"))
        return [dict(each) for each in given if is_mapping(each)] if is_list(given) else []

    @property
    def text(self) -> str:
        """Return the text of the last message, or what is to be embedded."""
        if not self.messages:
            return str(self.body.get("input", ""))
        return str(self.messages[-1].get("content"))

    @property
    def address(self) -> str:
        """Return `module.job["key"]`."""
        return item_address(JobAddress(self.job), self.key)


class _Asked(NamedTuple):
    """A request with what was given for it, and how its conversation is told from others."""

    request: Request
    source: Any
    conversation: bytes


class ScriptedModel:
    """Implements `simulator.Model` with answers by job and row; without any they are made up.

    Args:
        owners: Whose request it is.
        mode: How a job wants its output, by address.

    Attributes:
        requests: Everything the model was asked, in order.
        problems: Where the answers did not fit, so far.
        cause: What the first answer raised that is none.
    """

    def __init__(self, owners: Owners, mode: Callable[[str], OutputMode]) -> None:
        self.requests: list[Request] = []
        self.problems: list[str] = []
        self.cause: BaseException | None = None
        self._owners = owners
        self._mode = mode
        self._given: dict[str, Any] = {}
        self._others: Model = SchemaModel()
        self._lock = RLock()
        self._asks: Counter[tuple[bytes, int]] = Counter()
        self._scripts: dict[bytes, Script] = {}
        self._conversations: dict[tuple[str, str], bytes] = {}

    def give(self, job: str, answers: Any) -> None:
        """Say what the model answers to the requests of a job, from now on.

        Args:
            job: Its address.
            answers: By key (`...` for every other row), a function of the `Request`, a `Script` or
                one answer for every row, or None to have them made up.
        """
        with self._lock:
            self._given[job] = made_up if answers is None else answers

    def answer(self, question: Question) -> Answer | Replay:
        """Answer one request.

        Raises:
            HTTPFailure: The script says so, or there is no answer.
        """
        with self._lock:
            asked = self._asked(question)
            if asked is None:
                return self._others.answer(question)
            self.requests.append(asked.request)
            value = self._next(asked)
        try:
            return self._said(value, asked, question)
        except HTTPFailure:
            raise
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - the test's own; it shall be told, not sent
            self.cause = self.cause or error
            told = f"{type(error).__name__}: {error}"
            self._refuse(f"The answer for {asked.request.address} raised {told}")

    def _said(self, value: Any, asked: _Asked, question: Question) -> Answer | Replay:
        while callable(value):
            value = _returned(value, asked.request)
        if isinstance(value, MadeUp):
            return self._others.answer(question)
        if _is_model(value):
            return value.answer(question)
        if question.endpoint == EMBEDDINGS:
            return embedded(value)
        seed = f"{asked.conversation.hex()}_{asked.request.turn}"
        return spoken(value, self._mode(asked.request.job), seed)

    def _asked(self, question: Question) -> _Asked | None:
        """Find whose request it is; a live call and a row that is gone are nobody's."""
        parsed = parse_custom_id(question.custom_id or "")
        if parsed is None:
            return None
        conversation, turn = parsed
        owners = self._owners(conversation)
        if not owners:
            return None
        given = [(job, key, self._source(job, key)) for job, key in owners]
        scripted = [each for each in given if each[2] is not None]
        job, key, source = (scripted or given)[0]
        self._conversations.update(
            {(name, key): conversation for job, key in owners for name in (job, self._name(job))}
        )
        request = Request(job=job, key=key, turn=turn, body=question.body)
        for other_job, other, another in scripted:
            if another is not source and another != source:
                self._refuse(
                    f"{request.address} and {item_address(other_job, other)} make the same request,"
                    " so the model is asked once: give them the same answer, or only one of them."
                )
        return _Asked(request, source, conversation)

    def _name(self, job: str) -> str:
        """Return by which address answers are given: of a variant, of a sample or of the job."""
        of = member(JobAddress(job))
        names = (job, of._replace(sample=1).address, of.group)
        return next((name for name in names if name in self._given), of.group)

    def _source(self, job: str, key: str) -> Any:
        given = self._given.get(self._name(job), made_up)
        return given.get(key, given.get(...)) if _is_by_key(given) else given

    def _next(self, asked: _Asked) -> Any:
        """Return what is said in this turn, at this try."""
        request, source, conversation = asked
        if source is None:
            keys = (
                ", ".join(repr(key) for key in _keys(self._given[self._name(request.job)]))
                or "none"
            )
            self._refuse(f"There is no answer for {request.address}; answers are for {keys}.")
        if not isinstance(source, Script):
            return source
        self._scripts[conversation] = source
        turns = source.turns()
        if request.turn > len(turns):
            self._refuse(
                f"The answers for {request.address} run out: there "
                f"{'is 1' if len(turns) == 1 else f'are {len(turns)}'}, and turn {request.turn} is "
                f"asked. The last message was: {request.text!r:.300}"
            )
        turn = turns[request.turn - 1]
        tries = self._asks[conversation, request.turn]
        self._asks[conversation, request.turn] += 1
        return turn[min(tries, len(turn) - 1)]

    def _refuse(self, problem: str) -> NoReturn:
        if problem not in self.problems:
            self.problems.append(problem)
        raise HTTPFailure(400, problem, code="no_scripted_answer")

    # --- afterwards

    def misfits(self, outcomes: Mapping[str, Mapping[str, str | None]]) -> list[str]:
        """Return where the answers did not fit, answers that were not used included.

        Args:
            outcomes: How every item ended, by job and key.
        """
        return [*self.problems, *self._unused(outcomes)]

    def _unused(self, outcomes: Mapping[str, Mapping[str, str | None]]) -> Iterator[str]:
        for job, given in self._given.items():
            if job not in outcomes:
                hint = did_you_mean(job, outcomes)
                yield f"Answers are given for {job!r}, which is no job of this run. {hint}"
                continue
            for key in _keys(given):
                if key not in outcomes[job]:
                    hint = did_you_mean(key, outcomes[job])
                    yield f"An answer is given for {key!r}, which is no row of {job}. {hint}"
            for key, outcome in outcomes[job].items():
                # What did not succeed may never have been asked; the test looks at that itself.
                if outcome == "succeeded":
                    yield from self._left(job, key, given)

    def _left(self, job: str, key: str, given: Any) -> Iterator[str]:
        address = item_address(JobAddress(job), key)
        conversation = self._conversations.get((job, key))
        if conversation is None:
            if _is_by_key(given) and key in given:
                yield f"The answer for {address} was not used: its row was answered before."
            return
        script = self._scripts.get(conversation)
        turns = script.turns() if script else []
        used = sum(
            min(self._asks[conversation, number], len(turn)) for number, turn in enumerate(turns, 1)
        )
        if script and used < len(script.answers):
            yield f"Of the {len(script.answers)} answers for {address} only {used} were asked for."


def _returned(function: Callable[[Request], Any], request: Request) -> Any:
    value = function(request)
    if isinstance(value, Coroutine):
        value.close()
        raise TypeError("an answer's function is no `async def`: it returns the answer itself")
    return value


def _is_by_key(given: Any) -> TypeGuard[Mapping[str | EllipsisType, Any]]:
    return isinstance(given, Mapping)


def _is_model(value: Any) -> TypeGuard[Model]:
    return hasattr(value, "answer") and not hasattr(value, "model_fields")


def _keys(given: Any) -> list[str]:
    return [key for key in given if isinstance(key, str)] if _is_by_key(given) else []
