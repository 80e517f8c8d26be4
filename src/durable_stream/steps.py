"""Steps: parts of a producer's work that are recorded, so that no later attempt repeats them."""

import asyncio
import hashlib
import inspect
import json
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, Protocol

from durable_stream import step_keys
from durable_stream.buffer import EventBuffer
from durable_stream.events import MAX_EVENT, Event, StepBegun, StepEnded
from durable_stream.exceptions import ProducerFailed, StepFailed, StepRefused
from durable_stream.recorded import RecordedSteps
from durable_stream.route import Route, diverged
from durable_stream.run import Run
from durable_stream.threads import in_thread

# Where the code that runs now is: the key of its step, or the path of its branch.
_PATH: ContextVar[str] = ContextVar("path", default="")


class Codec(Protocol):
    """The JSON of a step's arguments and value. Raises TypeError or ValueError for others."""

    def dump(self, value: Any) -> str:
        """The value as JSON."""
        ...

    def load(self, text: str) -> Any:
        """The inverse of `dump`."""
        ...

    def arguments(self, args: Sequence[Any]) -> str:
        """The arguments as JSON, the same text for the same arguments."""
        ...


class PlainJson(Codec):
    """The codec for values that `json` takes as they are."""

    def dump(self, value: Any) -> str:
        """The value as one line of ASCII JSON, members sorted."""
        return json.dumps(value, sort_keys=True, separators=(",", ":"))

    def load(self, text: str) -> Any:
        """The inverse of `dump`."""
        return json.loads(text)

    def arguments(self, args: Sequence[Any]) -> str:
        """The arguments as a list."""
        return self.dump(list(args))


PLAIN_JSON = PlainJson()


class Steps:
    """The steps of one attempt, and the way of its events into the log.

    `log` holds the events of earlier attempts. With `restarts`, the work starts over before the
    readers' eyes, so a step may come with other arguments than before, and its events are logged
    again. With `replays`, nothing may be said that differs from the log.
    """

    def __init__(
        self,
        stream_id: str,
        log: Sequence[Event],
        said: Sequence[Event],
        buffer: EventBuffer,
        *,
        restarts: bool = False,
        replays: bool = False,
    ) -> None:
        self._stream_id = stream_id
        self._buffer = buffer
        self._restarts = restarts
        self._recorded = RecordedSteps(log)
        self._keys = step_keys.Keys()
        self._route = Route(said, self._recorded) if replays else None
        self._runs: dict[str, Run] = {}
        self._workers: set[asyncio.Task[Any]] = set()
        self._thread = threading.get_ident()
        self._closed = False

    # For producers

    def step(
        self,
        name: str,
        function: Callable[..., Any],
        *args: Any,
        key: str = "",
        once: bool = False,
        codec: Codec = PLAIN_JSON,
    ) -> Awaitable[Any]:
        """The function's result, recorded once; a later attempt gets it from the log.

        A function that is not `async` runs in a thread. A step whose end was not recorded runs
        again, or with `once` ends the stream as `interrupted`. `key` tells steps of one name apart.
        The order of calls counts, not that of awaiting.

        Raises StepFailed if the function raised an exception, and StepRefused for a value or an
        argument that is not JSON or too large, and where the log has another step.
        """
        self._check_usable()
        path = _PATH.get()
        place = self._keys.next(path, name, key)
        return self._step(path, place, name, function, args, once=once, codec=codec)

    async def emit(self, event: Event) -> None:
        """Log an event from where the code is; in a step, the event belongs to the step.

        If a step runs again that an earlier attempt has not finished, events that the log has are
        left out, and the first that differs resets the step's events.
        """
        self._check_usable()
        path = _PATH.get()
        event = replace(event, within=path)
        run = self._runs.get(path)
        for each in run.news(event) if run is not None else self.news(event):
            await self._buffer.put(each)

    def continuing(self) -> tuple[Event, ...]:
        """The events of this step that an earlier, unfinished run has logged.

        The step promises to emit only those that follow.
        """
        run = self._runs.get(_PATH.get())
        if run is None:
            raise RuntimeError("only the function of a step continues one: call it from there")
        return run.continuing()

    @property
    def key(self) -> str:
        """The idempotency key of the step that runs here; the stream's id outside of steps.

        It is the same in every attempt: at most 64 characters of `[A-Za-z0-9_.:-]`.
        """
        path = _PATH.get()
        return step_keys.idempotency_key(self._stream_id, path) if path else self._stream_id

    async def logged(self) -> None:
        """Return when all events so far are durable."""
        await self._buffer.logged()

    @contextmanager
    def branch(self, label: str) -> Iterator[None]:
        """Keep the steps of the block apart from those of other branches that run beside it."""
        token = _PATH.set(step_keys.branch(_PATH.get(), label))
        try:
            yield
        finally:
            _PATH.reset(token)

    # For the attempt

    def news(self, event: Event) -> Sequence[Event]:
        """The events to log for one that comes from outside of steps; raises StepRefused."""
        return [event] if self._route is None else self._route.news(event)

    def finish(self) -> None:
        """Note the end of the work; raises StepRefused if the log has more than that."""
        if self._route is not None:
            self._route.finish()

    async def close(self) -> None:
        """End all steps that still run: the attempt is over."""
        self._closed = True
        workers = self._workers - {asyncio.current_task()}
        for worker in workers:
            worker.cancel()
        if workers:
            await asyncio.wait(workers)

    # Running

    async def _step(
        self,
        path: str,
        key: str,
        name: str,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        *,
        once: bool,
        codec: Codec,
    ) -> Any:
        begin = StepBegun(name, _digest(name, args, codec), within=key)
        begun = self._recorded.begun.get(key)
        if begun is not None and begun.call != begin.call:
            if not self._restarts:
                raise diverged(f"the step {name!r} came with other arguments")
            begun = None
        ended = self._recorded.ended.get(key) if begun is not None else None
        if self._route is not None:
            self._route.visit(path, key, name)
        if ended is not None:
            return await self._recall(ended, name, codec)
        if begun is None:
            await self._buffer.put(begin)
        elif once:
            raise StepRefused("interrupted", _INTERRUPTED.format(name=name))
        # Durable first: only the stream's writer works, and a later attempt learns of it.
        await self._buffer.logged()
        run = Run(key, self._recorded.events(key) if begun is not None else ())
        return await self._run(run, name, function, args, codec)

    async def _recall(self, ended: StepEnded, name: str, codec: Codec) -> Any:
        if self._restarts:  # The reset took the step's events from the readers.
            for event in self._recorded.events(ended.within, nested=True):
                await self._buffer.put(event)
        return _value(ended, name, codec)

    async def _run(
        self,
        run: Run,
        name: str,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        codec: Codec,
    ) -> Any:
        worker = asyncio.current_task()
        assert worker is not None
        is_first = worker not in self._workers
        self._workers.add(worker)
        self._runs[run.key] = run
        token = _PATH.set(run.key)
        try:
            end = _ended(await _called(function, args), run.key, name, codec)
        except (ProducerFailed, asyncio.CancelledError):
            raise
        except Exception as error:  # noqa: BLE001 - a step may raise anything
            end = StepEnded("", _failure(error), within=run.key)
        finally:
            _PATH.reset(token)
            del self._runs[run.key]
            if is_first:
                self._workers.discard(worker)
        self._check_usable()
        for event in (*run.rest(), end):
            await self._buffer.put(event)
        return _value(end, name, codec)

    def _check_usable(self) -> None:
        if threading.get_ident() != self._thread:
            raise RuntimeError(
                "a step was used from a thread: use steps from the event loop of the agent only"
            )
        if self._closed:
            raise RuntimeError("the attempt is over, and its steps with it")


_INTERRUPTED = (
    "The step {name!r} was interrupted, and must not run a second time: find out if it has "
    "happened, and create a new stream."
)


def _value(end: StepEnded, name: str, codec: Codec) -> Any:
    if end.failure:
        type_, text = json.loads(end.failure)
        raise StepFailed(name, type_, text)
    return codec.load(end.value)


def _failure(error: Exception) -> str:
    if isinstance(error, StepFailed):
        return json.dumps([error.type, error.text])
    return json.dumps([type(error).__name__, str(error)[:1000]])


async def _called(function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    if _is_async(function):
        return await function(*args)
    result = await in_thread(function, *args)
    return await result if inspect.isawaitable(result) else result


def _is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - it may be a coroutine function
    )


def _ended(value: Any, key: str, name: str, codec: Codec) -> StepEnded:
    try:
        end = StepEnded(codec.dump(value), within=key)
    except (TypeError, ValueError) as error:
        raise StepRefused(
            "step_invalid",
            f"The step {name!r} returned a {type(value).__name__}, which is not JSON: return "
            "numbers, text, lists and dicts, or annotate the type.",
        ) from error
    if end.weight > MAX_EVENT:
        raise StepRefused(
            "step_invalid",
            f"The step {name!r} returned more than the {MAX_EVENT} characters of JSON that fit "
            "into a record: store the value elsewhere, and return its address.",
        )
    return end


def _digest(name: str, args: tuple[Any, ...], codec: Codec) -> str:
    try:
        call = f"{name}{codec.arguments(args)}"
    except (TypeError, ValueError) as error:
        raise StepRefused(
            "step_invalid",
            f"An argument of the step {name!r} is not JSON: pass it by a closure, and what "
            "tells it apart as an argument.",
        ) from error
    return hashlib.sha256(call.encode()).hexdigest()[:16]
