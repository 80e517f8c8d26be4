"""A process that does all that imports something, and prints the files that were imported.

It imports every module of ours, answers the event on standard input, and asks a model that is not
there. `tests/test_build.py` runs it where nothing can be imported but the deployed files.
"""

import asyncio
import importlib
import json
import os
import pkgutil
import sys
from typing import Any

import app
import lambda_stream
from app import models
from app.exceptions import ProviderError
from app.models.base import Message, Partial, Request
from app.providers import PROVIDERS, Entry


class Context:
    """The context that a handler gets besides the event."""

    aws_request_id = "7e0c5a12-3b52-4f0e-9c7d-2f6a8b1e4d02"

    def get_remaining_time_in_millis(self) -> int:
        return 10_000


def import_all() -> None:
    for package in (app, lambda_stream):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)


def answer(event: dict[str, Any]) -> None:
    result = sys.modules[os.environ["_HANDLER"]].handler(event, Context())
    assert result["statusCode"] == 200, result


async def ask(entry: Entry) -> None:
    environ = {entry.address: "http://127.0.0.1:9/v1", "MODELS": "m", entry.key: "key"}
    provider = models.create(entry.name, environ)
    request = Request(messages=(Message("user", "Anybody there?"),), model="m", max_tokens=10)
    try:
        async for _ in provider.stream(request, Partial()):
            raise AssertionError("nobody listens there")
    except ProviderError:
        await provider.close()


if __name__ == "__main__":
    import_all()
    answer(json.load(sys.stdin))
    for entry in PROVIDERS:
        if entry.address:
            asyncio.run(ask(entry))
    loaded = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    print(json.dumps([file for file in loaded if file]))  # noqa: T201
