"""How long the requests of a job will be that are made of answers which are not there yet."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from batchspec.desired.graph import DesiredJob
from batchspec.project.jobs import max_tokens
from batchspec.project.known import Known
from batchspec.project.widths import Width, Widths, each, gathered, joined, made_of
from batchspec.spec.embedding import EmbeddingJob
from batchspec.spec.prompt import Template
from batchspec.spec.rows import Collect
from batchspec.state.tokens import BYTES_PER_TOKEN, ENVELOPE

if TYPE_CHECKING:
    from batchspec.project.planning import Planner

_LABEL = 16
"""Bytes of a key, or of the name of a variant."""
_SLACK = 2
"""Answers are escaped as JSON, in other scripts than ours, and rows hold more than their prompts
say: a bound counts twice what is likely."""


class _Made(NamedTuple):
    """What a prompt is made of, of all jobs above together."""

    rows: Widths
    """The rows the answers were or will be given for."""
    answer: int
    """Bytes of an answer."""


def waiting_sizes(
    planner: "Planner", job: DesiredJob, known: Known, *, requests: int, rows: int
) -> tuple[int, int]:
    """Return the bytes of the lines of a job that waits, as far as they are prompt.

    Args:
        planner: Knows the jobs above, which were planned before.
        job: The one that waits.
        known: Its rows that are known already.
        requests: It would send at most.
        rows: Answers there may be above.

    Returns:
        About how many, and at most.
    """
    contract = len(job.contract.canonical()) + ENVELOPE
    # The one row of `collect` is not known before all answers are.
    collects = isinstance(job.rows, Collect)
    sent = 0 if collects else min(known.sent, requests)
    certain = known.size if sent else 0
    answers = rows if collects else requests - sent
    about, most = (_above(planner, job, longest=longest) for longest in (False, True))
    _note(planner, job, about, most, collects=collects)

    def total(made: _Made, part: Callable[[Width], int]) -> int:
        told = _told(job, made, part, answers=answers, requests=requests - sent)
        return contract * requests + certain + told

    likely = total(about, lambda width: width.of(answers, about.rows.rows))
    bound = total(most, lambda width: width.at_most(answers) * _SLACK)
    return likely, max(likely, bound)


def _above(planner: "Planner", job: DesiredJob, *, longest: bool) -> _Made:
    """Return how long rows and answers of the jobs above are."""
    lengths = planner.bounds.lengths
    above = [one for one in planner.desired if one.address in job.depends_on]
    answer = 0
    for one in above:
        # Numbers of a vector are no tokens, and nobody's prompt.
        own = max_tokens(one)
        own = own if own is not None else lengths.longest if longest else lengths.assumed
        there, tokens, most = planner.reader.answer_tokens(one.address)
        sends = any(load.requests for load in planner.loads.get(one.address, ()))
        if longest:
            own = max(own, most)
        elif there and not sends:
            own = tokens // there
        answer = max(answer, own * BYTES_PER_TOKEN * (_SLACK if longest else 1))
    return _Made(joined(planner.widths.get(one.address, Widths()) for one in above), answer)


def _note(
    planner: "Planner", job: DesiredJob, about: _Made, most: _Made, *, collects: bool
) -> None:
    """Note how long the rows of a job are that waits, for jobs that wait for it."""
    answers = each(about.answer, most.answer, most.rows.rows)
    made = made_of(most.rows, answers, _LABEL)
    planner.widths[job.address] = gathered(made) if collects else made


def _told(
    job: DesiredJob,
    made: _Made,
    part: Callable[[Width], int],
    *,
    answers: int,
    requests: int,
) -> int:
    """Return the bytes of requests that are neither contract nor envelope.

    A prompt function is taken to use each answer and its row once.

    Args:
        job: Whose.
        made: What they are made of.
        part: Returns the bytes that rows of those answers have of something.
        answers: How many are made use of.
        requests: How many there are.
    """
    rows, of_answers = made.rows, made.answer * answers
    both = part(rows.whole) + of_answers + _LABEL * answers
    told = len((job.output.instructions or "").encode()) * requests
    own = job.job
    given = (own.input,) if isinstance(own, EmbeddingJob) else (own.instructions, own.prompt)
    for one in given:
        if not isinstance(one, str):
            told += both if one is not None else 0
            continue
        template = Template(one)
        told += sum(len(text.encode()) for text in template.literals) * requests
        for name, *rest in (slot.path for slot in template.slots):
            if name == "row":
                told += part(rows.field(rest[0]) if rest else rows.whole)
            elif name in {"output", "outputs"}:
                told += of_answers
            else:
                told += both if name == "items" else _LABEL * requests
    return told
