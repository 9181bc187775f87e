"""Stored responses over HTTP: read again, listed with what they answered, deleted."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from batchspec.simulator.endpoints.item_ids import Origin
from batchspec.simulator.endpoints.parameters import unserved
from batchspec.simulator.endpoints.port import Endpoint
from batchspec.simulator.endpoints.response_store import ResponseStore, Stored
from batchspec.simulator.endpoints.responses import Responses
from batchspec.simulator.endpoints.responses_items import type_of
from batchspec.simulator.http.reading import parse_limit, parse_order
from batchspec.simulator.wire import HTTPFailure, Json, page


def routes(endpoint: Endpoint) -> list[Route]:
    """What can be done with the responses that an endpoint has stored."""
    if not isinstance(endpoint, Responses):
        return []
    store = endpoint.stored

    def retrieve(request: Request) -> Response:
        if request.query_params.get("stream") == "true":
            raise unserved("stream", "what is stored is told at once.")
        return JSONResponse(_find(store, request).response)

    def delete(request: Request) -> Response:
        response_id = request.path_params["response_id"]
        if not store.delete(response_id):
            raise _not_found(response_id)
        return JSONResponse({"id": response_id, "object": "response", "deleted": True})

    def list_items(request: Request) -> Response:
        return JSONResponse(_page_of_items(request, _find(store, request)))

    return [
        Route("/v1/responses/{response_id}", retrieve, methods=["GET"]),
        Route("/v1/responses/{response_id}", delete, methods=["DELETE"]),
        Route("/v1/responses/{response_id}/input_items", list_items, methods=["GET"]),
    ]


def _find(store: ResponseStore, request: Request) -> Stored:
    response_id = request.path_params["response_id"]
    stored = store.get(response_id)
    if stored is None:
        raise _not_found(response_id)
    return stored


def _not_found(response_id: str) -> HTTPFailure:
    return HTTPFailure(404, f"Response with id '{response_id}' not found.")


def _page_of_items(request: Request, stored: Stored) -> Json:
    query = request.query_params
    limit = parse_limit(query.get("limit"), default=20, low=1, high=100)
    items = _listed(stored)
    if parse_order(query.get("order")) == "desc":
        items.reverse()
    if (after := query.get("after")) is not None:
        places = [place for place, item in enumerate(items) if item["id"] == after]
        if not places:
            raise HTTPFailure(400, f"No item found with id '{after}'.", param="after")
        items = items[places[0] + 1 :]
    return page(items[:limit], has_more=len(items) > limit)


def _listed(stored: Stored) -> list[Json]:
    """The input's items as the service tells them: with ids, and with content in parts."""
    origin = Origin(stored.response["id"][-18:], stored=True, reasoned=False)
    return [
        _whole(item, origin.item_id(_prefix(item), index))
        for index, item in enumerate(stored.items)
    ]


def _prefix(item: Json) -> str:
    kinds = {"function_call": "fc", "function_call_output": "fco", "reasoning": "rs"}
    return kinds.get(type_of(item), "msg")


def _whole(item: Json, item_id: str) -> Json:
    kind, content = type_of(item), item.get("content")
    whole: Json = {**item, "type": kind, "id": item.get("id") or item_id}
    if kind != "reasoning":
        whole.setdefault("status", "completed")
    if kind == "message" and isinstance(content, str):
        whole["content"] = _parts(item["role"], content)
    return whole


def _parts(role: str, text: str) -> Sequence[Json]:
    if role == "assistant":
        return [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]
    return [{"type": "input_text", "text": text}]
