"""What every fault has: the conditions under which it strikes."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt, field_validator

from batchspec.simulator.faults.operations import OPERATIONS, pick
from batchspec.spec.suggest import did_you_mean


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, int | str) else value


Numbers = Annotated[tuple[PositiveInt, ...], BeforeValidator(_listed)]
Patterns = Annotated[tuple[str, ...], BeforeValidator(_listed)]


@dataclass(frozen=True, slots=True)
class Occasion:
    """Something a fault could strike: a call, a new file or batch, a request that is answered."""

    operation: str | None = None
    model: str | None = None
    custom_id: str | None = None
    purpose: str | None = None
    event: str | None = None


class Fault(BaseModel):
    """A kind of fault, its options, and when it strikes.

    An occasion counts for `nth`, `every` and `times` when it fulfils all other conditions but
    `probability`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    behaviours: ClassVar[tuple[int, ...]] = ()
    """Numbers of the behaviours that it shows, in `BEHAVIOURS`."""

    fault: Any
    probability: float = Field(default=1.0, ge=0, le=1)
    """Chance of striking at each occasion, drawn from the seed."""
    nth: Numbers = ()
    """Only at these occasions, counted from 1: a number or a list."""
    every: PositiveInt | None = None
    """Only at every so many occasions."""
    times: PositiveInt | None = None
    """At most so many times in all."""
    after: float = Field(default=0.0, ge=0)
    """Only from so many seconds after the rule was added."""
    until: float | None = Field(default=None, gt=0)
    """Only up to so many seconds after the rule was added."""

    @classmethod
    def known_as(cls) -> str:
        """Return the name of this kind of fault."""
        return str(cls.model_fields["fault"].default)

    def fits(self, occasion: Occasion) -> bool:
        """Tell whether an occasion is one of those that the rule is about."""
        _ = occasion
        return True

    def key(self, occasion: Occasion) -> str:
        """Return what is counted separately; by default nothing is."""
        _ = occasion
        return ""

    def strikes(self, seen: int, hit: int, chance: float) -> bool:
        """Decide one occasion.

        Args:
            seen: Its number among those that fit, from 1.
            hit: How many of those before were struck.
            chance: The draw, in [0, 1).
        """
        if self.times is not None and hit >= self.times:
            return False
        if self.nth and seen not in self.nth:
            return False
        if self.every is not None and seen % self.every:
            return False
        return chance < self.probability

    def document(self) -> dict[str, Any]:
        """Return the rule as JSON, without what is left at its default."""
        said = self.model_dump(mode="json", exclude_defaults=True)
        return {"fault": self.known_as(), **said}


def _matches(pattern: str | None, value: str | None) -> bool:
    return pattern is None or (value is not None and fnmatchcase(value, pattern))


class ModelFault(Fault):
    """A fault of something that is about one model."""

    model: str | None = None
    """Only for models that match this pattern, as `gpt-5-*`."""

    def fits(self, occasion: Occasion) -> bool:
        return _matches(self.model, occasion.model)


class RequestFault(ModelFault):
    """A fault of one request, of a batch or alone, when it is answered."""

    custom_id: str | None = None
    """Only for requests whose custom_id matches this pattern; others have none."""
    per: Literal["rule", "custom_id"] = "rule"
    """`custom_id` counts the occasions of each custom_id by itself."""

    def fits(self, occasion: Occasion) -> bool:
        return super().fits(occasion) and _matches(self.custom_id, occasion.custom_id)

    def key(self, occasion: Occasion) -> str:
        return occasion.custom_id or "" if self.per == "custom_id" else ""


class OperationFault(ModelFault):
    """A fault of a call; `on` says of which ones."""

    on: Patterns = ("*",)
    """The operations: names as `batches.create`, or patterns as `files.*`; one or a list."""

    @field_validator("on")
    @classmethod
    def _known(cls, patterns: Sequence[str]) -> Sequence[str]:
        for pattern in patterns:
            if not pick(pattern):
                raise ValueError(
                    f"there is no operation {pattern!r}. {did_you_mean(pattern, OPERATIONS)}"
                )
        return patterns

    def fits(self, occasion: Occasion) -> bool:
        called = occasion.operation or ""
        return super().fits(occasion) and any(fnmatchcase(called, name) for name in self.on)
