"""Making sources of answers from the references that users write."""

import importlib.util
import sys
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from types import ModuleType
from typing import Any

from batchspec.simulator.answers.functions import CallableModel
from batchspec.simulator.answers.port import Model
from batchspec.simulator.answers.recorded import RecordedModel
from batchspec.simulator.answers.routing import JobOf, RoutedModel
from batchspec.simulator.answers.schema_model import SchemaModel
from batchspec.spec.origin import raise_site


def load_model(reference: str, *, fallback: Model | None = None, root: Path = Path()) -> Model:
    """Make the source of answers that a reference names.

    Args:
        reference: `path/to/file.py:name` of a function or of an object with an `answer` method, or
            `path/to/file.jsonl` of recorded answers.
        fallback: Answers what is not recorded.
        root: What relative paths start from.

    Raises:
        ValueError: The reference, or what it refers to, is of neither kind; the message says why.
        OSError: The file cannot be read.
    """
    return _Loader(root, fallback).load(reference)


def load_answers(
    answers: str | Mapping[str, str], *, root: Path = Path(), job_of: JobOf | None = None
) -> Model:
    """Make one source of a reference, or of a table from patterns to references.

    What no pattern fits gets made-up answers.

    Args:
        answers: As for `load_model`; keys of a table as for `RoutedModel`.
        root: What relative paths start from.
        job_of: Finds the job of a line, for patterns of jobs.

    Raises:
        ValueError: A reference, or what it refers to, is not right.
        OSError: A file cannot be read.
    """
    loader = _Loader(root)
    if isinstance(answers, str):
        return loader.load(answers)
    routes = {pattern: loader.load(reference) for pattern, reference in answers.items()}
    return RoutedModel(routes, SchemaModel(), job_of=job_of)


class _Loader:
    """Runs each file once, however many of its functions are wanted."""

    def __init__(self, root: Path, fallback: Model | None = None) -> None:
        self._root = root
        self._fallback = fallback
        self._modules: dict[Path, ModuleType] = {}

    def load(self, reference: str) -> Model:
        if reference.endswith(".jsonl"):
            return RecordedModel(self._root / reference, fallback=self._fallback)
        name, separator, attribute = reference.rpartition(":")
        if not separator or not name.endswith(".py"):
            raise ValueError(
                f"{reference!r} names no answers; write path/to/file.py:function or "
                "path/to/file.jsonl."
            )
        found: Any = getattr(self._module(self._root / name), attribute, None)
        if hasattr(found, "answer"):
            model: Model = found
            return model
        if callable(found):
            return CallableModel(found)
        raise ValueError(f"{name} has no function {attribute!r}.")

    def _module(self, path: Path) -> ModuleType:
        if path not in self._modules:
            self._modules[path] = _run(path)
        return self._modules[path]


def _run(path: Path) -> ModuleType:
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {str(path)!r}.")
    place = blake2b(str(path.resolve()).encode(), digest_size=4).hexdigest()
    module_name = f"_answers_{path.stem}_{place}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{str(path)!r} is not a Python module.")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and pydantic look their module up by name while it is being executed.
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[module_name]
        where = raise_site(error)
        place = f"{path}:{where.line}" if where and where.file == str(path) else str(path)
        told = error.msg if isinstance(error, SyntaxError) else error
        raise ValueError(f"{place}: {type(error).__name__}: {told}") from error
    return module
