"""`python -m proof.bench.functions.asking openai 50 5000`: the times of a provider, as JSON.

They are compared with its library's, used as its documentation shows: no deadlines, no failures
told apart and nothing said of the deltas. Prints the milliseconds until the first delta of so many
requests, and the microseconds of processor for each of so many deltas.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, TypeAlias

from app import models as providers
from app.events import Answer
from app.models.base import Message, Partial, Request

Ask: TypeAlias = Callable[[int], AsyncGenerator[object]]

_ROUNDS = 3


async def main() -> None:
    """Measure, and print."""
    name, requests, deltas = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    url = os.environ["MODEL_URL"]
    ours = _provider(name)
    first = await _until_first(ours)
    plain = _boto3(url) if name == "bedrock" else _httpx(name, url)
    await _until_first(plain)
    waits = [(await _until_first(ours), await _until_first(plain)) for _ in range(requests)]
    costs = [(await _cost(ours, deltas), await _cost(plain, deltas)) for _ in range(_ROUNDS)]
    print(json.dumps({"first": first, "waits": waits, "costs": costs}))


def _provider(name: str) -> Ask:
    provider = providers.create(name, os.environ)
    messages = (Message("user", "hello"),)

    async def ask(tokens: int) -> AsyncGenerator[object]:
        request = Request(messages=messages, model=provider.models[0], max_tokens=tokens)
        async with aclosing(provider.stream(request, Partial())) as answer:
            async for delta in answer:
                if isinstance(delta, Answer):
                    yield delta

    return ask


def _httpx(name: str, url: str) -> Ask:
    import httpx
    from httpx_sse import EventSource

    client = httpx.AsyncClient(timeout=60)
    path = "/v1/chat/completions" if name == "openai" else "/v1/messages"

    async def ask(tokens: int) -> AsyncGenerator[object]:
        body = {"max_tokens": tokens, "messages": [{"role": "user", "content": "hello"}]}
        async with client.stream("POST", f"{url}{path}", json=body) as response:
            async for event in EventSource(response).aiter_sse():
                if "token" in event.data:
                    yield json.loads(event.data)

    return ask


def _boto3(url: str) -> Ask:
    """Read to the end in a thread, as the loop must not wait; the first delta is told at once."""
    import boto3

    client = boto3.client("bedrock-runtime", endpoint_url=url)
    messages: list[Any] = [{"role": "user", "content": [{"text": "hello"}]}]

    def read(tokens: int, first: Callable[[], object]) -> None:
        answer = client.converse_stream(
            modelId="bench.model", messages=messages, inferenceConfig={"maxTokens": tokens}
        )
        for event in answer["stream"]:
            if "contentBlockDelta" in event:
                first()

    async def ask(tokens: int) -> AsyncGenerator[object]:
        loop, came = asyncio.get_running_loop(), asyncio.Event()
        told: list[Callable[[], object]] = [lambda: loop.call_soon_threadsafe(came.set)]
        reading = asyncio.to_thread(read, tokens, lambda: told.pop()() if told else None)
        task = asyncio.create_task(reading)
        await came.wait()
        yield None
        await task

    return ask


async def _until_first(ask: Ask) -> float:
    """The milliseconds until the first delta of an answer, which is read to its end."""
    asked_at = time.perf_counter()
    answered_at = asked_at
    async with aclosing(ask(1)) as answer:
        async for _ in answer:
            answered_at = time.perf_counter()
    return (answered_at - asked_at) * 1e3


async def _cost(ask: Ask, deltas: int) -> float:
    used = time.process_time()
    async with aclosing(ask(deltas)) as answer:
        async for _ in answer:
            pass
    return (time.process_time() - used) / deltas * 1e6


if __name__ == "__main__":
    asyncio.run(main())
