"""The functions for test_emulator.py, under the Runtime Interface Emulator."""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import FastAPI, Header, Request, Response
from fastapi.responses import StreamingResponse

from lambda_stream import Adapter
from lambda_stream.invocation import LambdaContext

app = FastAPI()
both_are_here = asyncio.Barrier(2)


@app.post("/streams", status_code=201)
async def echo(request: Request, response: Response) -> Any:
    response.set_cookie("first", "1")
    response.set_cookie("second", "2")
    return await request.json()


@app.get("/streams/{stream_id}/events")
async def count(
    stream_id: str, last_event_id: Annotated[str | None, Header()] = None
) -> StreamingResponse:
    async def events() -> AsyncIterator[str]:
        yield f"after: {last_event_id}\n"
        for seq in range(3):
            yield f"data: é{seq}\nid: {stream_id}:{seq}\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


@app.get("/empty", status_code=204)
async def empty() -> None:
    pass


@app.get("/breaks")
async def breaks() -> StreamingResponse:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"begun"
        raise RuntimeError("broken off")

    return StreamingResponse(pieces())


@app.get("/meets/{name}")
async def meets(name: str) -> StreamingResponse:
    """Completes only when two requests are served at once."""

    async def pieces() -> AsyncIterator[str]:
        yield name
        async with asyncio.timeout(10):
            await both_are_here.wait()
        yield f" {os.getpid()}"

    return StreamingResponse(pieces())


streaming = Adapter(app)


def plain(event: Any, context: LambdaContext) -> dict[str, Any]:
    if event == "fail":
        raise ValueError("on request")
    return {"event": event, "request_id": context.aws_request_id, "pid": os.getpid()}
