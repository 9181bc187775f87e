"""Failed items that a plan leaves as they are, and what a person can do about them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from batchspec.ids import JobAddress, group_of

How = Literal["resumable", "once", "judged"]
"""resumable: could go on from turns that are paid, and is not asked to · once: is asked for, and
has a call that began and must not run twice · judged: is asked for, and its reply is judged again
by other rules first."""
_GOES_ON = "can go on from the turns that are paid: `batchspec plan --failed --target {job}`."
_ASKED: Mapping[tuple[How, bool], str] = {
    ("resumable", False): _GOES_ON,
    ("resumable", True): _GOES_ON,
    ("once", False): "stays as it is: a call of a tool marked `once` began, and never runs twice. "
    "Only `--replace` asks for it anew.",
    ("once", True): "stay as they are: a call of a tool marked `once` began in each, and never "
    "runs twice. Only `--replace` asks for them anew; `batchspec results {job} --failed` names "
    "them.",
    ("judged", False): "is judged again first, free: if it still fails then, `batchspec plan "
    "--failed --target {job}` asks for it anew.",
    ("judged", True): "are judged again first, free: for those that still fail then, `batchspec "
    "plan --failed --target {job}` asks anew.",
}
"""By how they stand, and whether they are several."""


@dataclass(slots=True)
class Standing:
    """Counts of failed items that stay, by job and by how they could go on."""

    _items: Counter[tuple[JobAddress, How]] = field(default_factory=Counter[tuple[JobAddress, How]])

    def note(self, job: JobAddress, how: How) -> None:
        """Count an item."""
        self._items[job, how] += 1

    def sentences(self) -> list[str]:
        """Say of how many items of each group of jobs what can be done."""
        groups = Counter[tuple[JobAddress, How]]()
        for (job, how), items in self._items.items():
            groups[group_of(job), how] += items
        return [
            f"{items} failed {'item' if items == 1 else 'items'} of {job} "
            + _ASKED[how, items > 1].format(job=job)
            for (job, how), items in groups.items()
        ]
