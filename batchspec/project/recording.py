"""Recording what providers answer, and replaying it under `--simulate`."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchspec.config import Settings
from batchspec.errors import ConfigurationError, StateError
from batchspec.messages import JsonObject
from batchspec.providers.openai.lines import parse
from batchspec.spec.shapes import is_mapping

if TYPE_CHECKING:
    from batchspec.simulator import Model, RecordedModel, Recording


def open_recordings(
    settings: Settings, root: Path, stack: ExitStack, *, adding: bool = False
) -> "dict[str, Recording]":
    """Open the recording of every provider that has one; one file may serve several.

    Args:
        settings: Name the files.
        root: Where their paths begin.
        stack: Closes them.
        adding: Whether answers are to be added, which one process at a time does.

    Raises:
        ConfigurationError: A file cannot be read or is none, or cannot be added to.
    """
    files = {name: own.record for name, own in settings.providers.items() if own.record is not None}
    if not files:
        return {}
    from batchspec.simulator import Recording  # noqa: PLC0415 - slow, and few runs need it

    opened: dict[Path, Recording] = {}
    found: dict[str, Recording] = {}
    for name, file in files.items():
        path = (root / file).resolve()
        if path not in opened:
            try:
                opened[path] = Recording(path, growing=True)
                if adding:
                    opened[path].claim()
            except (ValueError, OSError) as error:
                raise ConfigurationError(
                    f"providers.{name}.record is not right: {error}"
                ) from error
            stack.callback(opened[path].close)
        found[name] = opened[path]
    return found


class FileRecorder:
    """Implements `apply.world.Recorder` with a file."""

    def __init__(self, recording: "Recording") -> None:
        self._recording = recording

    def record(self, custom_id: str, body: JsonObject, line: bytes) -> None:
        """Keep an answer, once.

        Raises:
            StateError: The file cannot be written.
        """
        try:
            answer = parse(line)
        except ValueError:
            return  # nobody can replay it
        if not is_mapping(answer):
            return
        try:
            self._recording.append(custom_id, body, answer.get("response"), answer.get("error"))
        except OSError as error:
            raise self._failure(error) from error

    def flush(self) -> None:
        """Make it durable.

        Raises:
            StateError: The file cannot be written.
        """
        try:
            self._recording.flush()
        except OSError as error:
            raise self._failure(error) from error

    def _failure(self, error: OSError) -> StateError:
        return StateError(
            f"The recording {self._recording.path} cannot be written: {error.strerror or error}. "
            "Nothing is lost; mend that, or remove `record` of the provider, and apply again."
        )


def replaying(
    recordings: "Mapping[str, Recording]", model: "Model | None"
) -> "tuple[Model | None, list[RecordedModel]]":
    """Put recordings before a source of answers; returns the first one to ask, and all of them."""
    from batchspec.simulator import RecordedModel, SchemaModel  # noqa: PLC0415 - few runs need it

    replays: list[RecordedModel] = []
    answers: Any = model
    for recording in {id(r): r for r in recordings.values()}.values():
        answers = RecordedModel(recording, fallback=answers or SchemaModel())
        replays.append(answers)
    return answers, replays


def replay_note(replays: "list[RecordedModel]") -> str | None:
    """Say how many answers came from recordings; None where there is no recording."""
    if not replays:
        return None
    replayed = sum(replay.replayed for replay in replays)
    # The first one made is the last one asked.
    missed = replays[0].missed
    return f"{replayed} answers were replayed; {missed} were in no recording and were made up."
