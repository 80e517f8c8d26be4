"""The life of a sandbox: initialise, serve invocations one after another, shut down.

One event loop lives as long as the process, so a connection or a task that an application starts
in one invocation still exists in the next. With `AWS_LAMBDA_MAX_CONCURRENCY=N` (Lambda Managed
Instances) N workers each run the same loop, and one process serves N invocations at once.

Where a failure is reported, besides the function's log
    before the first invocation     `/init/error`, then exit
    between restore and it          `/restore/error`, then exit (`snapshot.py`)
    before the first body byte      `/error`: the client gets a 5xx
    after it                        error trailers: the client's response is cut, never completed
    too late (timeout, 410)         nowhere
    `/next` itself                  nowhere: exit non-zero
"""

import asyncio
import contextvars
import inspect
import logging
import os
import signal
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from lambda_stream import log
from lambda_stream.client import ResponseStream, RuntimeClient
from lambda_stream.exceptions import (
    EnvironmentOver,
    InvocationOver,
    LambdaStreamError,
    ResponseBroken,
    UnexpectedMessage,
)
from lambda_stream.handler import FunctionHandler, StreamingHandler, marshal
from lambda_stream.invocation import Invocation, LambdaContext
from lambda_stream.protocol import Error, StreamState

logger = logging.getLogger(__name__)

Handler = StreamingHandler | FunctionHandler

# Lambda gives a runtime at most two seconds between SIGTERM and SIGKILL (AWS docs,
# lambda-runtime-environment), so a longer shutdown would be killed anyway.
SHUTDOWN_SECONDS = 2.0

# A peer that has stopped reading also blocks the error trailers, and must not hold the sandbox.
REPORT_SECONDS = 0.5

# Where several workers poll, a refused poll is retried a few times, as in the stock runtime.
_POLL_ATTEMPTS = 5
_POLL_BACKOFF_SECONDS = 0.1


async def initialise(load: Callable[[], Handler], address: str, *, start: bool = True) -> Handler:
    """Import the handler and `start` it; reports a failure and raises SystemExit.

    `load` is called inside the event loop, so that objects that an application makes at import
    can belong to it.
    """
    try:
        handler = load()
        if isinstance(handler, StreamingHandler):
            handler.prepare()
            if start:
                await handler.startup()
    except Exception as error:
        await report_failure(error, RuntimeClient(address).init_error)
        raise SystemExit(1) from error
    return handler


async def report_failure(
    error: BaseException, send: Callable[[Error, str], Awaitable[None]], error_type: str = ""
) -> None:
    """Log a failure before the first invocation, and report it with a method of RuntimeClient.

    `error_type` is reported in place of the error's own.
    """
    report = log.describe(error)
    logger.critical("%s: %s", report.type, report.message, exc_info=error)
    try:
        await send(report, error_type or report.header)
    except (OSError, LambdaStreamError) as refused:
        logger.warning("the error could not be reported: %s", refused)


async def serve(handler: Handler, address: str, concurrency: int = 1) -> None:
    """Serve invocations until SIGTERM; raises SystemExit when the sandbox cannot continue."""
    sandbox = Sandbox(handler, address, concurrency)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, sandbox.stop)
    try:
        await sandbox.serve()
    except (OSError, LambdaStreamError) as error:
        logger.critical("the sandbox is over: %s", error)
        raise SystemExit(1) from error


class Sandbox:
    """A handler and the workers that poll for its invocations."""

    def __init__(self, handler: Handler, address: str, concurrency: int) -> None:
        self._handler = handler
        self._address = address
        self._concurrency = concurrency
        self._stopping = asyncio.Event()
        self._polling: set[asyncio.Task[None]] = set()
        self._threads: ThreadPoolExecutor | None = None
        self._thread_loops: list[asyncio.AbstractEventLoop] = []

    def stop(self) -> None:
        """Poll for no further invocation; `serve` then shuts down and returns."""
        self._stopping.set()

    async def serve(self) -> None:
        """Serve invocations until `stop`; raises the error that ends a worker."""
        workers = [asyncio.create_task(self._work()) for _ in range(self._concurrency)]
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait([stopping, *workers], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        self._stopping.set()
        for worker in self._polling:
            worker.cancel()
        await self._shutdown(workers)

    async def _shutdown(self, workers: list[asyncio.Task[None]]) -> None:
        """Shut the application down, wait for running invocations, then cancel the rest.

        A server usually drains first. Here the application shuts down first: no response drains
        in two seconds, but the application can leave its work in a state to resume from.
        """
        try:
            async with asyncio.timeout(SHUTDOWN_SECONDS):
                if isinstance(self._handler, StreamingHandler):
                    await self._handler.shutdown()
                await asyncio.wait(workers)
        except TimeoutError:
            logger.warning("shut down with work unfinished after %s s", SHUTDOWN_SECONDS)
        for worker in workers:
            worker.cancel()
        outcomes = await asyncio.gather(*workers, return_exceptions=True)
        for loop in self._thread_loops:
            if not loop.is_running():
                loop.close()
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    async def _work(self) -> None:
        client = RuntimeClient(self._address)
        try:
            while not self._stopping.is_set():
                invocation = await self._poll(client)
                await self._handle(client, invocation)
        finally:
            client.close()

    async def _poll(self, client: RuntimeClient) -> Invocation:
        task = asyncio.current_task()
        assert task is not None
        self._polling.add(task)
        try:
            return await self._next(client)
        finally:
            self._polling.discard(task)

    async def _next(self, client: RuntimeClient) -> Invocation:
        if self._concurrency == 1:
            return await client.next()
        for attempt in range(1, _POLL_ATTEMPTS):
            try:
                return await client.next()
            except (OSError, EnvironmentOver) as error:
                logger.warning("attempt %d to get an invocation failed: %s", attempt, error)
                await asyncio.sleep(_POLL_BACKOFF_SECONDS * 2 ** (attempt - 1))
        return await client.next()

    # One invocation

    async def _handle(self, client: RuntimeClient, invocation: Invocation) -> None:
        log.request_id.set(invocation.request_id)
        if self._concurrency == 1:
            _export_trace_id(invocation.trace_id)
        response = client.stream(invocation)
        try:
            await self._answer(client, invocation, response)
        except (InvocationOver, ResponseBroken) as error:
            logger.warning("the response was lost: %s", error)
        except asyncio.CancelledError as error:
            if _is_cancelled():
                raise
            # A task of the handler's own was cancelled, which concerns this invocation only.
            await _report(client, invocation, response, error)
        except Exception as error:  # noqa: BLE001 - a handler may raise anything
            await _report(client, invocation, response, error)
        finally:
            response.close()

    async def _answer(
        self, client: RuntimeClient, invocation: Invocation, response: ResponseStream
    ) -> None:
        event = invocation.event()
        context = LambdaContext.of(invocation)
        handler = self._handler
        if not isinstance(handler, StreamingHandler):
            body, content_type = marshal(await self._call(handler, event, context))
            await client.respond(invocation, body, content_type)
        elif handler.streams(event):
            await handler.stream(event, context, response)
            if response.state is not StreamState.DONE:
                raise UnexpectedMessage("the handler returned before its response was complete")
            if not response.acknowledged:
                raise ResponseBroken("the handler returned before its response was acknowledged")
        else:
            body, content_type = marshal(await handler.respond(event, context))
            await client.respond(invocation, body, content_type)

    async def _call(self, handler: FunctionHandler, event: Any, context: LambdaContext) -> Any:
        """Call a plain handler in a thread, since it may block and the event loop must not."""
        if inspect.iscoroutinefunction(handler):
            return await handler(event, context)
        if self._threads is None:
            self._threads = ThreadPoolExecutor(
                self._concurrency, thread_name_prefix="handler", initializer=self._give_event_loop
            )
        loop = asyncio.get_running_loop()
        run_in_context = contextvars.copy_context().run
        return await loop.run_in_executor(self._threads, run_in_context, handler, event, context)

    def _give_event_loop(self) -> None:
        """Make `asyncio.get_event_loop` work in a handler's thread as it does in the main thread.

        Handlers that run coroutines need it, Mangum among them.
        """
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        self._thread_loops.append(loop)


def _is_cancelled() -> bool:
    """Return True if this task itself was cancelled, as the shutdown does."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _report(
    client: RuntimeClient, invocation: Invocation, response: ResponseStream, error: BaseException
) -> None:
    report = log.describe(error)
    logger.error("%s: %s", report.type, report.message, exc_info=error)
    try:
        async with asyncio.timeout(REPORT_SECONDS):
            if response.state is StreamState.IDLE:
                await client.respond_error(invocation, report)
            elif response.state is StreamState.BODY:
                await response.fail(report)
    except (OSError, LambdaStreamError) as refused:
        logger.warning("the error could not be reported: %s", refused)


def _export_trace_id(trace_id: str | None) -> None:
    """Put the trace id where SDKs read it, in the environment, as the stock runtime does."""
    if trace_id is None:
        os.environ.pop("_X_AMZN_TRACE_ID", None)
    else:
        os.environ["_X_AMZN_TRACE_ID"] = trace_id
