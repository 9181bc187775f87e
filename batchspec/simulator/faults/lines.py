"""Faults of single lines of the result files: behaviours 32 to 39."""

from abc import abstractmethod
from typing import ClassVar, Literal

from batchspec.simulator.faults.result import Result, text_of
from batchspec.simulator.faults.rule import RequestFault
from batchspec.simulator.wire import HTTPFailure, Json

_FAILURES = {
    400: HTTPFailure(400, "Invalid request.", code="invalid_request"),
    404: HTTPFailure(404, "The model does not exist.", code="model_not_found"),
    408: HTTPFailure(408, "Request timed out.", code="request_timeout"),
    429: HTTPFailure(429, "Rate limit reached.", code="rate_limit_exceeded", kind="requests"),
    500: HTTPFailure(500, "The server had an error while processing your request."),
    503: HTTPFailure(503, "The engine is currently overloaded, please try again later."),
}


class LineFault(RequestFault):
    """A fault of one line."""

    @abstractmethod
    def spoil(self, result: Result) -> None:
        """Change the line."""


class LostLine(LineFault):
    """A request was answered, and neither file has a line for it."""

    fault: Literal["lost_line"] = "lost_line"
    behaviours: ClassVar = (32,)

    def spoil(self, result: Result) -> None:
        result.copies = 0


class DoubledLine(LineFault):
    """A line stands there twice."""

    fault: Literal["doubled_line"] = "doubled_line"
    behaviours: ClassVar = (32,)

    def spoil(self, result: Result) -> None:
        result.copies = 2


class WrongCustomId(LineFault):
    """A line names a request that nobody sent, or none."""

    fault: Literal["wrong_custom_id"] = "wrong_custom_id"
    behaviours: ClassVar = (32,)
    form: Literal["unknown", "null"] = "unknown"

    def spoil(self, result: Result) -> None:
        unknown = f"unknown-{result.random.randrange(10**9)}"
        result.document["custom_id"] = unknown if self.form == "unknown" else None


class LineError(LineFault):
    """A request gets an HTTP error."""

    fault: Literal["line_error"] = "line_error"
    behaviours: ClassVar = (33,)
    status: Literal[400, 404, 408, 429, 500, 503] = 500

    def spoil(self, result: Result) -> None:
        result.answer(self.status, _FAILURES[self.status].body)


class StatusZero(LineFault):
    """A line has the status 0 and nothing else."""

    fault: Literal["status_zero"] = "status_zero"
    behaviours: ClassVar = (34,)

    def spoil(self, result: Result) -> None:
        result.answer(0, {}, request_id="")


class HollowBody(LineFault):
    """A line says 200, and its body is empty or an error."""

    fault: Literal["hollow_body"] = "hollow_body"
    behaviours: ClassVar = (35,)
    form: Literal["empty", "error"] = "empty"

    def spoil(self, result: Result) -> None:
        result.answer(200, {} if self.form == "empty" else _FAILURES[500].body)


class BrokenLine(LineFault):
    """The bytes of a line are odd, or no JSON at all."""

    fault: Literal["broken_line"] = "broken_line"
    behaviours: ClassVar = (36,)
    form: Literal["cut", "invalid_utf8", "line_separator"] = "cut"
    """`line_separator` puts U+2028, which ends no line, into a string beside the answer."""

    def spoil(self, result: Result) -> None:
        match self.form:
            case "cut":
                result.spoilers.append(lambda line: line[: len(line) // 2])
            case "invalid_utf8":
                result.spoilers.append(lambda line: line[:-2] + b"\xff\xfe" + line[-2:])
            case "line_separator":
                response: Json = result.document["response"] or {}
                response["request_id"] = f"{response.get('request_id', '')}\u2028"


class RequestTimeout(LineFault):
    """The model behind a request did not answer in time."""

    fault: Literal["request_timeout"] = "request_timeout"
    behaviours: ClassVar = (37,)

    def spoil(self, result: Result) -> None:
        result.fail("request_timeout", "The call to the model behind this request timed out.")


class ErrorInOutput(LineFault):
    """An HTTP error stands in the output file, as some providers write it."""

    fault: Literal["error_in_output"] = "error_in_output"
    behaviours: ClassVar = (38,)
    status: Literal[400, 404, 408, 429] = 429

    def spoil(self, result: Result) -> None:
        result.answer(self.status, _FAILURES[self.status].body)
        result.in_output = True


class BodyAsText(LineFault):
    """The body of an answer is JSON inside of a string, as some providers write it."""

    fault: Literal["body_as_text"] = "body_as_text"
    behaviours: ClassVar = (39,)

    def spoil(self, result: Result) -> None:
        response = result.document["response"]
        if response is not None:
            response["body"] = text_of(response["body"])


LINES = (
    LostLine,
    DoubledLine,
    WrongCustomId,
    LineError,
    StatusZero,
    HollowBody,
    BrokenLine,
    RequestTimeout,
    ErrorInOutput,
    BodyAsText,
)
