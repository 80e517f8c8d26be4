"""The OpenAPI document, which depends on the gate."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts

from app.api import sse
from app.api.deps import is_public
from app.api.schemas import ErrorAnswer
from app.events import REGISTRY
from app.gate import Mode

Answers = dict[int | str, dict[str, Any]]

_RETRY_AFTER = {"Retry-After": {"description": "In seconds.", "schema": {"type": "integer"}}}
_PASSING = {429, 503}
_REFUSALS = {
    400: "The cursor is malformed, of another stream, beyond the end, or, with a new stream's "
    "request, without the stream's Idempotency-Key.",
    401: "There is no API token, or none that is known, nor this stream's token.",
    403: "A page of another site asks, which ALLOWED_ORIGINS does not name.",
    404: "There is no such stream, or it has expired, or it has another owner.",
    409: "The stream that `previous` names is still under way.",
    413: "The prompt or the conversation is too long, or the body too large.",
    422: "The request is invalid, or more than a day's limit, or its Idempotency-Key came with "
    "another one before.",
    429: "A limit is reached: requests a minute, or tokens a day.",
    500: "Something is broken or not set up.",
    503: "The event log, or the store of secrets, does not answer right now.",
}

_TERMINAL = [kind for kind, event in REGISTRY.kinds.items() if event.terminal]

# FastAPI's own form for events: `itemSchema` is OpenAPI's from 3.2 on.
_EVENT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "event": {"type": "string", "enum": list(REGISTRY.kinds)},
        "data": {"type": "string", "contentMediaType": "application/json"},
        "id": {"type": "string", "pattern": sse.EVENT_ID},
        "retry": {"type": "integer", "minimum": 0},
    },
}
# For generators of clients, by this project's own name: no common one tells the kinds of event
# that end a stream.
_EVENT_STREAM = {
    "x-sse": {"terminal": _TERMINAL, "cursor": "Last-Event-ID", "resumes": True},
}
EVENTS: dict[str, Any] = {
    "description": (
        "Server-Sent Events, with one of "
        + ", ".join(f"`{kind}`" for kind in _TERMINAL)
        + " at the end. A response that ends without one of those is to be continued: connect "
        "again with the last id."
    ),
    "content": {"text/event-stream": {"itemSchema": _EVENT, **_EVENT_STREAM}},
}
# Fern's extension for operations that always answer with events
# (buildwithfern.com/learn/api-definitions/openapi/endpoints/sse). It can name a terminator only by
# its data, as Speakeasy's x-speakeasy-sse-sentinel does, and the data of our last events differ.
STREAMING: dict[str, Any] = {"x-fern-streaming": {"format": "sse", "resumable": True}}
NOTHING_LEFT = {"description": "Everything has been delivered; an EventSource stops here."}


def refusals(*statuses: int) -> Answers:
    """The answers of these statuses, as a route's `responses` describe them."""
    return {
        status: {
            "model": ErrorAnswer,
            "description": _REFUSALS[status],
            **({"headers": _RETRY_AFTER} if status in _PASSING else {}),
        }
        for status in statuses
    }


# A route names every status that it may answer with. An open gate refuses no token, and one that
# asks for tokens does not ask which site a page is of.
_NEVER_ANSWERED = {"open": "401", "tokens": "403"}


class DescribedApp(FastAPI):
    """FastAPI, described as it is behind its gate."""

    def __init__(self, mode: Mode, **options: Any) -> None:
        super().__init__(**options)
        self._mode = mode

    def openapi(self) -> dict[str, Any]:
        """The document, made anew where routes are added: one that needs no token asks for none."""
        known = self.openapi_schema
        document = super().openapi()
        if document is not known:
            self._suit(document)
        return document

    def _suit(self, document: dict[str, Any]) -> None:
        for operations in document["paths"].values():
            for operation in operations.values():
                for parameter in operation.get("parameters", ()):
                    parameter["schema"] = _without_null(parameter["schema"])
                operation["responses"].pop(_NEVER_ANSWERED[self._mode], None)
                if self._mode == "open":
                    operation.pop("security", None)
        if self._mode == "open":
            document["components"].pop("securitySchemes", None)
        else:
            for operation in self._closed_operations(document["paths"]):
                operation.setdefault("security", [{"API token": []}])
                operation["responses"].setdefault("401", {"description": _REFUSALS[401]})

    def _closed_operations(self, paths: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The operations of routes that `closed_unless_public` closes."""
        for route in iter_route_contexts(self.routes):
            if isinstance(route.original_route, APIRoute) and not is_public(route.endpoint):
                operations = paths.get(route.path_format or "", {})
                names = {method.lower() for method in route.methods or ()}
                yield from (operations[name] for name in names & operations.keys())


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a parameter: one that may be left out is still never sent as null."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) != 1:
        return schema
    kind: dict[str, Any] = kinds[0]
    return kind | {name: member for name, member in schema.items() if name != "anyOf"}
