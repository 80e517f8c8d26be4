"""A route that streams events rendered beforehand: only the way out is left to measure.

Run by our runtime as `handler`, and by uvicorn as `app`.
"""

from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.sse import EventSourceResponse, format_sse_event

from lambda_stream import Adapter

FRAME = format_sse_event(
    event="answer", data_str='{"text":" token"}', id="q3Zt8K1vXw0bYfJ7mR2sNcLhEa5DuG_p:12345"
)

app = FastAPI()


@app.get("/events", response_model=None)
async def events(count: int) -> EventSourceResponse:
    """`count` events, one body message each."""

    async def frames() -> AsyncIterator[bytes]:
        for _ in range(count):
            yield FRAME

    return EventSourceResponse(frames())


handler = Adapter(app)
