"""Items for exports, without a project behind them."""

import json
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from batchspec.messages import Outcome, Usage

USAGE = Usage(10, 4, 2, 1)


@dataclass(frozen=True, kw_only=True)
class Answered:
    """An item as the project hands it out."""

    key: str
    row: dict[str, Any] = field(default_factory=dict)
    output: Any = None
    outcome: Outcome | None = "succeeded"
    reason: str | None = None
    usage: Usage = USAGE
    cost: Decimal | None = Decimal("0.0000042")
    turns: int = 1
    grade: float | bool | None = None
    previous: bool = False
    variant: str | None = None
    sample: int = 1
    packed: bytes | None = None

    @property
    def address(self) -> str:
        return f'tickets.triage["{self.key}"]'

    @property
    def row_json(self) -> bytes:
        return json.dumps(self.row).encode()

    def output_json(self) -> Any:
        return self.output

    def vector(self) -> bytes | None:
        return self.packed
