"""What became of one turn of a conversation, as values."""

from dataclasses import dataclass
from typing import NamedTuple

from batchspec.messages import Outcome, ToolCall


@dataclass(frozen=True, slots=True)
class Answered:
    """The item has its outcome; `reason` says why where it did not succeed."""

    outcome: Outcome
    reason: str | None = None
    resumable: bool = False
    """Whether its turn was never answered, so that it goes on there when it is sent again."""
    text: str = ""
    """What was accepted as the answer."""
    bound: bool = False
    """Whether only a bound of its job ended it, so that it goes on from its reply once that is
    higher."""


class CallAnswer(NamedTuple):
    """What the model is told of one of its calls, by the id of the call."""

    call: str
    content: str


@dataclass(frozen=True, slots=True)
class CallTools:
    """The model asks for tools; the next turn carries their results.

    `answers` are of calls that are not run: they held an output that is not acceptable.
    """

    calls: tuple[ToolCall, ...]
    answers: tuple[CallAnswer, ...] = ()


@dataclass(frozen=True, slots=True)
class AskAgain:
    """The output is not acceptable; the next turn tells the model why.

    With `answers` each call of the reply gets one of them, else `feedback` is a message by itself.
    """

    feedback: str
    answers: tuple[CallAnswer, ...] = ()


@dataclass(frozen=True, slots=True)
class SendAgain:
    """The turn was not answered; the same request goes into another batch."""

    reason: str
    wait: bool = True
    """Whether it failed in passing, so that it goes after a while; what never ran goes at once."""


Settlement = Answered | CallTools | AskAgain | SendAgain
