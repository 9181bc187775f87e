"""Following what a job runs on this machine through the project's source files."""

import ast
import copy
import inspect
import sys
from collections.abc import Mapping
from enum import Enum
from functools import partial
from pathlib import Path
from types import FunctionType, MethodType, ModuleType
from typing import Any, TypeGuard, cast, get_args

from batchspec.desired.graph import DesiredJob
from batchspec.desired.policy import canonical_ast, canonical_value, chains, policy
from batchspec.spec.job import Job
from batchspec.spec.origin import is_users
from batchspec.spec.shapes import is_list
from batchspec.spec.tool import Tool

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


def code_of(tool: Tool[..., Any], sources: Sources) -> bytes:
    """Return the fingerprint of one tool's function and of all of the project it uses."""
    reach = _Reach(sources)
    return policy({"tool": reach.form(tool)}, reach.found, {})[0]


class _Reach:
    """Collects the canonical forms of what is used, each definition once."""

    def __init__(self, sources: Sources) -> None:
        self.found: dict[str, Any] = {}
        self._sources = sources
        self._seen: set[str] = set()
        self._followed: set[str] = set()

    def form(self, thing: Any) -> Any:
        """Return the canonical form of a thing, and collect the forms of what it uses."""
        thing = _bare(thing)
        if _is_partial(thing):
            given = {name: self.form(value) for name, value in thing.keywords.items()}
            return ["partial", *map(self.form, (thing.func, *thing.args)), given]
        if isinstance(thing, FunctionType):
            return self._function(thing)
        if members := get_args(thing):
            return ["type", str(getattr(thing, "__origin__", "")), *map(self.form, members)]
        if isinstance(thing, type):
            return self._class(thing)
        kind: type[Any] = thing.__class__
        if is_users(_file_of(kind)) and not issubclass(kind, Enum):
            return ["instance", self._class(kind)]
        return canonical_value(thing)

    def _function(self, function: FunctionType) -> Any:
        name = f"{function.__module__}:{function.__qualname__}"
        node = _find_function(self._sources.tree(function.__code__.co_filename), function)
        if node is None:
            return ["external", function.__qualname__]
        scope = {**function.__globals__, **_closure(function)}
        return self._definition(f"{name}:{function.__code__.co_firstlineno}", node, scope)

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
        while isinstance(value, ModuleType) and used < len(chain):
            if not is_users(getattr(value, "__file__", None) or "<builtin>"):
                return
            value, used = getattr(value, chain[used], None), used + 1
        if isinstance(value, ModuleType | Job):
            return
        defined = value if isinstance(value, type | FunctionType) else None
        home = getattr(defined, "__module__", scope.get("__name__", ""))
        name = f"{home}:{'.'.join(chain[:used])}"
        if name not in self._seen:
            self._seen.add(name)
            form = self.form(value)
            if not (is_list(form) and form[0] in ("external", "object")):
                self.found[name] = form


def _is_partial(thing: object) -> TypeGuard[partial[Any]]:
    return isinstance(thing, partial)


def _bare(thing: Any) -> Any:
    if isinstance(thing, Tool):
        thing = cast("Tool[..., Any]", thing).function
    if isinstance(thing, MethodType):
        thing = thing.__func__
    return inspect.unwrap(thing) if callable(thing) else thing


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
