"""The handlers that the tests run, under our runtime and under the stock one."""

import asyncio
import contextlib
import decimal
import logging
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

from mangum import Mangum

from lambda_stream import Adapter
from lambda_stream.handler import ResponseSink
from lambda_stream.invocation import LambdaContext

logger = logging.getLogger(__name__)


# Plain functions


def raise_value_error() -> None:
    raise ValueError("on réquest")


def raise_from_another() -> None:
    try:
        raise_value_error()
    except ValueError as error:
        raise KeyError("second") from error


class Größenfehler(Exception):  # noqa: PLC2401 - a header must survive it
    pass


def raise_own() -> None:
    raise Größenfehler


ACTIONS: dict[str, Callable[[], Any]] = {
    "text": lambda: {"é": ["☃", 1, 1.5, True, None]},
    "nothing": lambda: None,
    "bytes": lambda: b"\x00\xff",
    "bytes inside": lambda: {"body": "é".encode()},
    "bytes that are no text": lambda: [b"\xff"],
    "decimals": lambda: [decimal.Decimal(number) for number in ("1.10", "1E+2", "-0", "Infinity")],
    "no numbers": lambda: [float("inf"), decimal.Decimal("-Infinity"), decimal.Decimal("sNaN")],
    "an object": object,
    "a set inside": lambda: {"set": {1}},
    "ValueError": raise_value_error,
    "KeyError": raise_from_another,
    "Größenfehler": raise_own,
    "AssertionError": lambda: exec("assert False"),  # noqa: S102 - a frame without a line
    "trace": lambda: os.environ.get("_X_AMZN_TRACE_ID"),
    "the process": os.getpid,
    "exit": lambda: sys.exit(7),
}


def plain(event: Any, context: LambdaContext) -> Any:
    if not isinstance(event, dict):
        return event
    if event["do"] == "describe context":
        return describe_context(context)
    if event["do"] == "print":
        print("printed")  # noqa: T201 - a function may
    return ACTIONS.get(event["do"], lambda: "done")()


def describe_context(context: LambdaContext) -> dict[str, Any]:
    """Return every value of a context, the remaining time in whole minutes."""
    names = ["aws_request_id", "invoked_function_arn", "function_name", "function_version"]
    names += ["memory_limit_in_mb", "log_group_name", "log_stream_name", "tenant_id"]
    values = {name: getattr(context, name) for name in names}
    identity, client_context = context.identity, context.client_context
    values["identity"] = [identity.cognito_identity_id, identity.cognito_identity_pool_id]
    if client_context is not None:
        values["custom"], values["env"] = client_context.custom, client_context.env
        client = client_context.client
        if client is not None:
            values["client"] = [client.installation_id, client.app_title, client.app_package_name]
    values["w3c"] = context.w3c()
    values["minutes"] = round(context.get_remaining_time_in_millis() / 60_000)
    return values


async def coroutine(event: Any, _context: LambdaContext) -> Any:
    await asyncio.sleep(0)
    if event == "be cancelled":
        task = asyncio.create_task(asyncio.Event().wait())
        task.cancel()
        await task
    return {"pid": os.getpid(), "event": event}


# Several at once

ALL = int(os.environ.get("AWS_LAMBDA_MAX_CONCURRENCY", "1"))
threads_are_here = threading.Barrier(ALL)
tasks_are_here = asyncio.Barrier(ALL)


def summary(event: Any) -> dict[str, Any]:
    return {"event": event, "pid": os.getpid(), "trace": os.environ.get("_X_AMZN_TRACE_ID")}


def meets(event: Any, _context: LambdaContext) -> Any:
    """Returns once the highest number of concurrent invocations is reached."""
    logger.error("%s has come", event)
    threads_are_here.wait(timeout=10)
    logger.error("%s goes", event)
    return summary(event)


async def meets_in_tasks(event: Any, _context: LambdaContext) -> Any:
    logger.error("%s has come", event)
    async with asyncio.timeout(10):
        await tasks_are_here.wait()
    logger.error("%s goes", event)
    return summary(event)


# An application

startups = 0
stopping = asyncio.Event()
background: set[asyncio.Task[None]] = set()


class Exchange:
    """One request to the application below."""

    def __init__(self, receive: Any, send: Any) -> None:
        self.receive = receive
        self._send = send

    async def start(self, status: int = 200) -> None:
        headers = [(b"content-type", b"text/plain")]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def body(self, text: str, *, more: bool = False) -> None:
        body = text.encode()
        await self._send({"type": "http.response.body", "body": body, "more_body": more})

    async def begin(self) -> None:
        await self.start()
        await self.body("begun", more=True)


async def report_startups(http: Exchange) -> None:
    await http.start()
    await http.body(f"{startups} {os.getpid()}")


async def fail_early(_: Exchange) -> None:
    raise_value_error()


async def fail_late(http: Exchange) -> None:
    await http.begin()
    raise_value_error()


async def fail_afterwards(http: Exchange) -> None:
    await http.start(500)
    await http.body("sorry")
    raise_value_error()


async def stay_until_shutdown(http: Exchange) -> None:
    await http.begin()
    await stopping.wait()
    await http.body(", ended")


async def stay_for_ever(http: Exchange) -> None:
    await http.begin()
    await asyncio.Event().wait()


async def write_for_ever(http: Exchange) -> None:
    await http.begin()
    while True:
        await http.body("more", more=True)
        await asyncio.sleep(0)


async def give_up_waiting(http: Exchange) -> None:
    await http.begin()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.1):
            await http.body(", ended")


async def leave_a_task(http: Exchange) -> None:
    async def outlive() -> None:
        await asyncio.sleep(0.05)
        print("the task went on")  # noqa: T201 - the tests look for it

    background.add(asyncio.create_task(outlive()))
    await http.start()
    await http.body("")


PATHS = {
    "/startups": report_startups,
    "/fails-early": fail_early,
    "/fails-late": fail_late,
    "/fails-afterwards": fail_afterwards,
    "/ends-early": Exchange.begin,
    "/until-shutdown": stay_until_shutdown,
    "/for-ever": stay_for_ever,
    "/writes-for-ever": write_for_ever,
    "/gives-up-waiting": give_up_waiting,
    "/leaves-a-task": leave_a_task,
}


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    else:
        await PATHS[scope["path"]](Exchange(receive, send))


async def lifespan(receive: Any, send: Any) -> None:
    global startups  # noqa: PLW0603 - counted for the tests
    assert (await receive())["type"] == "lifespan.startup"
    startups += 1
    await send({"type": "lifespan.startup.complete"})
    assert (await receive())["type"] == "lifespan.shutdown"
    stopping.set()
    await send({"type": "lifespan.shutdown.complete"})
    print("the lifespan is over")  # noqa: T201 - the tests look for it


class Forgetful(Adapter):
    """Returns without a response."""

    async def stream(self, event: Any, context: LambdaContext, response: ResponseSink) -> None:
        pass


adapter = Adapter(application)
forgetful = Forgetful(application)
mangum = Mangum(application, lifespan="off")
