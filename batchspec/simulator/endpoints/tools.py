"""Functions and schemas a request offers to the model, checked as the service does."""

import re
from collections.abc import Sequence

from pydantic_core import to_json

from batchspec.simulator.endpoints.strict import strict_violation
from batchspec.simulator.wire import (
    HTTPFailure,
    Json,
    invalid_type,
    invalid_value,
    is_object,
    missing_parameter,
)

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_CHOICES = ("none", "auto", "required")


def check_function(function: object, param: str) -> None:
    """Check a function's name and, where it is to be strict, its parameters."""
    if not is_object(function):
        raise missing_parameter(param)
    name = function.get("name")
    if not isinstance(name, str):
        raise missing_parameter(f"{param}.name")
    if not _NAME.fullmatch(name):
        message = (
            f"Invalid '{param}.name': string does not match pattern. "
            "Expected a string that matches the pattern '^[a-zA-Z0-9_-]{1,64}$'."
        )
        raise HTTPFailure(400, message, code="invalid_value", param=f"{param}.name")
    parameters = function.get("parameters")
    if parameters is not None and not is_object(parameters):
        raise invalid_type(f"{param}.parameters", "an object", parameters)
    if function.get("strict"):
        violation = strict_violation(to_json(parameters))
        if violation is not None:
            message = f"Invalid schema for function '{name}': {violation}"
            code = "invalid_function_parameters"
            raise HTTPFailure(400, message, code=code, param=f"{param}.parameters")


def check_output_schema(holder: object, param: str) -> str | None:
    """Check what asks for structured output, and say how a strict schema is not one."""
    if not is_object(holder):
        raise missing_parameter(param)
    for name in ("name", "schema"):
        if holder.get(name) is None:
            raise missing_parameter(f"{param}.{name}")
    if not is_object(holder["schema"]):
        raise invalid_type(f"{param}.schema", "an object", holder["schema"])
    if not _NAME.fullmatch(str(holder["name"])):
        message = (
            f"Invalid '{param}.name': string does not match pattern. "
            "Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'."
        )
        raise HTTPFailure(400, message, code="invalid_value", param=f"{param}.name")
    violation = strict_violation(to_json(holder["schema"])) if holder.get("strict") else None
    if violation is None:
        return None
    return f"Invalid schema for response_format '{holder['name']}': {violation}"


def check_tool_choice(choice: object, names: Sequence[object]) -> None:
    """Check which tool is to be called, given the names of the functions on offer."""
    if choice is None:
        return
    if isinstance(choice, str) and choice not in _CHOICES:
        raise invalid_value("tool_choice", choice, _CHOICES)
    if not names and choice != "none":
        message = (
            "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are "
            "specified."
        )
        raise HTTPFailure(400, message, param="tool_choice")
    if is_object(choice) and choice.get("type") == "function":
        name = function_name(choice)
        if name not in names:
            message = f"Tool choice '{name}' not found in 'tools' parameter."
            raise HTTPFailure(400, message, param="tool_choice")


def function_name(holder: Json) -> object:
    """A function's name, nested as in chat completions or flat as in responses."""
    function = holder.get("function", holder)
    return function.get("name") if is_object(function) else None
