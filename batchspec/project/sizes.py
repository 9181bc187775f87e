"""How long the requests of a job will be that are made of answers which are not there yet."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from batchspec.desired.graph import DesiredJob
from batchspec.project.jobs import max_tokens
from batchspec.project.known import Known
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


class _Parts(NamedTuple):
    """Bytes of what a prompt may be made of, for one answer."""

    row: int
    """The row the answer was given for."""
    answer: int


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
    sent = 0 if isinstance(job.rows, Collect) else min(known.sent, requests)
    of = rows if isinstance(job.rows, Collect) else 1
    certain = known.size if sent else 0

    def total(parts: _Parts) -> int:
        each = _length(job, parts, of)
        return contract * requests + certain + each * (requests - sent)

    about, most = (_above(planner, job, longest=longest) for longest in (False, True))
    return total(about), max(total(about), total(most))


def _above(planner: "Planner", job: DesiredJob, *, longest: bool) -> _Parts:
    """Return how long rows and answers of the jobs above are."""
    lengths, slack = planner.bounds.lengths, _SLACK if longest else 1
    row = answer = 0
    for above in planner.desired:
        if above.address not in job.depends_on:
            continue
        # Numbers of a vector are no tokens, and nobody's prompt.
        own = max_tokens(above) or (lengths.longest if longest else lengths.assumed)
        answer = max(answer, own * BYTES_PER_TOKEN * slack)
        contract = len(above.contract.canonical()) + ENVELOPE
        for load in planner.loads.get(above.address, ()):
            if load.requests:
                size = (longest and load.most) or load.bytes
                row = max(row, (size // load.requests - contract) * slack)
    return _Parts(row, answer)


def _length(job: DesiredJob, parts: _Parts, answers: int) -> int:
    """Return the bytes of a request that are neither contract nor envelope.

    A prompt function is taken to use the answer and its row once.
    """
    told = len((job.output.instructions or "").encode())
    uses: Mapping[str, int] = {
        "row": parts.row,
        "output": parts.answer,
        "outputs": parts.answer * answers,
        "items": (parts.row + parts.answer + _LABEL) * answers,
    }
    own = job.job
    given = (own.input,) if isinstance(own, EmbeddingJob) else (own.instructions, own.prompt)
    for one in given:
        if isinstance(one, str):
            template = Template(one)
            told += sum(len(text.encode()) for text in template.literals)
            told += sum(uses.get(slot.path[0], _LABEL) for slot in template.slots)
        elif one is not None:
            told += (parts.row + parts.answer + _LABEL) * answers
    return told
