"""Answers made up from what the request itself says."""

from batchspec.simulator.answers import Answer, Replay
from batchspec.simulator.wire import Json


class SchemaModel:
    def answer(self, body: Json, custom_id: str | None) -> Answer | Replay:
        return Answer(content="You asked: " + str(body["messages"][-1].get("content"))[:50])
