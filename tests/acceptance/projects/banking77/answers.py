"""The embedded server's own answers; the process can die while it makes one."""

from dying import reach

from batchspec.simulator import Answer, Question, Replay, SchemaModel


def answer(body: dict[str, object]) -> Answer | Replay:
    """Answer from the schema."""
    reach("answer")
    return SchemaModel().answer(Question("/v1/chat/completions", body, body))
