"""What is found in an agent that a job cannot do, or does in another way."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from batchspec.errors import Diagnostic, Severity, Source
from batchspec.spec.suggest import did_you_mean

NAMES = (
    "capabilities",
    "deps",
    "end_strategy",
    "events",
    "instrument",
    "max_concurrency",
    "model",
    "model_settings",
    "output_type",
    "prepare",
    "pydantic_ai",
    "tools",
    "toolsets",
    "validation_context",
)
"""What `ignore=[…]` of `Job.from_agent` may name."""


@dataclass(slots=True)
class Findings:
    """Collects what is found; nothing that is dropped is dropped without a word.

    Attributes:
        source: Where the job is made.
        ignore: Names of what the user accepts.
        told: What was found and is not accepted.
    """

    source: Source
    ignore: Sequence[str] = ()
    told: list[Diagnostic] = field(default_factory=list[Diagnostic])

    def __post_init__(self) -> None:
        for name in self.ignore:
            if name not in NAMES:
                hint = did_you_mean(str(name), NAMES)
                self.broken(f"`ignore` names nothing an agent has: {name!r}. {hint}")

    def accepts(self, name: str) -> bool:
        """Tell whether the user accepts that this is left out."""
        return name in self.ignore

    def broken(self, detail: str) -> None:
        """Note an error that cannot be accepted."""
        self._tell("agent cannot be a job", detail, "error")

    def refuse(self, name: str, detail: str) -> None:
        """Note what would make the job behave in another way than the agent."""
        if not self.accepts(name):
            advice = f'Accept it with `ignore=["{name}"]`, or change the agent.'
            self._tell("part of the agent cannot be carried over", f"{detail} {advice}", "error")

    def note(self, name: str, detail: str) -> None:
        """Note what is left out or different, and changes no answer."""
        if not self.accepts(name):
            advice = f'`ignore=["{name}"]` says that you know.'
            self._tell("part of the agent is left out", f"{detail} {advice}", "warning")

    @property
    def errors(self) -> bool:
        """Whether the job cannot be made."""
        return any(found.severity == "error" for found in self.told)

    def _tell(self, summary: str, detail: str, severity: Severity) -> None:
        self.told.append(
            Diagnostic(summary=summary, detail=detail, source=self.source, severity=severity)
        )


def listed(names: Iterable[str]) -> str:
    """Return names as a person writes them, `'a', 'b'`."""
    return ", ".join(repr(name) for name in names)
