"""The cost of a log that has every token before it is sent.

The first token is measured as a client with `new EventSource("/sse?prompt=…")` sees it, from
the invocation to its event, in a warm sandbox; once with the log, once with one that takes
everything for written. The provider takes its time for the first token, as models do, so that
the start of the stream is written meanwhile: one PutItem should be left. It is compared with one
append after the same idle time, in a process of the same kind.
"""

import re
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from proof.bench.append import Appender, appender
from proof.bench.counting import counted
from proof.bench.dynamodb import Store, in_memory
from proof.bench.items import done, item, new_stream_id, start
from proof.bench.processes import Sandbox, sandbox
from proof.bench.samples import Sample, in_turns
from proof.bench.table import Row, at_most

TITLE = "Durability"

_ROUNDS = 7
# One difference of a few milliseconds between waits of hundreds says little.
_ASKED = 5
_FIRST_TOKEN_MS = 300
_TOKENS_PER_SECOND = 60
_QUERY = "prompt=bench"

_SILENT_SECONDS = 10
# By then a reader has slowed down after the last word it heard.
_SETTLED_SECONDS = 2


def rows() -> Iterator[Row]:
    """Time to first token with and without the log, writes of answers and steps, polls."""
    with in_memory() as store:
        yield _first_token(store)
        with ThreadPoolExecutor() as threads:
            writes = threads.submit(_writes, store)
            polls = threads.submit(_polls, store)
        yield Row(
            what=f"PutItem calls for 1,000 tokens at {_TOKENS_PER_SECOND} a second",
            ours=Sample([writes.result()]),
            unit="calls",
            target=at_most(420),
            portable=True,
        )
        yield Row(
            what="PutItem calls for a step",
            ours=Sample([_writes_of_steps(store)]),
            unit="calls",
            target=at_most(2),
            portable=True,
        )
        yield Row(
            what="Query calls a second, one remote reader, model silent",
            ours=Sample([polls.result()]),
            unit="/s",
            target=at_most(3),
            portable=True,
        )


def _first_token(store: Store) -> Row:
    provider = {
        "DEMO_FIRST_TOKEN_MS": str(_FIRST_TOKEN_MS),
        "DEMO_TOKENS_PER_SECOND": str(_TOKENS_PER_SECOND),
        "DEMO_TOKENS": "1",
    }
    with (
        sandbox("app.main.handler", store.environ() | provider) as logged,
        sandbox("proof.bench.functions.unlogged.handler", provider) as unlogged,
        appender(store, "store") as appending,
    ):
        _until_first_token(logged)
        _until_first_token(unlogged)
        with_log, without_log, append = in_turns(
            _ROUNDS,
            lambda: _median(lambda: _until_first_token(logged)),
            lambda: _median(lambda: _until_first_token(unlogged)),
            lambda: _median(lambda: _append(appending)),
        )
    added = [a - b for a, b in zip(with_log, without_log, strict=True)]
    return Row(
        what="time to first token that the log adds",
        ours=Sample(added),
        theirs=Sample(append),
        unit="ms",
        against=f"one append after {_FIRST_TOKEN_MS} ms of idling",
        target=at_most(1.3, aim=1.1),
    )


def _median(measure: Callable[[], float]) -> float:
    return statistics.median(measure() for _ in range(_ASKED))


def _until_first_token(sandbox: Sandbox) -> float:
    asked_at, answer = sandbox.get("/sse", _QUERY)
    return (answer.time_of(b"event: thinking") - asked_at) * 1e3


def _append(appending: Appender) -> float:
    """The wait for one append. Before it, and before one that only begins it, nothing is asked."""
    return appending.last_wait_ms(2, _FIRST_TOKEN_MS)


def _writes(store: Store) -> float:
    """The PutItem calls for a thousand tokens of a longer stream, its start and end included."""
    provider = {"DEMO_TOKENS": "1000", "DEMO_TOKENS_PER_SECOND": str(_TOKENS_PER_SECOND)}
    with (
        counted(store.url) as calls,
        sandbox("app.main.handler", store.environ(calls.url) | provider) as writer,
    ):
        _, answer = writer.get("/sse", _QUERY)
    said = re.search(rb'"output_tokens":(\d+)', answer.body)
    assert said is not None
    return calls.count("PutItem") / int(said[1]) * 1000


def _writes_of_steps(store: Store) -> float:
    """The PutItem calls for one step: those of a stream, without its start, word and end."""
    with (
        counted(store.url) as calls,
        sandbox("proof.bench.functions.stepping.handler", store.environ(calls.url)) as writer,
    ):
        _, answer = writer.get("/sse", _QUERY)
    if b"event: done" not in answer.body:
        raise ValueError("the stream of steps has not come to its end")
    steps = answer.body.count(b"event: step_end\n")
    return (calls.count("PutItem") - 3) / steps


def _polls(store: Store) -> float:
    """Append only heartbeats, as a writer elsewhere does; count a reader's Query calls."""
    stream_id = new_stream_id()
    with (
        counted(store.url) as calls,
        sandbox("app.main.handler", store.environ(calls.url)) as reader,
        ThreadPoolExecutor() as threads,
    ):
        store.put(start(stream_id))
        store.put(item(stream_id, 1, "answer", text="…"))
        reading = threads.submit(reader.get, f"/streams/{stream_id}/events")
        began_at = time.perf_counter()
        for beat in range(_SILENT_SECONDS):
            time.sleep(1)
            store.put(item(stream_id, 2 + beat, "heartbeat"))
        ended_at = time.perf_counter()
        store.put(done(stream_id, 2 + _SILENT_SECONDS))
        _, answer = reading.result()
    if b"event: done" not in answer.body:
        raise ValueError("the reader did not come to the end of the stream")
    settled_at = began_at + _SETTLED_SECONDS
    return calls.count("Query", settled_at, ended_at) / (ended_at - settled_at)
