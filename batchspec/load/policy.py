"""Following what a job runs on this machine through the project's source files."""

import ast
import copy
import sys
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from types import FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple, TypeGuard, cast, get_args

from pydantic import BaseModel

from batchspec.desired.graph import DesiredJob
from batchspec.desired.policy import canonical_ast, canonical_value, chains, policy
from batchspec.fingerprint import canonical_json
from batchspec.spec.job import Job
from batchspec.spec.origin import is_users
from batchspec.spec.shapes import is_list, is_mapping, is_set
from batchspec.spec.tool import Tool

_STATELESS = frozenset({"_thread", "threading", "logging"})
"""Modules of objects that change no answer."""
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class Sources:
    """The project's files as syntax trees, each parsed once per load."""

    def __init__(self) -> None:
        self._trees: dict[str, ast.Module | None] = {}

    def tree(self, file: str) -> ast.Module | None:
        """Return the tree of a file, None where it is not the user's or cannot be read."""
        if file not in self._trees:
            self._trees[file] = _parse(file) if is_users(file) else None
        return self._trees[file]


def policy_of(desired: DesiredJob, sources: Sources) -> tuple[bytes, bytes]:
    """Return the policy fingerprint of a job and its payload; call it while modules are importable.

    It covers the bodies of tools and validators, the output type, and every function,
    class and constant of the project they use. It cannot see dynamic access (`getattr`, `eval`) or
    the code of installed packages. `grade` is not in it: a score is computed when it is read.
    """
    job = desired.job
    roles: dict[str, Any] = {f"tool {name}": tool for name, tool in desired.tools.items()}
    roles |= {f"validator {n}": v for n, v in enumerate(job.output_validators, 1)}
    roles |= desired.output.runs
    reach = _Reach(sources)
    entries = {role: reach.form(thing) for role, thing in roles.items()}
    bounds = {"output_retries": job.output_retries, "max_turns": job.max_turns}
    bounds |= {f"max_retries of {n}": most for n, most in desired.output.max_retries.items()}
    return policy(entries, reach.found, bounds)


class Code(NamedTuple):
    """What one tool runs.

    Attributes:
        fingerprint: Of its function and of all of the project it uses, with the state of objects.
        unsaid: The types of objects it uses whose state has no canonical form: two objects that
            differ may have one fingerprint.
    """

    fingerprint: bytes
    unsaid: tuple[str, ...]


def code_of(tool: Tool[..., Any], sources: Sources) -> Code:
    """Return the fingerprint of one tool, and what it does not cover."""
    reach = _Reach(sources, whole=True)
    digest, _ = policy({"tool": reach.form(tool)}, reach.found, {})
    return Code(digest, tuple(reach.unsaid))


class _Reach:
    """Collects the canonical forms of what is used, each definition once.

    Args:
        sources: The project's files.
        whole: Say the state of objects of installed packages, too, and private attributes.
    """

    def __init__(self, sources: Sources, *, whole: bool = False) -> None:
        self.found: dict[str, Any] = {}
        self.unsaid: dict[str, None] = {}
        self._sources = sources
        self._whole = whole
        self._seen: set[str] = set()
        self._followed: set[str] = set()
        self._inside: set[int] = set()

    def form(self, thing: Any) -> Any:
        """Return the canonical form of a thing, and collect the forms of what it uses."""
        if isinstance(thing, Tool):
            thing = cast("Tool[..., Any]", thing).function
        if id(thing) in self._inside:
            return ["again"]
        self._inside.add(id(thing))
        try:
            return self._form(thing)
        except Exception:  # noqa: BLE001 - users' objects may raise anything, also when looked at
            return self._object(thing)
        finally:
            self._inside.discard(id(thing))

    def _form(self, thing: Any) -> Any:
        if isinstance(thing, MethodType):
            return ["method", self.form(thing.__func__), self.form(thing.__self__)]
        inner = getattr(thing, "__wrapped__", None) if callable(thing) else None
        if inner is not None and not isinstance(thing, type):
            return ["wrapped", self._bare(thing), self.form(inner)]
        return self._bare(thing)

    def _bare(self, thing: Any) -> Any:  # noqa: PLR0911 - one kind of thing each
        if _is_partial(thing):
            given = {name: self.form(value) for name, value in thing.keywords.items()}
            return ["partial", *map(self.form, (thing.func, *thing.args)), given]
        if isinstance(thing, FunctionType):
            return self._function(thing)
        if members := get_args(thing):
            return ["type", str(getattr(thing, "__origin__", "")), *map(self.form, members)]
        if isinstance(thing, type):
            return self._class(thing)
        if isinstance(thing, ModuleType | Job):
            return ["object", type(thing).__qualname__]
        if isinstance(thing, Enum):
            return ["enum", type(thing).__qualname__, thing.name, self.form(thing.value)]
        kind: type[Any] = thing.__class__
        if is_users(_file_of(kind)):
            return ["instance", self._class(kind), self._state(thing)]
        return self._value(thing)

    def _value(self, thing: Any) -> Any:
        """Return the form of a value that is of no class of the project."""
        if is_mapping(thing):
            return ["map", [[self.form(key), self.form(value)] for key, value in thing.items()]]
        if is_list(thing):
            return ["list", [self.form(item) for item in thing]]
        if is_set(thing):
            return ["set", sorted(map(self.form, thing), key=canonical_json)]
        form = canonical_value(thing)
        known = not (is_list(form) and form[0] == "object") or type(thing).__module__ in _STATELESS
        return form if known or not self._whole else self._reduced(thing)

    def _state(self, thing: Any) -> Any:
        """Return the form of what an object of a class of the project holds."""
        if self._whole:
            return self._reduced(thing)
        declared = is_dataclass(thing) or isinstance(thing, BaseModel)
        held = {
            name: self.form(value)
            for name, value in _attributes(thing)
            if declared or not name.startswith("_")
        }
        if is_mapping(thing) or is_list(thing) or is_set(thing):
            return [self._value(thing), held]
        return held

    def _reduced(self, thing: Any) -> Any:
        """Return the form of what a copy of an object would be made of."""
        try:
            made: str | tuple[Any, ...] = thing.__reduce_ex__(2)
        except Exception:  # noqa: BLE001 - a connection, a generator, or a class that says no
            return self._object(thing)
        if isinstance(made, str):
            return ["external", made]
        # Of what has items, these come as iterators.
        return ["copy", *(self.form(list(p) if _is_iterator(p) else p) for p in made)]

    def _object(self, thing: Any) -> list[Any]:
        self.unsaid[type(thing).__qualname__] = None
        return ["object", type(thing).__qualname__]

    def _function(self, function: FunctionType) -> Any:
        name = f"{function.__module__}:{function.__qualname__}"
        node = _find_function(self._sources.tree(function.__code__.co_filename), function)
        if node is None:
            return ["external", function.__qualname__]
        closed = _closure(function)
        scope = {**function.__globals__, **closed}
        form = self._definition(f"{name}:{function.__code__.co_firstlineno}", node, scope)
        return ["closure", form, {n: self.form(v) for n, v in closed.items()}] if closed else form

    def _class(self, cls: type[Any]) -> Any:
        node = _find_class(self._sources.tree(_file_of(cls)), cls.__qualname__)
        if node is None:
            return ["external", cls.__qualname__]
        scope = vars(sys.modules.get(cls.__module__, ModuleType("")))
        return self._definition(f"{cls.__module__}:{cls.__qualname__}", node, scope)

    def _definition(self, name: str, node: ast.AST, scope: Mapping[str, Any]) -> Any:
        form = canonical_ast(_without_our_decorators(node))
        if name not in self._followed:
            self._followed.add(name)
            for chain in chains(node):
                self._use(chain, scope)
        return form

    def _use(self, chain: tuple[str, ...], scope: Mapping[str, Any]) -> None:
        if chain[0] not in scope:
            return  # a local name, or a builtin
        value, used = scope[chain[0]], 1
        while _is(value, ModuleType) and used < len(chain):
            if not is_users(getattr(value, "__file__", None) or "<builtin>"):
                return
            value, used = getattr(value, chain[used], None), used + 1
        if _is(value, ModuleType, Job):
            return
        defined = value if _is(value, type, FunctionType) else None
        home = getattr(defined, "__module__", scope.get("__name__", ""))
        name = f"{home}:{'.'.join(chain[:used])}"
        if name not in self._seen:
            self._seen.add(name)
            form = self.form(value)
            if not (is_list(form) and form[0] in ("external", "object")):
                self.found[name] = form


def _is(thing: object, *kinds: type) -> bool:
    """Tell of what kind a thing is by its own type: a proxy may say anything, or raise."""
    return issubclass(type(thing), kinds)


def _is_iterator(thing: object) -> TypeGuard[Iterator[Any]]:
    return isinstance(thing, Iterator)


def _is_partial(thing: object) -> TypeGuard[partial[Any]]:
    return isinstance(thing, partial)


def _attributes(thing: Any) -> Iterator[tuple[str, Any]]:
    """Yield what an object holds, by name; also what is held in slots."""
    yield from sorted(getattr(thing, "__dict__", {}).items())
    for cls in type(thing).__mro__:
        slots = vars(cls).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(thing, name):
                yield name, getattr(thing, name)


def _parse(file: str) -> ast.Module | None:
    try:
        return ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None


def _file_of(cls: type[Any]) -> str:
    module = sys.modules.get(cls.__module__)
    return getattr(module, "__file__", None) or "<unknown>"


def _closure(function: FunctionType) -> dict[str, Any]:
    scope: dict[str, Any] = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            scope[name] = cell.cell_contents
        except ValueError:
            continue  # not assigned yet
    return scope


def _find_function(tree: ast.Module | None, function: FunctionType) -> ast.AST | None:
    if tree is None:
        return None
    line, name = function.__code__.co_firstlineno, function.__code__.co_name
    found = [node for node in ast.walk(tree) if _starts(node) == (name, line)]
    # Of several lambdas in one line nobody can tell which is meant: all of them count.
    return found[0] if len(found) == 1 else ast.Tuple(found) if found else None  # type: ignore[arg-type]


def _starts(node: ast.AST) -> tuple[str, int] | None:
    if isinstance(node, ast.Lambda):
        return "<lambda>", node.lineno
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return node.name, min([d.lineno for d in node.decorator_list], default=node.lineno)
    return None


def _find_class(tree: ast.Module | None, qualname: str) -> ast.AST | None:
    node: ast.AST | None = tree
    for name in qualname.split("."):
        if node is None or name == "<locals>":
            continue
        inside = [n for n in ast.walk(node) if isinstance(n, _DEFINITIONS) and n.name == name]
        node = inside[0] if inside else None
    return node


def _without_our_decorators(node: ast.AST) -> ast.AST:
    # `@tool(timeout=…)` says how a tool runs, not what it answers.
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return node
    kept = [d for d in node.decorator_list if not _is_tool(d)]
    bare = copy.copy(node)
    bare.decorator_list = kept
    return bare


def _is_tool(decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
    return name == "tool"
