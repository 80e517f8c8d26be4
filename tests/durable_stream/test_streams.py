"""Writing, reading, taking over, handing over and cancelling, over a real DynamoDB API.

Two `Streams` objects are two sandboxes: they share nothing but the table.
"""

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from app.events import REGISTRY, Answer, Done, Start, Thinking
from app.exceptions import ProviderError
from app.models.base import Message, Partial, Provider, Request
from durable_stream import (
    BadCursor,
    Cancelled,
    Claim,
    Engine,
    Failed,
    Handoff,
    Heartbeat,
    Hooks,
    KeyReused,
    Reading,
    Record,
    RetryPolicy,
    StoreUnavailable,
    StreamNotFound,
    Streams,
    Timing,
    Window,
)
from durable_stream.creation import derived_id
from durable_stream.dynamodb import DynamoDBStore
from durable_stream.table import Table
from durable_stream.task import spoken
from tests.app.scripted import START, ScriptedProvider, Step, answers_of
from tests.store import Fault, FaultyStore, create_table, delete_item, put_item

pytestmark = pytest.mark.anyio

TIMING = Timing(
    heartbeat=0.2,
    lease=2.0,
    listening=0.5,
    read_patience=2.0,
    create_patience=2.0,
    handoff_margin=0.3,
    claim_margin=0.1,
    flush_interval=0.01,
)
NOW = Window()
FINISH = Done("stop", 1, 2)
KEY = "a-key-of-sixteen"

Sandbox = Callable[..., Streams]


def answer(*texts: str) -> list[Step]:
    return [*map(Answer, texts), FINISH]


def streams_of(
    store: DynamoDBStore,
    provider: Provider,
    *,
    hooks: Hooks | None = None,
    idle_attempts: int = 5,
    tail_records: int = 512,
    timing: Timing = TIMING,
) -> Streams:
    """A process's streams, whose agent answers with a model."""
    return Streams(
        Engine(
            store=store,
            producer=answers_of(provider),
            hooks=hooks or Hooks(),
            policy=RetryPolicy(idle_attempts=idle_attempts),
            tail_records=tail_records,
            timing=timing,
        )
    )


@asynccontextmanager
async def sandboxes(store: DynamoDBStore, hooks: Hooks | None = None) -> AsyncIterator[Sandbox]:
    """Makes processes over one table, which die at the end."""
    made: list[Streams] = []

    def make(provider: ScriptedProvider, **options: Any) -> Streams:
        known = {
            name: options.pop(name) for name in ("idle_attempts", "tail_records") & options.keys()
        }
        timing = dataclasses.replace(TIMING, **options)
        made.append(streams_of(store, provider, hooks=hooks, timing=timing, **known))
        return made[-1]

    yield make
    for streams in made:
        await die(streams)


@pytest.fixture
async def sandbox(log: DynamoDBStore) -> AsyncIterator[Sandbox]:
    async with sandboxes(log) as make:
        yield make


async def die(streams: Streams) -> None:
    """Do as SIGKILL does: everything stops, and no last word is written."""
    for stream in list(streams._written):
        assert stream.writing is not None
        await stream.writing.abandon()


async def read(reading: Reading | None, *, within: float = 10) -> list[Record]:
    """Everything that a reader is given."""
    assert reading is not None
    async with asyncio.timeout(within):
        return [record async for batch in reading.batches() for record in batch]


async def read_until(reading: Reading, kind: type[object]) -> list[Record]:
    records: list[Record] = []
    async with asyncio.timeout(10):
        async for batch in reading.batches():
            records += batch
            if any(isinstance(record.event, kind) for record in batch):
                return records
    raise AssertionError(f"no {kind} in {records}")


def said(records: list[Record]) -> str:
    return "".join(r.event.text for r in records if isinstance(r.event, Answer))


def assert_exact(records: list[Record], text: str) -> None:
    assert [record.seq for record in records] == list(range(len(records)))
    assert said(records) == text
    assert isinstance(records[-1].event, Done)


async def begin(streams: Streams, window: Window = NOW) -> tuple[str, Reading]:
    start = await streams.create(START, None)
    reading = await streams.read(start.stream_id, None, window)
    assert reading is not None
    return start.stream_id, reading


# Writing


async def test_a_created_stream_is_started_by_its_first_reader(sandbox: Sandbox) -> None:
    provider = ScriptedProvider([[Thinking("hm"), *answer("a", "b")]])
    streams = sandbox(provider)
    stream_id, reading = await begin(streams)
    assert provider.asked_to_continue == []
    assert (await streams.history(stream_id)).newest.seq == 0

    records = await read(reading)

    assert_exact(records, "ab")
    kinds = [type(record.event) for record in records]
    assert kinds == [Start, Claim, Thinking, Answer, Done]


async def test_creating_and_reading_in_one_needs_no_claim(sandbox: Sandbox) -> None:
    streams = sandbox(ScriptedProvider([answer("a")]))

    records = await read(await streams.create_and_read(START, None, NOW))

    assert [type(record.event) for record in records] == [Start, Answer, Done]


async def test_a_record_is_delivered_only_when_it_is_durable(
    sandbox: Sandbox, store: FaultyStore
) -> None:
    go_on = asyncio.Event()
    streams = sandbox(ScriptedProvider([[Answer("a"), go_on, *answer("b")]]))
    reading = await streams.create_and_read(START, None, NOW)
    batches = reading.batches()
    seen = [record async for batch in _take(batches, 2) for record in batch]
    assert said(seen) == "a"

    store.choose = lambda operation: Fault.REFUSE if operation == "PutItem" else Fault.NONE
    go_on.set()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.4):
            await anext(batches)


async def _take(batches: AsyncIterator[object], count: int) -> AsyncIterator[list[Record]]:
    for _ in range(count):
        batch = await anext(batches)
        assert isinstance(batch, list)
        yield batch


async def test_what_comes_during_an_append_is_the_next_record(
    sandbox: Sandbox, store: FaultyStore
) -> None:
    """One append in flight: the log's pace, not the model's, makes the records' size."""
    streams = sandbox(ScriptedProvider([answer(*map(str, range(100)))]))
    store.delay = 0.05

    records = await read(await streams.create_and_read(START, None, NOW))

    assert_exact(records, "".join(map(str, range(100))))
    assert len(records) < 8


async def test_long_text_is_split_below_the_item_limit(sandbox: Sandbox) -> None:
    text = "🚀" * 70_000
    streams = sandbox(ScriptedProvider([answer(text)]))

    assert_exact(await read(await streams.create_and_read(START, None, NOW)), text)


async def test_a_silent_model_is_covered_by_heartbeats(sandbox: Sandbox) -> None:
    go_on = asyncio.Event()
    streams = sandbox(ScriptedProvider([[go_on, *answer("a")]]))
    begun = time.monotonic()
    reading = await streams.create_and_read(START, None, NOW)
    records: list[Record] = []
    beats = 0
    async with asyncio.timeout(10):
        async for batch in reading.batches():
            records += batch
            beats = sum(isinstance(record.event, Heartbeat) for record in records)
            if beats >= 4:
                go_on.set()

    assert_exact(records, "a")
    assert beats * TIMING.heartbeat <= time.monotonic() - begun, "no more often than it should"


# Reading


async def test_many_readers_share_one_generation_and_its_words(sandbox: Sandbox) -> None:
    provider = ScriptedProvider([answer("a", "b", "c")])
    streams = sandbox(provider)
    start = await streams.create(START, None)
    readings = [await streams.read(start.stream_id, None, NOW) for _ in range(20)]

    for records in await asyncio.gather(*map(read, readings)):
        assert_exact(records, "abc")
    assert len(provider.asked_to_continue) == 1


async def test_another_sandbox_reads_along(sandbox: Sandbox) -> None:
    go_on = asyncio.Event()
    writing = sandbox(ScriptedProvider([[Answer("a"), go_on, *answer("b")]]))
    reading = await writing.create_and_read(START, None, NOW)
    own = asyncio.create_task(read(reading))
    other = await sandbox(ScriptedProvider([])).read(reading.stream_id, None, NOW)
    assert other is not None
    elsewhere = asyncio.create_task(read(other))
    go_on.set()

    assert await own == await elsewhere
    assert_exact(await own, "ab")


async def test_a_reader_goes_on_behind_its_cursor(sandbox: Sandbox) -> None:
    streams = sandbox(ScriptedProvider([answer("a", "b")]))
    stream_id, reading = await begin(streams)
    records = await read(reading)

    for after in range(len(records) - 1):
        rest = await read(await streams.read(stream_id, after, NOW))
        assert rest == records[after + 1 :]


async def test_behind_the_terminal_record_nothing_is_left(sandbox: Sandbox) -> None:
    streams = sandbox(ScriptedProvider([answer("a")]))
    stream_id, reading = await begin(streams)
    last = (await read(reading))[-1]

    assert await streams.read(stream_id, last.seq, NOW) is None


async def test_a_cursor_beyond_the_end_is_refused(sandbox: Sandbox) -> None:
    streams = sandbox(ScriptedProvider([]))
    start = await streams.create(START, None)

    with pytest.raises(BadCursor):
        await streams.read(start.stream_id, 1, NOW)


async def test_an_unknown_stream_is_not_found(sandbox: Sandbox) -> None:
    streams = sandbox(ScriptedProvider([]))

    for after in (None, 0, 7):
        with pytest.raises(StreamNotFound):
            await streams.read("x" * 32, after, NOW)
    with pytest.raises(StreamNotFound):
        await streams.history("x" * 32)
    with pytest.raises(StreamNotFound):
        await streams.cancel("x" * 32)


async def test_an_expired_stream_is_not_found_though_it_is_still_there(sandbox: Sandbox) -> None:
    """DynamoDB deletes typically within two days; moto never does."""
    streams = sandbox(ScriptedProvider([answer("a")]), stream_ttl=0)
    start = await streams.create(START, None)

    for after in (None, 0, 5):
        with pytest.raises(StreamNotFound):
            await streams.read(start.stream_id, after, NOW)
    with pytest.raises(StreamNotFound):
        await streams.cancel(start.stream_id)


async def test_a_reader_that_does_not_read_does_not_hold_the_writer_up(sandbox: Sandbox) -> None:
    texts = [f"{n} " for n in range(2000)]
    provider = ScriptedProvider([answer(*texts)])
    streams = sandbox(provider, flush_interval=0.0)
    reading = await streams.create_and_read(START, None, NOW)
    batches = reading.batches()
    await anext(batches)

    async with asyncio.timeout(10):
        await reading.settled()

    rest = [record async for batch in batches for record in batch]
    assert said(rest) == "".join(texts)


@pytest.mark.both_stores
async def test_a_reader_far_behind_reads_from_the_log_what_memory_no_longer_holds(
    sandbox: Sandbox,
) -> None:
    go_on = [asyncio.Event() for _ in range(30)]
    steps = [step for n, gate in enumerate(go_on) for step in (Answer(f"{n} "), gate)]
    streams = sandbox(ScriptedProvider([[*steps, FINISH]]), tail_records=4)
    reading = await streams.create_and_read(START, None, NOW)
    batches = reading.batches()
    first = await anext(batches)
    for gate in go_on:
        gate.set()
        await asyncio.sleep(0.02)
    await reading.settled()

    records = [*first, *[record async for batch in batches for record in batch]]

    assert_exact(records, "".join(f"{n} " for n in range(30)))


async def test_a_tail_is_forgotten_when_nobody_uses_it(sandbox: Sandbox) -> None:
    streams = sandbox(ScriptedProvider([answer("a")]))
    _, reading = await begin(streams)
    await read(reading)
    await reading.settled()
    del reading

    assert not streams._streams
    assert not streams._written


# Taking over


@pytest.mark.both_stores
async def test_a_dead_writers_stream_is_continued_where_it_stopped(sandbox: Sandbox) -> None:
    first = sandbox(ScriptedProvider([[Thinking("hm"), Answer("ab"), asyncio.Event()]]))
    stream_id, reading = await begin(first)
    seen = await read_until(reading, Answer)
    await die(first)
    provider = ScriptedProvider([answer("cd")])

    rest = await read(await sandbox(provider).read(stream_id, seen[-1].seq, NOW))

    assert_exact([*seen, *rest], "abcd")
    assert provider.asked_to_continue == [Partial(thinking="hm", answer="ab")]
    claims = [r.event.attempt for r in [*seen, *rest] if isinstance(r.event, Claim)]
    assert claims == [1, 2]


async def test_a_dead_writer_is_replaced_as_soon_as_its_lease_is_over(
    sandbox: Sandbox, log: DynamoDBStore
) -> None:
    """The lease counts from the last record, not from when a reader came to hear of it."""
    streams = sandbox(ScriptedProvider([answer("a")]), lease=60)
    start = await streams.create(START, None)
    last_sign = dataclasses.replace(
        start, seq=1, event=Claim(1, "restarted"), writer="x", at=start.at - 59_000
    )
    await log.append(last_sign)

    records = await read(await streams.read(start.stream_id, None, NOW))

    (claimed,) = (r.at for r in records if r.event == Claim(2, "restarted"))
    assert claimed - last_sign.at >= 60_000


@pytest.mark.both_stores
async def test_of_many_sandboxes_one_takes_over(sandbox: Sandbox) -> None:
    first = sandbox(ScriptedProvider([[Answer("a"), asyncio.Event()]]))
    stream_id, reading = await begin(first)
    await read_until(reading, Answer)
    await die(first)
    providers = [ScriptedProvider([answer("b")]) for _ in range(8)]
    readings = [await sandbox(each).read(stream_id, None, NOW) for each in providers]

    for records in await asyncio.gather(*map(read, readings)):
        assert_exact(records, "ab")
    assert sum(len(each.asked_to_continue) for each in providers) == 1


async def test_a_live_writer_is_left_alone(sandbox: Sandbox) -> None:
    """Its heartbeats are its lease, however long the model is silent."""
    go_on = asyncio.Event()
    stream_id, reading = await begin(sandbox(ScriptedProvider([[go_on, *answer("a")]])))
    own = asyncio.create_task(read(reading))
    bystander = ScriptedProvider([])
    other = await _read_once_there(sandbox(bystander), stream_id)
    asyncio.get_running_loop().call_later(2 * TIMING.lease, go_on.set)

    assert_exact(await read(other), "a")
    await own
    assert bystander.asked_to_continue == []


async def _read_once_there(streams: Streams, stream_id: str) -> Reading:
    async with asyncio.timeout(5):
        while (await streams.history(stream_id)).attempts == 0:  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # Another process writes: there is nothing to wait on.
    reading = await streams.read(stream_id, None, NOW)
    assert reading is not None
    return reading


@pytest.mark.both_stores
async def test_a_writer_that_wakes_up_after_a_take_over_appends_nothing(
    sandbox: Sandbox, log: DynamoDBStore
) -> None:
    """SIGSTOP and SIGCONT, seen from inside: the writer's next append comes much too late."""
    zombie = ScriptedProvider([[Answer("a"), thaw := asyncio.Event(), *answer("never")]])
    first = sandbox(zombie, heartbeat=3600)
    stream_id, reading = await begin(first)
    own = asyncio.create_task(read(reading))
    other = await _read_once_there(sandbox(ScriptedProvider([answer("b")])), stream_id)

    records = await read(other)
    thaw.set()

    assert_exact(records, "ab")
    assert await own == records
    await reading.settled()
    assert zombie.running == 0
    assert list((await log.read(stream_id, 0, consistent=True)).records) == records


async def test_a_silence_heard_counts_though_the_writers_clock_is_ahead(
    sandbox: Sandbox, log: DynamoDBStore
) -> None:
    """No clock is trusted: a dead writer from the future must not block the stream."""
    streams = sandbox(ScriptedProvider([answer("a")]))
    start = await streams.create(START, None)
    ahead = dataclasses.replace(
        start, seq=1, event=Claim(1, "restarted"), writer="x", at=start.at + 3_600_000
    )
    await log.append(ahead)

    assert_exact(await read(await streams.read(start.stream_id, None, NOW)), "a")


async def test_a_record_that_comes_late_is_a_sign_of_life_however_old_it_says_it_is(
    sandbox: Sandbox, log: DynamoDBStore
) -> None:
    """Its writer has tried again and again to append it, to a log that did not answer."""
    bystander = ScriptedProvider([])
    streams = sandbox(bystander, lease=1.0)
    start = await streams.create(START, None)
    late = dataclasses.replace(start, writer="x", at=start.at - 60_000)
    await log.append(dataclasses.replace(late, seq=1, event=Claim(1)))
    reading = asyncio.create_task(read(await streams.read(start.stream_id, None, NOW)))
    for seq in range(2, 8):
        await asyncio.sleep(0.3)
        await log.append(dataclasses.replace(late, seq=seq, event=Heartbeat()))
    await log.append(dataclasses.replace(late, seq=8, event=Done("stop", 1, 2)))

    assert [record.seq for record in await reading] == list(range(9))
    assert bystander.asked_to_continue == []


async def test_a_dead_writer_is_replaced_also_by_readers_whose_responses_are_short(
    sandbox: Sandbox,
) -> None:
    """Where clients see no byte before a response ends, a reader comes back again and again."""
    first = sandbox(ScriptedProvider([[Answer("a"), asyncio.Event()]]))
    stream_id, own = await begin(first)
    records = await read_until(own, Answer)
    await die(first)
    provider = ScriptedProvider([answer("b")])

    async with asyncio.timeout(10):
        while not records[-1].terminal:
            streams = sandbox(provider, listening=1.75, buffered_window=0.5)
            reading = await streams.read(stream_id, records[-1].seq, Window(buffered=True))
            assert reading is not None
            records += await read(reading)

    assert_exact(records, "ab")


# Handing over


async def test_the_writer_hands_over_before_its_deadline(sandbox: Sandbox) -> None:
    first = sandbox(ScriptedProvider([[Answer("a"), asyncio.Event()]]))
    stream_id, reading = await begin(first, Window(deadline=time.time() + 2.0))

    seen = await read(reading)
    await reading.settled()

    assert isinstance(seen[-1].event, Handoff)
    # A lease is not waited for: this one is longer than `read` is patient.
    second = sandbox(ScriptedProvider([answer("b")]), lease=60)
    rest = await read(await second.read(stream_id, seen[-1].seq, NOW))
    assert_exact([*seen, *rest], "ab")


async def test_an_invocation_with_no_time_left_does_not_take_over(sandbox: Sandbox) -> None:
    provider = ScriptedProvider([])
    streams = sandbox(provider)
    stream_id, reading = await begin(streams, Window(deadline=time.time() + 0.35))

    records = await read(reading)

    assert [type(record.event) for record in records] == [Start]
    assert provider.asked_to_continue == []
    assert (await streams.history(stream_id)).newest.seq == 0


async def test_a_process_that_ends_hands_over_and_does_not_take_back(sandbox: Sandbox) -> None:
    streams = sandbox(ScriptedProvider([[Answer("a"), asyncio.Event()]]))
    stream_id, reading = await begin(streams)
    own = asyncio.create_task(read(reading))
    await _read_once_there(sandbox(ScriptedProvider([])), stream_id)

    async with asyncio.timeout(5):
        await streams.close()
        await own

    assert isinstance((await streams.history(stream_id)).newest.event, Handoff)


@pytest.mark.both_stores
async def test_a_hand_over_inside_one_process_is_taken_up_at_once(sandbox: Sandbox) -> None:
    """Many invocations in one process: the others must not sleep through it."""
    provider = ScriptedProvider([[Answer("a"), asyncio.Event()], answer("b")])
    # Other ways to wake a sleeper take longer than `read` is patient.
    streams = sandbox(provider, lease=60, keep_alive=60)
    stream_id, short = await begin(streams, Window(deadline=time.time() + 2.0))
    first = asyncio.create_task(read(short))
    records = await read(await _read_once_there(streams, stream_id))
    await first

    assert_exact(records, "ab")


async def test_a_process_that_has_ended_takes_nothing_over(sandbox: Sandbox) -> None:
    provider = ScriptedProvider([])
    streams = sandbox(provider)
    stream_id, _ = await begin(streams)
    await streams.close()

    assert await read(await streams.read(stream_id, None, NOW))
    assert provider.asked_to_continue == []


async def test_a_buffered_response_ends_after_its_window_and_the_generation_goes_on(
    sandbox: Sandbox,
) -> None:
    go_on = asyncio.Event()
    streams = sandbox(ScriptedProvider([[Answer("a"), go_on, *answer("b")]]), buffered_window=1.0)
    begun = time.monotonic()
    stream_id, reading = await begin(streams, Window(buffered=True))

    seen = await read(reading)

    assert time.monotonic() - begun >= 1.0
    assert said(seen) == "a"
    go_on.set()
    await reading.settled()
    assert isinstance((await streams.history(stream_id)).newest.event, Done)


# Cancelling


@pytest.mark.both_stores
@pytest.mark.parametrize("where", ["here", "elsewhere"])
async def test_cancelling_ends_the_stream_for_all_and_stops_the_provider(
    sandbox: Sandbox, where: str
) -> None:
    provider = ScriptedProvider([[Answer("a"), asyncio.Event()]])
    streams = sandbox(provider)
    stream_id, reading = await begin(streams)
    own = asyncio.create_task(read(reading))
    elsewhere = sandbox(ScriptedProvider([]))
    other = asyncio.create_task(read(await _read_once_there(elsewhere, stream_id)))

    transcript = await (streams if where == "here" else elsewhere).cancel(stream_id)

    assert isinstance(transcript.newest.event, Cancelled)
    async with asyncio.timeout(5):
        assert await own == await other
        await reading.settled()
    assert provider.running == 0
    assert (await streams.cancel(stream_id)).newest == transcript.newest


async def test_cancelling_what_is_done_changes_nothing(sandbox: Sandbox) -> None:
    streams = sandbox(ScriptedProvider([answer("a")]))
    stream_id, reading = await begin(streams)
    records = await read(reading)

    assert (await streams.cancel(stream_id)).newest == records[-1]


async def test_cancelling_what_nobody_has_started_needs_no_provider(sandbox: Sandbox) -> None:
    provider = ScriptedProvider([])
    streams = sandbox(provider)
    start = await streams.create(START, None)

    await streams.cancel(start.stream_id)

    kinds = [type(r.event) for r in await read(await streams.read(start.stream_id, None, NOW))]
    assert kinds == [Start, Cancelled]


@pytest.mark.both_stores
async def test_a_stream_that_is_removed_ends_for_its_readers_and_is_there_for_no_other(
    sandbox: Sandbox, log: DynamoDBStore
) -> None:
    provider = ScriptedProvider([[Answer("secret"), asyncio.Event()]])
    streams, elsewhere = sandbox(provider), sandbox(ScriptedProvider([]))
    reading = await streams.create_and_read(START, KEY, NOW)
    own = asyncio.create_task(read(reading))
    await read_until(await _read_once_there(elsewhere, reading.stream_id), Answer)

    await elsewhere.remove(reading.stream_id)

    async with asyncio.timeout(5):
        assert isinstance((await own)[-1].event, Cancelled)
    assert provider.running == 0
    for process in (streams, elsewhere):
        for operation in (
            process.read(reading.stream_id, None, NOW),
            process.read(reading.stream_id, 1, NOW),
            process.history(reading.stream_id),
            process.start(reading.stream_id),
            process.cancel(reading.stream_id),
            process.remove(reading.stream_id),
        ):
            with pytest.raises(StreamNotFound):
                await operation
    first, last = await log.at(reading.stream_id, 0), await log.newest(reading.stream_id)
    assert first is not None
    assert last is not None
    assert (first.event, last.event) == (Start("", START.owner), Cancelled())
    assert not [seq for seq in range(1, last.seq) if await log.at(reading.stream_id, seq)]


async def test_a_key_makes_no_stream_among_records_that_are_left_of_another(
    sandbox: Sandbox, log: DynamoDBStore, dynamodb_url: str
) -> None:
    """A removal may fail half way, and the first record expires before the others."""
    streams = sandbox(ScriptedProvider([answer("a")]))
    reading = await streams.create_and_read(START, KEY, NOW)
    records = await read(reading)
    delete_item(dynamodb_url, log._table.name, records[0])

    with pytest.raises(KeyReused):
        await sandbox(ScriptedProvider([])).create(START, KEY)


async def test_the_key_of_a_stream_that_is_removed_makes_no_other_for_now(sandbox: Sandbox) -> None:
    streams = sandbox(ScriptedProvider([answer("a")]))
    reading = await streams.create_and_read(START, KEY, NOW)
    await read(reading)

    await streams.remove(reading.stream_id)

    with pytest.raises(KeyReused):
        await streams.create(START, KEY)


@pytest.mark.both_stores
@pytest.mark.parametrize("delay", [0.0, 0.04, 0.1])
async def test_cancelling_overtakes_a_writer_that_never_pauses(
    sandbox: Sandbox, store: FaultyStore, delay: float
) -> None:
    """A cancellation competes for the next position: it must be free for a moment."""
    provider = ScriptedProvider([[Answer("x ")] * 4_000 + [asyncio.Event()]], pace=0.005)
    streams = sandbox(provider, flush_interval=0.04)
    stream_id, reading = await begin(streams)
    await read_until(reading, Answer)
    store.delay = delay

    async with asyncio.timeout(10):
        transcript = await sandbox(ScriptedProvider([])).cancel(stream_id)

    assert isinstance(transcript.newest.event, Cancelled)


@pytest.mark.both_stores
async def test_nothing_follows_a_terminal_record_however_cancel_and_finish_race(
    sandbox: Sandbox, log: DynamoDBStore
) -> None:
    streams = sandbox(ScriptedProvider([answer("a", "b")] * 20))
    for _ in range(20):
        start = await streams.create(START, None)
        reading = asyncio.create_task(read(await streams.read(start.stream_id, None, NOW)))
        await asyncio.sleep(0.01)
        await streams.cancel(start.stream_id)
        records = await reading
        assert list((await log.read(start.stream_id, 0, consistent=True)).records) == records
        assert [record.terminal for record in records].index(True) == len(records) - 1


# The provider fails


async def test_a_provider_that_ends_without_its_finish_is_never_done(sandbox: Sandbox) -> None:
    streams = sandbox(ScriptedProvider([[Answer("half")]] * 3))

    records = await read(await streams.create_and_read(START, None, NOW))

    failure = records[-1].event
    assert isinstance(failure, Failed)
    assert (failure.code, failure.retryable) == ("provider_cut", True)


async def test_a_providers_failure_is_told_with_its_code(sandbox: Sandbox) -> None:
    error = ProviderError("too_long", "Shorten the prompt.", retryable=False)
    streams = sandbox(ScriptedProvider([[Answer("a"), error]]))

    records = await read(await streams.create_and_read(START, None, NOW))

    assert records[-1].event == Failed("too_long", "Shorten the prompt.", retryable=False)
    assert said(records) == "a"


async def test_an_unexpected_failure_of_the_provider_leaks_nothing(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    streams = sandbox(ScriptedProvider([[RuntimeError("key sk-123 is wrong")]]))

    failure = (await read(await streams.create_and_read(START, None, NOW)))[-1].event

    assert isinstance(failure, Failed)
    logged = str([record.__dict__ for record in caplog.records])
    assert "RuntimeError" in logged
    assert "sk-123" not in failure.message + logged


async def test_an_empty_delta_is_nothing_to_append(sandbox: Sandbox) -> None:
    """The first chunk of an OpenAI-style stream usually is one."""
    steps: list[Step] = [Answer(""), Thinking(""), *answer("a", "", "b")]
    provider = ScriptedProvider([steps])

    records = await read(await sandbox(provider).create_and_read(START, None, NOW))

    assert_exact(records, "ab")
    assert len(provider.asked_to_continue) == 1


async def test_a_provider_that_breaks_behind_its_finish_has_finished(
    sandbox: Sandbox, log: DynamoDBStore
) -> None:
    """An HTTP client may fail while it closes; nothing may follow the terminal record."""
    provider = ScriptedProvider([answer("a")], breaks_when_closed=True)

    records = await read(await sandbox(provider).create_and_read(START, None, NOW))

    assert_exact(records, "a")
    assert list((await log.read(records[0].stream_id, 0, consistent=True)).records) == records


async def test_half_characters_come_back_whole_in_the_transcript(sandbox: Sandbox) -> None:
    """A model's JSON may split a surrogate pair between two deltas, or hold a lone half."""
    go_on = asyncio.Event()
    steps: list[Step] = [Answer("\ud83d"), go_on, Answer("\ude80 \ud83d"), FINISH]
    streams = sandbox(ScriptedProvider([steps]))
    stream_id, reading = await begin(streams)
    asyncio.get_running_loop().call_later(0.3, go_on.set)
    await read(reading)

    assert Partial.of(spoken((await streams.history(stream_id)).log)).answer == "🚀 \ufffd"


async def test_attempts_without_a_word_come_to_an_end(sandbox: Sandbox) -> None:
    """A prompt that kills its sandbox must not buy one attempt after the other for ever."""
    stream_id = ""
    for attempt in range(3):
        provider = ScriptedProvider([[asyncio.Event()]])
        streams = sandbox(provider, lease=0.3, heartbeat=0.05, idle_attempts=3)
        stream_id = stream_id or (await streams.create(START, None)).stream_id
        reading = await streams.read(stream_id, None, NOW)
        assert reading is not None
        await _claimed(reading, attempt + 1)
        await die(streams)
    provider = ScriptedProvider([])
    streams = sandbox(provider, lease=0.3, idle_attempts=3)

    records = await read(await streams.read(stream_id, None, NOW))

    failure = records[-1].event
    assert isinstance(failure, Failed)
    assert failure.code == "given_up"
    assert provider.asked_to_continue == []


async def _claimed(reading: Reading, attempt: int) -> None:
    async with asyncio.timeout(10):
        async for batch in reading.batches():
            if any(record.event == Claim(attempt, "restarted") for record in batch):
                return


# The log fails


@pytest.mark.both_stores
async def test_answers_lost_on_every_put_lose_and_repeat_nothing(
    sandbox: Sandbox, store: FaultyStore
) -> None:
    streams = sandbox(ScriptedProvider([answer(*"abcdef")]))
    lost = False

    def every_other(operation: str) -> Fault:
        nonlocal lost
        lost = not lost if operation == "PutItem" else False
        return Fault.LOSE_ANSWER if lost else Fault.NONE

    store.choose = every_other

    assert_exact(await read(await streams.create_and_read(START, None, NOW)), "abcdef")


@pytest.mark.parametrize("fault", [Fault.THROTTLE, Fault.FAIL, Fault.REFUSE, Fault.LOSE_ANSWER])
async def test_a_log_that_fails_for_a_while_delays_the_answer_and_no_more(
    sandbox: Sandbox, store: FaultyStore, fault: Fault
) -> None:
    steps: list[Step] = [Answer("a"), go_on := asyncio.Event(), *answer("b", "c")]
    streams = sandbox(ScriptedProvider([steps]), read_patience=8.0, lease=8.0)
    reading = await streams.create_and_read(START, None, NOW)
    following = asyncio.create_task(read(reading))
    recovers_at = time.monotonic() + 2
    store.choose = lambda _: fault if time.monotonic() < recovers_at else Fault.NONE
    go_on.set()

    assert_exact(await following, "abc")


async def test_a_log_that_is_down_for_good_never_ends_in_done(
    sandbox: Sandbox, store: FaultyStore
) -> None:
    steps: list[Step] = [Answer("a"), go_on := asyncio.Event(), *answer("b")]
    provider = ScriptedProvider([steps])
    streams = sandbox(provider, writer_patience=2.0)
    reading = await streams.create_and_read(START, None, NOW)
    batches = reading.batches()
    await anext(batches)
    store.choose = lambda _: Fault.REFUSE
    go_on.set()

    rest = asyncio.create_task(_collect(batches))
    async with asyncio.timeout(10):
        await asyncio.wait([rest])

    with pytest.raises(StoreUnavailable):
        rest.result()
    await reading.settled()
    assert provider.running == 0


async def _collect(batches: AsyncIterator[Sequence[Record]]) -> None:
    async for batch in batches:
        assert not any(record.terminal for record in batch)


async def test_a_writer_that_no_other_has_superseded_bears_a_silent_log_until_its_deadline(
    sandbox: Sandbox, store: FaultyStore
) -> None:
    """Its position is free, so that its words may still be appended; only delivering waits."""
    steps: list[Step] = [Answer("a"), go_on := asyncio.Event(), *answer("b")]
    provider = ScriptedProvider([steps])
    streams = sandbox(provider, lease=0.5)
    deadline = time.time() + 4.0
    reading = await streams.create_and_read(START, None, Window(deadline=deadline))
    await read_until(reading, Answer)
    store.choose = lambda operation: Fault.FAIL if operation == "PutItem" else Fault.NONE
    go_on.set()

    await reading.settled()

    left = deadline - time.time()
    assert 0 < left < TIMING.handoff_margin, "long behind its lease, and before its deadline"
    assert provider.running == 0


async def test_a_writer_without_a_deadline_does_not_bear_a_silent_log_for_ever(
    sandbox: Sandbox, store: FaultyStore
) -> None:
    steps: list[Step] = [Answer("a"), go_on := asyncio.Event(), *answer("b")]
    provider = ScriptedProvider([steps])
    streams = sandbox(provider, lease=0.2, writer_patience=1.0)
    reading = await streams.create_and_read(START, None, NOW)
    await read_until(reading, Answer)
    store.choose = lambda operation: Fault.FAIL if operation == "PutItem" else Fault.NONE
    begun = time.monotonic()
    go_on.set()

    async with asyncio.timeout(10):
        await reading.settled()

    assert time.monotonic() - begun >= 1.0
    assert provider.running == 0


@pytest.mark.both_stores
async def test_a_writer_that_another_has_superseded_in_a_silence_stops_when_the_log_is_back(
    sandbox: Sandbox, store: FaultyStore, log: DynamoDBStore, dynamodb_url: str
) -> None:
    go_on, never = asyncio.Event(), asyncio.Event()
    zombie = ScriptedProvider([[Answer("a"), go_on, Answer("lost"), never]])
    streams = sandbox(zombie)
    stream_id, reading = await begin(streams)
    own = asyncio.create_task(read(reading))
    async with asyncio.timeout(10):
        while said(list((await log.read(stream_id, 0, consistent=True)).records)) != "a":  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # The log sends no notice.
    store.choose = lambda operation: Fault.FAIL if operation == "PutItem" else Fault.NONE
    go_on.set()
    await asyncio.sleep(2 * TIMING.lease)
    assert zombie.running == 1
    newest = await log.newest(stream_id)
    assert newest is not None
    ended = dataclasses.replace(newest, seq=newest.seq + 1, event=Cancelled(), writer="another")
    put_item(dynamodb_url, log._table.name, ended)

    store.choose = lambda _: Fault.NONE

    records = await own
    await reading.settled()
    assert records[-1] == ended
    assert said(records) == "a"
    assert zombie.running == 0


@pytest.mark.alone
@pytest.mark.both_stores
@pytest.mark.parametrize("how", ["hangs", "refuses"])
async def test_behind_a_silence_of_the_log_every_stream_goes_on_with_its_first_attempt(
    store: FaultyStore, dynamodb_url: str, how: str
) -> None:
    """Twenty seconds at half the scale; readers come back to sandboxes that know of no silence."""
    table = Table(create_table(dynamodb_url), connections=64)
    log, many = DynamoDBStore(table, REGISTRY), 25
    timing = dataclasses.replace(
        TIMING, heartbeat=0.5, lease=2.0, listening=1.75, claim_jitter=0.15, read_patience=7.5
    )

    def sandbox(provider: ScriptedProvider) -> Streams:
        return streams_of(log, provider, timing=timing)

    silence_over = asyncio.Event()
    providers = [ScriptedProvider([[Answer("a"), silence_over, *answer("b")]]) for _ in range(many)]
    bystander = ScriptedProvider([])
    readings = [await sandbox(each).create_and_read(START, None, NOW) for each in providers]
    own = [asyncio.create_task(read(each, within=60)) for each in readings]
    others = [
        asyncio.create_task(_come_back_until_the_end(lambda: sandbox(bystander), each.stream_id))
        for each in readings
        for _ in range(2)
    ]
    await asyncio.sleep(1)
    if how == "hangs":
        store.hold("PutItem", "Query", "GetItem")
    else:
        store.choose = lambda _: Fault.REFUSE
    await asyncio.sleep(10)
    store.choose = lambda _: Fault.NONE
    store.release()
    asyncio.get_running_loop().call_later(2 * timing.lease, silence_over.set)

    everything = await asyncio.gather(*own, *others)

    table.close()
    first = {records[0].stream_id: records for records in everything[:many]}
    for records in everything:
        assert_exact(records, "ab")
        assert records == first[records[0].stream_id]
        assert not any(isinstance(record.event, Claim) for record in records)
    assert bystander.asked_to_continue == []


async def _come_back_until_the_end(sandbox: Callable[[], Streams], stream_id: str) -> list[Record]:
    """As an EventSource does, and each time to another sandbox."""
    records: list[Record] = []
    async with asyncio.timeout(60):
        while not (records and records[-1].terminal):
            after = records[-1].seq if records else None
            try:
                reading = await sandbox().read(stream_id, after, NOW)
                assert reading is not None
                async for batch in reading.batches():
                    records += batch
            except StoreUnavailable:
                await asyncio.sleep(1.0)
    return records


async def test_a_process_that_ends_waits_for_no_silent_log(
    sandbox: Sandbox, store: FaultyStore
) -> None:
    steps: list[Step] = [Answer("a"), go_on := asyncio.Event(), *answer("b")]
    provider = ScriptedProvider([steps])
    streams = sandbox(provider)
    reading = await streams.create_and_read(START, None, NOW)
    await read_until(reading, Answer)
    store.hold("PutItem")
    before = store.calls["PutItem"]
    go_on.set()
    async with asyncio.timeout(10):
        while store.calls["PutItem"] == before:  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # Nothing tells that a put is under way.
    begun = time.monotonic()

    await streams.close()

    assert time.monotonic() - begun < TIMING.handoff_margin
    assert provider.running == 0
    store.release()


async def test_stopping_a_stream_that_has_ended_waits_for_no_silent_log(
    sandbox: Sandbox, store: FaultyStore, log: DynamoDBStore
) -> None:
    """The writer's last word is in the log; only that has never been acknowledged."""
    provider = ScriptedProvider([[Answer("a"), go_on := asyncio.Event(), FINISH]])
    streams = sandbox(provider, create_patience=0.5, heartbeat=60)
    reading = await streams.create_and_read(START, None, NOW)
    await read_until(reading, Answer)
    store.choose = lambda operation: Fault.LOSE_ANSWER if operation == "PutItem" else Fault.NONE
    go_on.set()
    async with asyncio.timeout(10):
        while not (await _newest(log, reading.stream_id)).terminal:  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # The log sends no notice.

    async with asyncio.timeout(5):
        transcript = await streams.cancel(reading.stream_id)

    assert isinstance(transcript.newest.event, Done)


async def _newest(log: DynamoDBStore, stream_id: str) -> Record:
    newest = await log.newest(stream_id)
    assert newest is not None
    return newest


async def test_a_failing_log_holds_no_invocation_beyond_its_deadline(
    sandbox: Sandbox, store: FaultyStore
) -> None:
    streams = sandbox(ScriptedProvider([]), read_patience=30.0, lease=30.0, handoff_margin=2.0)
    start = await streams.create(START, None)
    begun = time.monotonic()
    window = Window(deadline=time.time() + 3.5)
    readings = [await streams.read(start.stream_id, None, window) for _ in range(4)]
    store.choose = lambda operation: Fault.REFUSE if operation == "PutItem" else Fault.NONE

    for records in await asyncio.gather(*map(read, readings)):
        assert [type(record.event) for record in records] == [Start]
    assert time.monotonic() - begun < 3.5


async def test_old_trouble_does_not_turn_new_readers_away(
    sandbox: Sandbox, store: FaultyStore
) -> None:
    writing = sandbox(ScriptedProvider([[Answer("a"), go_on := asyncio.Event(), *answer("b")]]))
    stream_id, own = await begin(writing)
    following = asyncio.create_task(read(own))
    streams = sandbox(ScriptedProvider([]))
    stalled = (await _read_once_there(streams, stream_id)).batches()
    await anext(stalled)
    store.choose = lambda operation: Fault.REFUSE if operation == "Query" else Fault.NONE
    async with asyncio.timeout(10):
        while streams._streams[stream_id].tail.trouble is None:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    store.choose = lambda _: Fault.NONE

    late = asyncio.create_task(read(await streams.read(stream_id, None, NOW)))
    go_on.set()

    assert await following == await late


async def test_creating_fails_when_the_log_is_down_and_the_provider_is_let_go(
    sandbox: Sandbox, store: FaultyStore
) -> None:
    provider = ScriptedProvider([[Answer("a"), asyncio.Event()]] * 2)
    streams = sandbox(provider, create_patience=0.5)
    store.choose = lambda _: Fault.REFUSE

    with pytest.raises(StoreUnavailable):
        await streams.create(START, None)
    with pytest.raises(StoreUnavailable):
        await streams.create_and_read(START, None, NOW)
    assert provider.running == 0


# Creating twice


@pytest.mark.both_stores
async def test_one_key_makes_one_stream_and_one_generation(sandbox: Sandbox) -> None:
    providers = [ScriptedProvider([answer("a")]) for _ in range(6)]
    streams = [sandbox(provider) for provider in providers]

    starts = await asyncio.gather(*(each.create(START, KEY) for each in streams))
    readings = [
        await each.read(start.stream_id, None, NOW)
        for each, start in zip(streams, starts, strict=True)
    ]
    everything = await asyncio.gather(*map(read, readings))

    assert len({start.stream_id for start in starts}) == 1
    for records in everything:
        assert_exact(records, "a")
    assert sum(len(provider.asked_to_continue) for provider in providers) == 1


@pytest.mark.both_stores
async def test_one_key_makes_one_generation_also_when_creating_and_reading_in_one(
    sandbox: Sandbox,
) -> None:
    providers = [ScriptedProvider([answer("a")]) for _ in range(6)]
    streams = [sandbox(provider) for provider in providers]

    readings = await asyncio.gather(*(each.create_and_read(START, KEY, NOW) for each in streams))

    for records in await asyncio.gather(*map(read, readings)):
        assert_exact(records, "a")
    assert sum(len(provider.asked_to_continue) for provider in providers) == 1


async def test_nobody_in_one_process_takes_over_what_is_about_to_begin(
    log: DynamoDBStore, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key comes again, and its reader's lease ends before the start is acknowledged."""
    is_stored, acknowledged = _acknowledge_start_late(log, monkeypatch)
    provider = ScriptedProvider([[Answer("a"), asyncio.Event()], answer("b")])
    streams = sandbox(provider, lease=0.3, create_patience=10)
    creating = asyncio.create_task(streams.create_and_read(START, KEY, NOW))
    async with asyncio.timeout(10):
        await is_stored.wait()
    repeated = await streams.create_and_read(START, KEY, NOW)
    reading = asyncio.create_task(read_until(repeated, Answer))
    _, waiting = await asyncio.wait({reading}, timeout=0.6)
    assert waiting, "it waits for who is about to write"

    acknowledged.set()
    first = await creating
    await reading
    await streams.close()

    kinds = [type(record.event) for record in await read(first)]
    assert kinds == [Start, Answer, Handoff]
    assert provider.asked_to_continue == [Partial()]
    assert provider.running == 0


async def test_a_reader_takes_over_at_once_what_has_failed_to_begin(
    log: DynamoDBStore, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has waited for the caller about to write, and not for the next keep-alive."""
    is_stored, _ = _acknowledge_start_late(log, monkeypatch)
    provider = ScriptedProvider([answer("a")])
    streams = sandbox(provider, lease=0.3, create_patience=10, keep_alive=60)
    creating = asyncio.create_task(streams.create_and_read(START, KEY, NOW))
    async with asyncio.timeout(10):
        await is_stored.wait()
    reading = asyncio.create_task(read(await streams.create_and_read(START, KEY, NOW)))
    _, waiting = await asyncio.wait({reading}, timeout=0.6)
    assert waiting

    creating.cancel()

    assert_exact(await reading, "a")


async def test_one_key_is_stored_once_by_those_of_one_process_who_wait_for_each_other(
    log: DynamoDBStore, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A caller that has waited reads the start that is there: it reserves and puts nothing."""
    both_have_asked, newest = asyncio.Barrier(2), log.newest
    starts, append = list[Record](), log.append

    async def newest_for_both(stream_id: str) -> Record | None:
        present = await newest(stream_id)
        if present is None:
            await both_have_asked.wait()
        return present

    async def count_and_append(record: Record) -> Record | None:
        if record.seq == 0:
            starts.append(record)
        return await append(record)

    monkeypatch.setattr(log, "newest", newest_for_both)
    monkeypatch.setattr(log, "append", count_and_append)
    streams = sandbox(ScriptedProvider([answer("a")]))

    async with asyncio.timeout(10):
        readings = await asyncio.gather(
            *(streams.create_and_read(START, KEY, NOW) for _ in range(2))
        )

    for records in await asyncio.gather(*map(read, readings)):
        assert_exact(records, "a")
    assert len(starts) == 1


async def test_who_waits_too_long_for_another_of_the_same_key_is_told_to_come_back(
    sandbox: Sandbox, store: FaultyStore
) -> None:
    streams = sandbox(ScriptedProvider([]), create_patience=0.3)
    stream = streams._stream(derived_id("", KEY))

    async with stream.lock, asyncio.timeout(10):
        with pytest.raises(StoreUnavailable):
            await streams.create_and_read(START, KEY, NOW)

    assert store.calls["PutItem"] == 0


async def test_a_process_that_ends_hands_over_what_is_about_to_begin(
    log: DynamoDBStore, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_stored, acknowledged = _acknowledge_start_late(log, monkeypatch)
    streams = sandbox(ScriptedProvider([[Answer("a"), asyncio.Event()]]))
    creating = asyncio.create_task(streams.create_and_read(START, None, NOW))
    async with asyncio.timeout(10):
        await is_stored.wait()
    closing = asyncio.create_task(streams.close())
    _, waiting = await asyncio.wait({closing}, timeout=0.2)
    assert waiting, "its table must not be closed yet"

    acknowledged.set()
    await closing

    stream_id = (await creating).stream_id
    assert isinstance((await streams.history(stream_id)).newest.event, Handoff)


async def test_a_process_that_ends_begins_nothing_more(
    sandbox: Sandbox, store: FaultyStore
) -> None:
    """Its table is about to be closed; callers are told to come back before anything is stored."""
    provider = ScriptedProvider([])
    streams = sandbox(provider)
    await streams.close()

    for key in (KEY, None):
        with pytest.raises(StoreUnavailable):
            await streams.create_and_read(START, key, NOW)

    assert store.calls["PutItem"] == 0
    assert provider.asked_to_continue == []


def _acknowledge_start_late(
    log: DynamoDBStore, monkeypatch: pytest.MonkeyPatch
) -> tuple[asyncio.Event, asyncio.Event]:
    """Two asyncio events: one says that a start is in the log, one lets its append return."""
    is_stored, acknowledged, append = asyncio.Event(), asyncio.Event(), log.append

    async def append_late(record: Record) -> Record | None:
        present = await append(record)
        if record.seq == 0:
            is_stored.set()
            await acknowledged.wait()
        return present

    monkeypatch.setattr(log, "append", append_late)
    return is_stored, acknowledged


async def test_a_key_is_for_one_request(sandbox: Sandbox) -> None:
    streams = sandbox(ScriptedProvider([]))
    await streams.create(START, KEY)
    other = Request(messages=(Message("user", "something else"),), model="scripted", max_tokens=1)

    with pytest.raises(KeyReused):
        await streams.create(Start(input=other.encode()), KEY)


async def test_leftovers_of_an_expired_stream_are_never_another_requests_answer(
    sandbox: Sandbox, log: DynamoDBStore, dynamodb_url: str
) -> None:
    """DynamoDB deletes expired records in any order, position 0 perhaps first."""
    old = sandbox(ScriptedProvider([answer("somebody else's")]), stream_ttl=1)
    records = await read(await old.create_and_read(START, KEY, NOW))
    await asyncio.sleep(1.1)
    delete_item(dynamodb_url, log._table.name, records[0])
    streams = sandbox(ScriptedProvider([]))

    with pytest.raises(KeyReused, match="expired"):
        await streams.create(START, KEY)
    with pytest.raises(KeyReused, match="expired"):
        await streams.create_and_read(START, KEY, NOW)


async def test_a_stream_that_vanishes_while_it_is_read_ends_the_reading(
    sandbox: Sandbox, log: DynamoDBStore, dynamodb_url: str
) -> None:
    streams = sandbox(ScriptedProvider([answer("a")]), tail_records=1)
    stream_id, reading = await begin(streams)
    batches = reading.batches()
    (start,) = await anext(batches)
    other = await read(await streams.read(stream_id, None, NOW))
    for record in other:
        delete_item(dynamodb_url, log._table.name, record)

    async with asyncio.timeout(10):
        rest = [record async for batch in batches for record in batch]

    assert start.seq == 0
    assert not any(record.terminal for record in rest)


@pytest.mark.parametrize("left", [0, 2])
async def test_a_stream_that_vanishes_behind_a_dead_writer_ends_the_reading(
    sandbox: Sandbox, log: DynamoDBStore, dynamodb_url: str, left: int
) -> None:
    """An operator deletes it, or it expires in DynamoDB: there is nothing to take over."""
    first = sandbox(ScriptedProvider([[Answer("a"), asyncio.Event()]]))
    stream_id, own = await begin(first)
    seen = await read_until(own, Answer)
    provider = ScriptedProvider([])
    other = await sandbox(provider).read(stream_id, None, NOW)
    await die(first)
    stored = (await log.read(stream_id, 0, consistent=True)).records
    for record in stored[left:]:
        delete_item(dynamodb_url, log._table.name, record)

    records = await read(other)

    assert records[: len(seen)] == seen
    assert not any(record.terminal for record in records)
    assert provider.asked_to_continue == []
    assert len((await log.read(stream_id, 0, consistent=True)).records) == left


async def test_stream_ids_cannot_be_guessed(sandbox: Sandbox) -> None:
    streams = sandbox(ScriptedProvider([]))

    ids = [(await streams.create(START, key)).stream_id for key in (None, None, KEY)]

    assert len(set(ids)) == 3
    assert {len(each) for each in ids} == {32}
    assert KEY not in ids[2]


# How long a reader stays


LIFE = 1.0


async def test_a_reader_that_is_not_the_writers_own_leaves_after_a_while_and_comes_back(
    sandbox: Sandbox,
) -> None:
    """A reader that has gone is noticed by nothing: it must not hold an invocation for long."""
    go_on = asyncio.Event()
    streams = sandbox(ScriptedProvider([[Answer("a"), go_on, *answer("b")]]), reader_life=LIFE)
    stream_id, own = await begin(streams)
    writing = asyncio.create_task(read(own))
    begun = time.monotonic()

    visited = await read(await streams.read(stream_id, None, NOW))

    assert LIFE <= time.monotonic() - begun < LIFE + 1
    assert not visited[-1].terminal
    assert not writing.done()
    go_on.set()
    rest = await read(await streams.read(stream_id, visited[-1].seq, NOW))
    assert_exact([*visited, *rest], "ab")
    assert_exact(await writing, "ab")


async def test_a_reader_that_has_become_the_writer_stays(sandbox: Sandbox) -> None:
    go_on = asyncio.Event()
    dying = sandbox(ScriptedProvider([[Answer("a"), asyncio.Event()]]))
    stream_id, own = await begin(dying)
    await read_until(own, Answer)
    heir = sandbox(ScriptedProvider([[go_on, *answer("b")]]), reader_life=TIMING.lease + LIFE)
    reading = await heir.read(stream_id, None, NOW)
    assert reading is not None
    begun = asyncio.get_running_loop().time()
    assert reading.until <= begun + TIMING.lease + LIFE
    await die(dying)

    taken = asyncio.create_task(read(reading))
    async with asyncio.timeout(TIMING.lease + LIFE):
        while not heir._written:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.02)
    asyncio.get_running_loop().call_at(begun + TIMING.lease + 2 * LIFE, go_on.set)

    assert_exact(await taken, "ab")


async def test_a_readers_life_does_not_outlast_its_invocation(sandbox: Sandbox) -> None:
    streams = sandbox(ScriptedProvider([[asyncio.Event()]]), reader_life=60)
    stream_id, _ = await begin(streams)
    reading = await streams.read(stream_id, None, Window(deadline=time.time() + 2))
    assert reading is not None

    assert reading.until < asyncio.get_running_loop().time() + 2
