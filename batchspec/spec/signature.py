"""What a function's signature and docstring tell a model, and how its arguments are bound."""

import inspect
from collections.abc import Callable
from dataclasses import is_dataclass
from functools import cached_property, partial
from types import GenericAlias
from typing import Annotated, Any, TypeGuard, cast, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model
from pydantic.fields import FieldInfo
from pydantic_core import from_json, to_json
from typing_extensions import is_typeddict

from batchspec.messages import JsonObject
from batchspec.spec.docstring import Docstring, read_docstring
from batchspec.spec.normal import rooted
from batchspec.spec.schemas import schema_of
from batchspec.spec.shapes import is_object


class Undescribed(ValueError):  # noqa: N818 - reads as what is said
    """A function cannot be described to a model; says why."""


def written(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function a person wrote: what is in a partial, or how an object is called."""
    function = _unbound(function)
    is_plain = inspect.isroutine(function) or isinstance(function, type)
    return function if is_plain else type(function).__call__


def function_name(function: Callable[..., Any]) -> str:
    """Return what a function is called; an object that can be called has its type's name."""
    function = _unbound(function)
    return str(getattr(function, "__name__", type(function).__name__))


def _unbound(function: Callable[..., Any]) -> Callable[..., Any]:
    while isinstance(function, partial):
        function = function.func
    return function


class Signature:
    """The parameters of a function, as a model is told of them.

    A single parameter that is a model, a dataclass or a TypedDict is asked for by its fields, not
    by its name: a model writes less, and gets it right more often.
    """

    def __init__(self, function: Callable[..., Any], *, takes_context: bool) -> None:
        self.function = function
        self._takes_context = takes_context

    @property
    def description(self) -> str:
        """What the docstring says before its first section, else what the only parameter is."""
        said = self._docstring.text
        try:
            return said or (str(self._raw.get("description", "")) if self._single else "")
        except Undescribed:
            return said

    @cached_property
    def schema(self) -> JsonObject:
        """The JSON schema of the arguments, as `schema_of` makes it.

        Raises:
            Undescribed: A parameter cannot be given by name, or has no type or schema.
        """
        schema = dict(self._raw)
        if self._single and not self._docstring.text:
            schema.pop("description", None)
        return schema

    def bind(self, text: str) -> dict[str, Any]:
        """Return validated keyword arguments for the function.

        Args:
            text: JSON as a model wrote it.

        Raises:
            ValidationError: It is no JSON, or does not fit.
            Undescribed: See `schema`.
        """
        text = text.strip() or "{}"
        if self._single is not None:
            return self._bind_single(self._single, text)
        return self.keywords(self.arguments.model_validate_json(text))

    def keywords(self, bound: BaseModel) -> dict[str, Any]:
        """Return validated arguments by the names of the parameters."""
        # Arguments the model left out stay out, so that the function's own defaults apply.
        return {
            parameter.name: getattr(bound, f"p{number}")
            for number, parameter in enumerate(self._parameters)
            if f"p{number}" in bound.model_fields_set or isinstance(parameter.default, FieldInfo)
        }

    def _bind_single(self, parameter: inspect.Parameter, text: str) -> dict[str, Any]:
        value = _json(text)
        if value == {} and parameter.default is not parameter.empty:
            return {}
        wrapped = is_object(value) and list(value) == [parameter.name]
        # Models like to wrap what is asked for, and calls of an older state are wrapped.
        if wrapped and parameter.name not in self._raw.get("properties", {}):
            text = to_json(value[parameter.name]).decode()
        return {parameter.name: self._adapter.validate_json(text)}

    @cached_property
    def _docstring(self) -> Docstring:
        said = written(self.function).__doc__ or _unbound(self.function).__doc__
        return read_docstring(said)

    @cached_property
    def _hints(self) -> dict[str, Any]:
        try:
            return get_type_hints(written(self.function), include_extras=True)
        except (NameError, TypeError) as error:
            raise Undescribed(f"an annotation cannot be resolved: {error}") from error

    @cached_property
    def _parameters(self) -> list[inspect.Parameter]:
        function: Any = self.function
        bound: dict[str, Any] = {}
        if _is_partial(function):
            # What is set already is no question to a model. A partial that was given the name of
            # its function (`update_wrapper`) would show that function's signature, not its own.
            bound = function.keywords
            function = partial(function.func, *function.args, **bound)
        parameters = list(inspect.signature(function).parameters.values())
        return [p for p in parameters[self._takes_context :] if p.name not in bound]

    @cached_property
    def _single(self) -> inspect.Parameter | None:
        if len(self._parameters) != 1:
            return None
        parameter = self._parameters[0]
        hint = self._hints.get(parameter.name)
        if isinstance(parameter.default, FieldInfo) or not _has_fields(hint):
            return None
        return parameter if rooted(_schema_of(hint)).get("type") == "object" else None

    @cached_property
    def _adapter(self) -> TypeAdapter[Any]:
        return TypeAdapter(self._hints[self._parameters[0].name])

    @cached_property
    def _raw(self) -> JsonObject:
        if self._single is None:
            return _schema_of(self.arguments)
        said = self._docstring.parameters.get(self._single.name)
        return ({"description": said} if said else {}) | rooted(
            _schema_of(self._hints[self._single.name])
        )

    @cached_property
    def arguments(self) -> type[BaseModel]:
        """The type of all arguments together.

        Raises:
            Undescribed: See `schema`.
        """
        # Fields are numbered, the names are aliases: a parameter may be called `copy` or `_x`.
        fields: dict[str, Any] = {
            f"p{number}": self._field(parameter)
            for number, parameter in enumerate(self._parameters)
        }
        config = ConfigDict(extra="forbid", title=None)
        try:
            return create_model("Arguments", __config__=config, **fields)
        except Exception as error:
            raise Undescribed(f"a parameter has no schema: {error}") from error

    def _field(self, parameter: inspect.Parameter) -> tuple[Any, FieldInfo]:
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise Undescribed(
                f"parameter {parameter.name!r} cannot be given by name; a model names arguments"
            )
        if parameter.name not in self._hints:
            raise Undescribed(
                f"parameter {parameter.name!r} has no annotation; write `{parameter.name}: str`"
            )
        hint: Any = self._hints[parameter.name]
        options: dict[str, Any] = {}
        if isinstance(parameter.default, FieldInfo):
            hint = cast("Any", Annotated[hint, parameter.default])
        elif parameter.default is not parameter.empty:
            options["default"] = parameter.default
        said = FieldInfo.from_annotation(hint)
        if said.description is None and parameter.name in self._docstring.parameters:
            options["description"] = self._docstring.parameters[parameter.name]
        return hint, Field(alias=said.alias or parameter.name, **options)


def _schema_of(kind: Any) -> JsonObject:
    try:
        return schema_of(kind)
    except Exception as error:
        # Pydantic has many ways to say no.
        told = str(error).partition("\n")[0].rstrip(".")
        raise Undescribed(f"a parameter has no schema: {told}") from error


def _is_partial(function: object) -> TypeGuard[partial[Any]]:
    return isinstance(function, partial)


def _has_fields(hint: Any) -> bool:
    if not isinstance(hint, type) or isinstance(hint, GenericAlias):
        return False
    kind = cast("type[Any]", hint)
    return issubclass(kind, BaseModel) or is_dataclass(kind) or is_typeddict(kind)


def _json(text: str) -> Any:
    try:
        return from_json(text)
    except ValueError:
        return None
