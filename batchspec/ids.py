"""Names of things: addresses for people, ids for machines.

Ids are minted by the shell (`apply`), never derived from state; the functions here are pure, so
time and randomness are parameters.
"""

import re
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import NamedTuple, NewType

JobAddress = NewType("JobAddress", str)
"""`module.variable`, for example `tickets.triage`; of one variant `tickets.triage@terse`, of the
second sample of it `tickets.triage@terse#2`, see `Member`."""
RowKey = NewType("RowKey", str)
"""The unique key of a row within its job."""
JobId = NewType("JobId", int)
"""Number of a job in one state file."""
ItemId = NewType("ItemId", int)
"""Number of an item in one state file."""
ConversationId = NewType("ConversationId", int)
"""Number of a conversation in one state file."""
LaneId = NewType("LaneId", int)
"""Number of a lane: one provider, endpoint and model, whose requests may share a batch."""
BatchId = NewType("BatchId", str)
"""Our id of a batch, a UUIDv7 in hex; also the token in the provider's metadata."""
RemoteId = NewType("RemoteId", str)
"""The provider's id of a batch."""
FileId = NewType("FileId", str)
"""The provider's id of a file."""
RecordRef = NewType("RecordRef", int)
"""Where a stored body is; opaque outside `store/`."""
Fingerprint = NewType("Fingerprint", bytes)
"""SHA-256 of the request the model would see."""

_CUSTOM_ID = re.compile(r"([0-9a-f]{16})-([0-9]{1,6})\Z")


_ESCAPED = re.compile(r'[%#\[\]"*?!\\]|[^\S ]|[\x00-\x1f\x7f]')
_ITEM = re.compile(
    r"""([^\[\]]+)\["((?:[^"\\]|\\.)*)"
        (?:,\x20?"((?:[^"\\]|\\.)*)")?(?:,\x20?([1-9][0-9]{0,8}))?\]""",
    re.DOTALL | re.VERBOSE,
)


class Member(NamedTuple):
    """What the address of a job names: a job as it is written, or one of its variants or samples.

    Every row goes through every member of a job, and each member has items of its own. The first
    sample has the address without a number, so that more samples leave it as it is.
    """

    group: JobAddress
    """`module.variable`."""
    variant: str | None = None
    sample: int = 1

    @property
    def address(self) -> JobAddress:
        """Return `module.variable@variant#sample`."""
        variant = "" if self.variant is None else f"@{_ESCAPED.sub(_escaped, self.variant)}"
        sample = "" if self.sample == 1 else f"#{self.sample}"
        return JobAddress(f"{self.group}{variant}{sample}")


def _escaped(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogatepass"))


@lru_cache(maxsize=4096)  # asked for with every item, of few jobs
def member(job: JobAddress) -> Member:
    """Take the address of a job apart; it is the inverse of `Member.address`."""
    head, at, rest = job.partition("@")
    text, mark, number = (rest if at else head).partition("#")
    if mark and not re.fullmatch("[1-9][0-9]*", number):
        text, number = rest if at else head, ""
    sample = int(number or 1)
    if not at:
        return Member(JobAddress(text), None, sample)
    return Member(JobAddress(head), _unescaped(text), sample)


def _unescaped(text: str) -> str:
    parts = re.split("((?:%[0-9A-F]{2})+)", text)
    for at in range(1, len(parts), 2):
        parts[at] = bytes.fromhex(parts[at].replace("%", "")).decode("utf-8", "surrogatepass")
    return "".join(parts)


def group_of(job: JobAddress) -> JobAddress:
    """Return the address of a job without its variant and sample."""
    return member(job).group


def item_address(job: JobAddress, key: str) -> str:
    """Return the address of one item: `module.job["key"]`, `["key","variant"]`, `["key",2]`."""
    of = member(job)
    variant = "" if of.variant is None else f",{_quoted(of.variant)}"
    sample = "" if of.sample == 1 else f",{of.sample}"
    return f"{of.group}[{_quoted(key)}{variant}{sample}]"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def answer_key(key: str, of: Member) -> RowKey:
    """Return the key of an answer among those of all variants and samples of a job.

    It is `key,variant,sample`; the number of the first sample is left out.
    """
    parts = [key, *([] if of.variant is None else [of.variant])]
    parts = [part.replace("\\", "\\\\").replace(",", "\\,") for part in parts]
    return RowKey(",".join([*parts, *([] if of.sample == 1 else [str(of.sample)])]))


def answered_by(group: JobAddress, key: str, *, varied: bool) -> tuple[JobAddress, RowKey]:
    """Take the key of an answer apart: the variant or sample that gave it, and the key there.

    It is the inverse of `answer_key`, for keys made by it.

    Args:
        group: The job with the variants and samples.
        key: Of the answer among those of all of them.
        varied: Whether there are variants, and not samples alone.
    """
    found = re.findall(r"((?:[^,\\]|\\.)*)(?:,|\Z)", key, re.DOTALL)
    inner, *rest = map(_unquoted, found[:-1] or [""])
    variant = rest.pop(0) if varied and rest else None
    sample = int(rest[0]) if rest and rest[0].isdecimal() else 1
    return Member(group, variant, sample).address, RowKey(inner)


def parse_address(text: str) -> tuple[JobAddress, RowKey | None]:
    """Split the address of an item; a text without brackets is a job's address.

    `module.job["key","variant"]` is of the job `module.job@variant`.
    """
    match = _ITEM.fullmatch(text)
    if match is None:
        return JobAddress(text), None
    key = RowKey(_unquoted(match[2]))
    if match[3] is None and match[4] is None:
        return JobAddress(match[1]), key
    of = member(JobAddress(match[1]))
    variant = of.variant if match[3] is None else _unquoted(match[3])
    return of._replace(variant=variant, sample=int(match[4] or 1)).address, key


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)


def names(pattern: str, job: JobAddress) -> bool:
    """Tell whether an address, which may be a glob, means a job or an item of it.

    `module.job` means all variants and samples, `module.job@terse` all samples of one, and
    `module.job["key"]` the row in every variant, or that item where there are none.
    """
    address, key = parse_address(pattern)
    if fnmatchcase(job, address):
        return True
    of = member(job)
    wider = [] if of.variant is None else [of.group]
    if key is None:
        wider = [of.group, of._replace(sample=1).address]
    return any(fnmatchcase(name, address) for name in wider)


def custom_id(fingerprint: Fingerprint, turn: int) -> str:
    """Return our key in the provider's file, `<fingerprint[:16]>-<turn>`.

    It fits `^[a-zA-Z0-9_-]{1,64}$`, the strictest pattern among providers.
    """
    return f"{fingerprint[:8].hex()}-{turn}"


def parse_custom_id(text: str) -> tuple[bytes, int] | None:
    """Return (first 8 bytes of the fingerprint, turn), or None when the text is not ours."""
    match = _CUSTOM_ID.match(text)
    return (bytes.fromhex(match[1]), int(match[2])) if match else None


def uuid7(unix_ms: int, random: bytes) -> str:
    """Return a UUIDv7 in hex: sortable by time, unique by `random` (10 bytes)."""
    value = (unix_ms & 0xFFFF_FFFF_FFFF) << 80 | int.from_bytes(random[:10], "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return f"{value:032x}"
