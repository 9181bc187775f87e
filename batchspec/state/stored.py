"""What a store hands out and takes in, row by row; most exist once per row and are named tuples."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, NamedTuple

from batchspec.ids import ConversationId, Fingerprint, JobAddress, RecordRef, RemoteId, RowKey
from batchspec.messages import Outcome, Usage
from batchspec.state.records import ConversationPhase
from batchspec.state.resumption import FIRST
from batchspec.state.settlement import Settlement


class RecordedRow(NamedTuple):
    """What the state holds for a row: its own item, and a conversation with the same request."""

    fingerprint: Fingerprint | None = None
    """Of the item's conversation; None: the job has no item with this key."""
    phase: ConversationPhase | None = None
    outcome: Outcome | None = None
    contract: int | None = None
    request: RecordRef | None = None
    """Where the item's row and first messages are."""
    digest: int | None = None
    """Of the item's row."""
    tainted: bool = False
    """A person wants another answer than the one it has."""
    gone: bool | None = False
    """Whether its answer was lost with its whole batch."""
    stopped: bool = False
    """A person cancelled it, unless it was answered all the same."""
    resumable: int = FIRST
    """How it goes on when it is sent again, see `state.resumption`."""
    turn: int = 1
    asked: int = 0
    """How often the model had been asked again before its last reply."""
    replied: bool = False
    """Whether a model replied; what is stored may be an error all the same."""
    begun: str | None = None
    """Names of tools with calls that began and have no answer, a JSON array, where one of them was
    `once`."""
    resent: int | None = None
    """Bytes of the request it goes on with if it is sent again, where it does not begin anew."""
    expired: bool | None = False
    """Whether it has an answer that is older than the job allows."""
    same: ConversationId | None = None
    """A conversation, of any job, with the wanted request."""
    same_phase: ConversationPhase | None = None
    same_outcome: Outcome | None = None
    same_tainted: bool = False
    same_gone: bool | None = False
    same_stopped: bool = False
    same_resent: int | None = None
    same_expired: bool | None = False


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Two rows of a job have one key; lines as the source counts them."""

    key: str
    first: int | None
    second: int | None


@dataclass(frozen=True, slots=True)
class DraftTotals:
    """What a draft would send for one job."""

    requests: int
    bytes: int
    data: int = 0
    """Bytes that are no prompt, see `state.tokens`."""

    @property
    def prompt(self) -> int:
        """Return the bytes that count as prompt."""
        return self.bytes - self.data


class LastTurn(NamedTuple):
    """The turn of the last request of a conversation, from 1, and whether it was answered."""

    number: int
    answered: bool


class MadeOf(NamedTuple):
    """The job, or the variants and samples of one, that must have an answer for a row.

    `seen`: that answer must have been there before this serial of the state; what was made of an
    older one is about to change. `several`: the row's key says which of the job's variants and
    samples; `varied`: there are variants.
    """

    job: JobAddress
    seen: int
    several: bool = False
    varied: bool = False


@dataclass(frozen=True, slots=True)
class Fresh:
    """Which answers of a job are news for one that is made of them.

    Attributes:
        since: Answers that are what they are from this serial of the state on; 0: all of them.
        made_of: What they must be made of, the nearest first, each made of the next.
    """

    since: int = 0
    made_of: tuple[MadeOf, ...] = ()


class StoredRequest(NamedTuple):
    """A member of a batch, to be written to its input file."""

    custom_id: str
    contract: int
    turn: int
    messages_json: bytes


class Waiting(NamedTuple):
    """A request that can be sent; `size` is that of its line, without the newline.

    `data` are the bytes of it that are no prompt.
    """

    id: ConversationId
    job: int
    size: int
    data: int = 0


class Member(NamedTuple):
    """A member of a batch, to be settled."""

    custom_id: str
    conversation: ConversationId
    job: JobAddress
    turn: int
    attempts: int
    output_retries: int
    request: RecordRef
    tries: int
    contract: int
    wanted: bool
    """False when no item wants the conversation any more: its answer is kept, nothing is sent."""


class Judged(NamedTuple):
    """What became of a member: the settlement, where its reply is, and what it cost."""

    member: Member
    settlement: Settlement
    reply: RecordRef | None
    usage: Usage
    cost: float | None
    body: RecordRef | None = None
    size: int = 0
    """Where the accepted text is; or the next turn's messages, with the bytes of its line."""


class FinalReply(NamedTuple):
    """A reply that gave an item its outcome, to be judged again."""

    conversation: ConversationId
    reply: RecordRef
    turn: int
    outcome: Outcome
    reason: str | None
    output_retries: int
    """How often the model had been asked again before it."""
    endpoint: str
    """Of the request it answers."""
    resumable: int = FIRST
    answer: RecordRef | None = None
    """Where the accepted text is."""


class Verdict(NamedTuple):
    """What a stored reply is by today's rules, and how its conversation goes on from it."""

    outcome: Outcome
    reason: str | None
    resumable: int
    conversation: ConversationId
    answer: RecordRef | None = None
    """Where the text that is accepted now is; None: where it was, if there is one."""


class StoredReply(NamedTuple):
    """A reply that a conversation is to go on from, once it is judged again."""

    conversation: ConversationId
    request: RecordRef
    reply: RecordRef
    turn: int
    output_retries: int
    contract: int
    endpoint: str


class Resumed(NamedTuple):
    """What a stored reply asks for; `body` and `size` are as in `Judged`."""

    stored: StoredReply
    settlement: Settlement
    body: RecordRef | None = None
    size: int = 0


class CallRecord(NamedTuple):
    """A tool call on record."""

    position: int
    call_id: str
    name: str
    arguments: str
    status: Literal["waiting", "running", "done", "failed"]
    result: str | None
    attempts: int = 0
    """How often its function was called; one that runs counts."""
    seconds: float | None = None
    started_at: float | None = None
    """Unix seconds of the last time it began; None: no function was called."""
    reused: bool = False
    """Whether the answer is that of an equal call of a pure tool."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolTurn:
    """A conversation that waits for tool results."""

    conversation: ConversationId
    turn: int
    request: RecordRef
    reply: RecordRef
    contract: int
    key: RowKey | None
    """None when no item wants it any more."""
    row: RecordRef | None
    calls: tuple[CallRecord, ...]
    earlier: Mapping[str, int] = field(default_factory=dict[str, int])
    """Calls of earlier turns, by name."""
    tried: Mapping[str, int] = field(default_factory=dict[str, int])
    """Turns in a row, up to this one, in which the model was told to call a tool in another way."""


class CallDone(NamedTuple):
    """A tool call that ended.

    `memo` is the key under which other calls may have its answer; `wrong` tells whether the model
    was told to call in another way.
    """

    conversation: ConversationId
    turn: int
    position: int
    status: Literal["done", "failed"]
    result: str
    attempts: int = 0
    seconds: float | None = None
    reused: bool = False
    memo: bytes | None = None
    wrong: bool = False


class NextTurn(NamedTuple):
    """A conversation after its tools: the next turn, or how it ended."""

    conversation: ConversationId
    request: RecordRef | None = None
    size: int = 0
    outcome: Outcome | None = None
    reason: str | None = None
    resumable: int = FIRST


class StoredTurn(NamedTuple):
    """One request of a conversation, and the line that came back; None: none did, or not yet."""

    turn: int
    contract: int
    messages_json: bytes
    line: bytes | None
    batch: RemoteId | None
    """Which batch carried it; None: of the last turn, which is not kept."""
    usage: Usage
    cost: float | None
    """US dollars; None: the price is unknown."""
    calls: tuple[CallRecord, ...]
    answer: int = 1
    """Which of the answers that were asked for to this request it is of, from 1."""
    replaced: bool = False
    """Whether that is neither the answer the item has nor the one it waits for."""


class Spent(NamedTuple):
    """What answers took; `cost` is in US dollars, None where a price is unknown."""

    usage: Usage
    cost: Decimal | None
    turns: int


class StoredItem(NamedTuple):
    """One item, read back.

    `text` is the accepted text as JSON; where there is none, `line` is the last raw reply line.
    """

    key: RowKey
    row_json: bytes
    phase: ConversationPhase
    outcome: Outcome | None
    reason: str | None
    text: bytes | None
    line: bytes | None
    turns: int
    usage: Usage
    cost: float | None
    """US dollars of all turns; None: a price is unknown."""
    endpoint: str
    """What the last reply line is of."""
    previous: bool = False
    """True when this is the old answer of an item whose new request is not answered yet."""
    output_retries: int = 0
    """How often the model was asked again because of its output."""
