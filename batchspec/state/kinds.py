"""The closed words for what happens to a row, and why."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal


class Kind(StrEnum):
    """What happens to a row; the value is the symbol people see."""

    SUBMIT = "+"
    UPDATE = "~"
    RESUBMIT = "-/+"
    CONTINUE = ">>"
    REUSE = "="
    CANCEL = "x"
    FORGET = "."
    DRIFT = "!"
    UNKNOWN = "?"
    KEEP = " "
    """Nothing to do."""

    @property
    def meaning(self) -> str:
        """Return the words a legend shows beside the symbol."""
        return _MEANING[self]


_MEANING: Mapping[Kind, str] = {
    Kind.SUBMIT: "submit",
    Kind.UPDATE: "update in place (free)",
    Kind.RESUBMIT: "resubmit",
    Kind.CONTINUE: "continue with a further turn",
    Kind.REUSE: "reuse an answer already paid for",
    Kind.CANCEL: "cancel",
    Kind.FORGET: "forget",
    Kind.DRIFT: "drift",
    Kind.UNKNOWN: "outcome unknown",
    Kind.KEEP: "keep",
}

ReasonCode = Literal[
    "NEW_JOB",
    "NEW_ROWS",
    "ROW_CHANGED",
    "ROW_DATA_CHANGED",
    "PROMPT_CHANGED",
    "MODEL_CHANGED",
    "SCHEMA_CHANGED",
    "TOOL_CONTRACT_CHANGED",
    "SETTINGS_CHANGED",
    "TRIGGERED",
    "POLICY_CHANGED",
    "SAME_REQUEST",
    "MOVED",
    "REQUESTED",
    "TAINTED",
    "ANSWER_EXPIRED",
    "FAILED",
    "BATCH_EXPIRED",
    "CANCELLED",
    "BATCH_CANCELLED_REMOTELY",
    "BATCH_FAILED",
    "BATCH_GONE",
    "OUTPUT_GONE",
    "FOREIGN_LINEAGE",
    "ACCOUNT_CHANGED",
    "BATCH_IN_PROGRESS",
    "TURN_PENDING",
    "TOOL_CALLS_PENDING",
    "OUTCOME_UNKNOWN",
    "UPSTREAM_PENDING",
    "ROW_REMOVED",
    "JOB_REMOVED",
    "PROTECT_CHANGED",
    "UNWANTED",
]
"""Why a row changes; closed, so that scripts may branch on it."""
