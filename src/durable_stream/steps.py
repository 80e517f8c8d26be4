"""Steps: parts of a producer's work that are recorded, so that no later attempt repeats them."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

from durable_stream import step_keys
from durable_stream.buffer import EventBuffer
from durable_stream.call import Call
from durable_stream.codec import PLAIN_JSON, Codec
from durable_stream.events import Event, StepBegun, StepEnded
from durable_stream.exceptions import ProducerFailed, StepRefused
from durable_stream.numbering import Numbering
from durable_stream.recorded import RecordedSteps
from durable_stream.route import Route, diverged
from durable_stream.run import Run

# Where the code that runs now is: the key of its step, or the path of its branch.
_PATH: ContextVar[str] = ContextVar("path", default="")


class Steps:
    """The steps of one attempt, and the way of its events into the log.

    `log` holds the events of earlier attempts, and `said` those that count. With `restarts`, the
    work starts over before the readers' eyes: it may come to other steps, and the events of its
    recorded steps are logged again. With `replays`, nothing may be said that differs from the log.
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
        self._numbering = Numbering(self._recorded)
        self._route = Route(said, self._recorded) if replays else None
        self._runs: dict[str, Run] = {}
        self._askers: dict[str, asyncio.Task[Any] | None] = {}
        self._workers: Counter[asyncio.Task[Any]] = Counter()
        self._thread = threading.get_ident()
        self._refusal: StepRefused | None = None
        self._may_have_cost = 0
        self._closed = False
        # All attempts of a writer share a context, and one may have ended in a branch.
        _PATH.set("")

    # For producers

    def step(
        self,
        name: str,
        function: Callable[..., Any],
        *args: Any,
        key: str = "",
        once: bool = False,
        codec: Codec = PLAIN_JSON,
    ) -> Coroutine[Any, Any, Any]:
        """The function's result, recorded once; a later attempt gets it from the log.

        A function that is not `async` runs in a thread. A step whose end was not recorded runs
        again, or with `once` ends the stream as `interrupted`. `key` tells steps of one name apart.
        The order of calls counts, not that of awaiting.

        Raises StepFailed if the function raised an exception, and StepRefused for a value or an
        argument that is not JSON or too large, and where the log has another step.
        """
        self._check_usable()
        call = Call(name=name, function=function, args=args, codec=codec, once=once)
        path = _PATH.get()
        with self._remembering():
            stem = step_keys.stem(path, name, key)
            self._check_asker(stem if key else path)
            begin = self._begin(path, stem, call)
        return _Asked(lambda: self._step(begin, call))

    async def emit(self, event: Event) -> None:
        """Log an event from where the code is; in a step, the event belongs to the step.

        If a step runs again that an earlier attempt has not finished, events that the log has are
        left out, and the first that differs resets the step's events. Raises ValueError for a
        terminal event.
        """
        self._check_usable()
        if event.terminal:
            raise ValueError(f"a step cannot end the stream: yield the event {event.kind!r}")
        path = _PATH.get()
        step = step_keys.innermost_step(path)
        event = replace(event, within=step or path)
        if not step:
            news = self.news(event)
        elif (run := self._runs.get(step)) is not None:
            news = run.news(event)
        else:
            raise RuntimeError(
                "the step has ended, and a task of it still runs: await the task in the step"
            )
        with self._working():
            for each in news:
                await self._put(each)

    def continuing(self) -> tuple[Event, ...]:
        """The events of this step that an earlier, unfinished run has logged.

        Then emit only the events that follow.
        """
        run = self._runs.get(step_keys.innermost_step(_PATH.get()))
        if run is None:
            raise RuntimeError("continuing() works only inside a step: call it from its function")
        return run.continuing()

    @property
    def key(self) -> str:
        """The idempotency key of the step that runs here; the stream's id outside of steps.

        It is the same in every attempt: at most 64 characters of `[A-Za-z0-9_.:-]`.
        """
        step = step_keys.innermost_step(_PATH.get())
        return step_keys.idempotency_key(self._stream_id, step) if step else self._stream_id

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
            # Python may close a generator that holds the block in another context.
            with suppress(ValueError):
                _PATH.reset(token)

    # For the attempt

    def news(self, event: Event) -> Sequence[Event]:
        """The events to log for one from outside of steps; raises StepRefused."""
        self._check_not_refused()
        if self._route is None:
            return [event]
        with self._remembering():
            self._check_asker(event.within)
            return self._route.news(event)

    def finish(self) -> None:
        """Note the end of the work; raises StepRefused if the log has more than that."""
        self._check_not_refused()
        with self._remembering():
            if self._route is not None:
                self._route.finish()

    @property
    def refusal(self) -> StepRefused | None:
        """The first refusal, which the producer may have caught."""
        return self._refusal

    @property
    def may_have_cost(self) -> bool:
        """True if a function has begun to run, and has not failed at no cost."""
        return self._may_have_cost > 0

    async def close(self) -> None:
        """End all steps that still run: the attempt is over."""
        self._closed = True
        workers = self._workers.keys() - {asyncio.current_task()}
        for worker in workers:
            worker.cancel()
        if workers:
            await asyncio.wait(workers)

    # Running

    def _begin(self, path: str, stem: str, call: Call) -> StepBegun:
        digest = call.digest()
        if self._route is not None:
            key = self._numbering.next(stem)
        else:
            key = self._numbering.of_call(stem, digest)
        begun = self._recorded.begun.get(key)
        if begun is not None and begun.call != digest:
            raise diverged(f"the step {call.name!r} came with other arguments")
        if call.once and self._was_interrupted(stem):
            raise StepRefused("interrupted", _INTERRUPTED.format(name=call.name))
        if self._route is not None:
            self._route.visit(path, key, call.name)
        begin = StepBegun(call.name, digest, within=key)
        if begun is None:
            # At once, so that the log has the order in which steps are asked for.
            self._buffer.add(begin)
        return begin

    def _was_interrupted(self, stem: str) -> bool:
        """True if a step has not ended of which this one may be a repetition."""
        return any(key not in self._recorded.ended for key in self._recorded.like(stem))

    async def _step(self, begin: StepBegun, call: Call) -> Any:
        key = begin.within
        with self._working():
            ended = self._recorded.ended.get(key)
            if ended is not None:
                return await self._recall(ended, call)
            # Durable first: only the stream's writer works, and a later attempt learns of it.
            await self._buffer.logged()
            self._check_usable()
            end = await self._run(Run(key, self._recorded.events(key)), call)
        return call.value(end)

    async def _recall(self, ended: StepEnded, call: Call) -> Any:
        if self._restarts:  # The reset took the step's events from the readers.
            for event in self._recorded.events_at_end(ended.within):
                await self._put(event)
        try:
            return call.value(ended)
        except (TypeError, ValueError) as error:
            with self._remembering():
                raise diverged(f"the step {call.name!r} has a value of another type") from error

    async def _run(self, run: Run, call: Call) -> StepEnded:
        self._runs[run.key] = run
        self._may_have_cost += 1
        token = _PATH.set(run.key)
        try:
            with self._remembering():
                end = await call.end(run.key)
        except ProducerFailed as failed:
            self._may_have_cost -= failed.free
            raise
        finally:
            _PATH.reset(token)
            del self._runs[run.key]
        for event in (*run.rest(), end):
            await self._put(event)
        return end

    async def _put(self, event: Event) -> None:
        self._check_usable()
        await self._buffer.put(event)

    @contextmanager
    def _working(self) -> Iterator[None]:
        """Let `close` end the task that runs the block."""
        worker = asyncio.current_task()
        assert worker is not None
        self._workers[worker] += 1
        try:
            yield
        finally:
            self._workers[worker] -= 1
            if not self._workers[worker]:
                del self._workers[worker]

    # Checking

    def _check_asker(self, place: str) -> None:
        """Refuse work of two tasks at one place: which of them is first would be chance."""
        asker = asyncio.current_task()
        before = self._askers.setdefault(place, asker)
        if before is not asker and before is not None and not before.done():
            raise StepRefused(
                "step_ambiguous",
                "Two tasks that run at once use steps or events in the same place, so a later "
                "attempt could mix them up: put each task into a `branch()` of its own, or give "
                "each step a `key=`.",
            )
        self._askers[place] = asker

    @contextmanager
    def _remembering(self) -> Iterator[None]:
        """Let a refusal end the stream, even if the producer catches it."""
        try:
            yield
        except StepRefused as refused:
            self._refusal = self._refusal or refused
            raise

    def _check_not_refused(self) -> None:
        if self._refusal is not None:
            raise self._refusal

    def _check_usable(self) -> None:
        if threading.get_ident() != self._thread:
            raise RuntimeError(
                "a step was used from another thread: call steps only from the agent's event loop"
            )
        if self._closed:
            raise RuntimeError("the attempt is over, and its steps with it")
        self._check_not_refused()


class _Asked(Coroutine[Any, Any, Any]):
    """A step that was asked for, and works when it is awaited or made a task.

    Unlike Python's own coroutine, it may be dropped without a warning: an attempt can end at any
    time.
    """

    def __init__(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        self._begin = work
        self._begun: Coroutine[Any, Any, Any] | None = None

    def send(self, value: Any) -> Any:
        return self._work().send(value)

    def throw(self, *error: Any) -> Any:
        return self._work().throw(*error)

    def close(self) -> None:
        if self._begun is not None:
            self._begun.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._work().__await__()

    def _work(self) -> Coroutine[Any, Any, Any]:
        if self._begun is None:
            self._begun = self._begin()
        return self._begun


_INTERRUPTED = (
    "The step {name!r} was interrupted, and must not run a second time: check if it took effect, "
    "then create a new stream."
)
