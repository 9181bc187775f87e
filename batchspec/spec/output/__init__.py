"""Output modes: what a job asks the model to answer with, and how the answer is read."""

from typing import Any

from batchspec.spec.feedback import FEEDBACK, OutputInvalid, error_details
from batchspec.spec.output.markers import (
    NativeOutput,
    OrNothing,
    PromptedOutput,
    TextOutput,
    ToolOutput,
)
from batchspec.spec.output.members import finished, is_several
from batchspec.spec.output.modes import (
    Candidate,
    NativeMode,
    OutputMode,
    PromptedMode,
    SchemaMode,
    TextMode,
)
from batchspec.spec.output.tools import ToolMode, text_allowed

__all__ = [
    "FEEDBACK",
    "Candidate",
    "NativeMode",
    "NativeOutput",
    "OrNothing",
    "OutputInvalid",
    "OutputMode",
    "PromptedMode",
    "PromptedOutput",
    "SchemaMode",
    "TextMode",
    "TextOutput",
    "ToolMode",
    "ToolOutput",
    "error_details",
    "finished",
    "output_mode",
]


def output_mode(output: Any) -> OutputMode:  # noqa: PLR0911 - a table
    """Return the mode a job's `output` stands for.

    A type, a function or a list of them is asked for in native mode; a list with a `ToolOutput` or
    with text in it, in tool mode.
    """
    match output:
        case None:
            return TextMode()
        case OrNothing():
            mode = output_mode(output.output)
            mode.allows_nothing = mode.typed = True
            return mode
        case NativeOutput():
            return NativeMode(output)
        case PromptedOutput():
            return PromptedMode(output)
        case ToolOutput():
            return ToolMode([output])
        case TextOutput():
            return TextMode(output)
        case _ if output is str:
            return TextMode()
        case _ if is_several(output):
            return _of_several(list(output))
        case _:
            return NativeMode(NativeOutput(output))


def _of_several(outputs: list[Any]) -> OutputMode:
    text = text_allowed(outputs)
    others = [each for each in outputs if each is not str and not isinstance(each, TextOutput)]
    if not others:
        return text or TextMode()
    if text is None and not any(isinstance(each, ToolOutput) for each in others):
        return NativeMode(NativeOutput(others))
    return ToolMode(
        [each if isinstance(each, ToolOutput) else ToolOutput(each) for each in others], text
    )
