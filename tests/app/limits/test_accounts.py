"""The cost of streams to their owners, for every way to end a stream."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import pytest

from app.api.frames import Frames
from app.api.responses import ReadingResponse
from app.events import Answer, Done
from app.exceptions import RetryLater
from app.limits.accounts import Accounts
from app.limits.budget import Budget
from app.limits.counters import Counters
from app.limits.settings import Limits
from app.models.estimate import at_most
from app.models.failures import Code, failure
from app.settings import EventSourceSettings
from durable_stream import Streams, Window
from durable_stream.dynamodb import DynamoDBStore
from tests.app.scripted import REQUEST, START, ScriptedProvider, Step
from tests.app.test_responses import SCOPE, never
from tests.durable_stream.test_streams import NOW, TIMING, die, read, streams_of
from tests.store import Fault, FaultyStore, client

pytestmark = pytest.mark.anyio

RESERVED = at_most(REQUEST)
KEY = "0123456789abcdef"
ANSWER: list[Step] = [Answer("a"), Done("stop", 3, 4)]
LIMITS = Limits(requests_per_minute=100, tokens_per_day=10**9)


class Bench:
    """Sandboxes over one table, and the counts in it."""

    def __init__(self, log: DynamoDBStore, url: str) -> None:
        self._log = log
        self._table = client(url)
        self.made: list[Streams] = []

    def sandbox(self, *attempts: list[Step], limits: Limits = LIMITS) -> Streams:
        self.provider = ScriptedProvider(list(attempts))
        accounts = Accounts(Budget(Counters(self._log._table), limits), TIMING.create_patience)
        streams = streams_of(self._log, self.provider, hooks=accounts)
        self.made.append(streams)
        return streams

    def counted(self, kind: str) -> int:
        items = self._table.scan(TableName=self._log._table.name)["Items"]
        return sum(
            int(item["used"]["N"])
            for item in items
            if item["stream_id"]["S"].startswith(f"limit:{kind}:")
        )

    @property
    def tokens(self) -> int:
        return self.counted("tokens")


@pytest.fixture
async def bench(log: DynamoDBStore, dynamodb_url: str) -> AsyncIterator[Bench]:
    bench = Bench(log, dynamodb_url)
    yield bench
    for streams in bench.made:
        await die(streams)


async def test_what_the_model_tells_is_what_counts(bench: Bench) -> None:
    reading = await bench.sandbox(ANSWER).create_and_read(START, None, NOW)
    await read(reading)
    await reading.settled()

    assert bench.tokens == 7


async def test_an_attempt_that_broke_off_counts_as_the_most_it_may_have_cost(bench: Bench) -> None:
    broken: list[Step] = [Answer("a"), failure("provider_cut")]
    reading = await bench.sandbox(broken, ANSWER).create_and_read(START, None, NOW)
    await read(reading)
    await reading.settled()

    assert bench.tokens == RESERVED + 7


@pytest.mark.parametrize(("code", "cost"), [("provider_denied", 0), ("content_filtered", RESERVED)])
async def test_a_model_that_was_never_at_work_costs_nothing(
    bench: Bench, code: Code, cost: int
) -> None:
    refusal = failure(code)
    reading = await bench.sandbox([refusal]).create_and_read(START, None, NOW)
    await read(reading)
    await reading.settled()

    assert bench.tokens == cost


async def test_every_request_that_may_have_reached_the_model_counts(bench: Bench) -> None:
    garbled: list[Step] = [failure("provider_garbled")]
    throttled: list[Step] = [failure("provider_throttled")]
    sandbox = bench.sandbox(garbled, throttled, garbled, throttled, ANSWER)
    reading = await sandbox.create_and_read(START, None, NOW)
    await read(reading)
    await reading.settled()

    assert bench.tokens == 2 * RESERVED + 7


async def test_a_failure_that_is_told_has_counted_each_request(bench: Bench) -> None:
    garbled: list[Step] = [failure("provider_garbled")]
    reading = await bench.sandbox(*[garbled] * 3).create_and_read(START, None, NOW)
    await read(reading)
    await reading.settled()

    assert bench.tokens == 3 * RESERVED


async def test_a_refusal_behind_an_attempt_that_may_have_cost_adds_nothing(bench: Bench) -> None:
    broken: list[Step] = [Answer("a"), failure("provider_cut")]
    denied: list[Step] = [failure("provider_denied")]
    reading = await bench.sandbox(broken, denied).create_and_read(START, None, NOW)
    await read(reading)
    await reading.settled()

    assert bench.tokens == RESERVED


async def test_requests_count_also_when_their_process_dies(bench: Bench) -> None:
    """The log counts them: each but the first has its claim there before the model is asked."""
    garbled: list[Step] = [failure("provider_garbled")]
    asked = asyncio.Event()
    dying = bench.sandbox(garbled, garbled, [asked])
    reading = await dying.create_and_read(START, None, NOW)
    provider = bench.provider
    await until(lambda: len(provider.asked_to_continue) == 3)
    await die(dying)

    await bench.sandbox().cancel(reading.stream_id)

    assert bench.tokens == 3 * RESERVED


async def test_the_model_is_not_asked_again_before_the_log_has_counted_it(
    bench: Bench, store: FaultyStore
) -> None:
    go_on = asyncio.Event()
    sandbox = bench.sandbox([Answer("a"), go_on, failure("provider_cut")], ANSWER)
    provider = bench.provider
    reading = await sandbox.create_and_read(START, None, NOW)
    await until(lambda: store.calls["PutItem"] == 2)
    store.choose = lambda operation: Fault.FAIL if operation == "PutItem" else Fault.NONE
    failed = store.calls["PutItem"]
    go_on.set()
    await until(lambda: store.calls["PutItem"] >= failed + 3)
    assert len(provider.asked_to_continue) == 1
    store.choose = unharmed

    await read(reading)
    await reading.settled()

    assert len(provider.asked_to_continue) == 2
    assert bench.tokens == RESERVED + 7


@pytest.mark.parametrize(
    "told", [(-5, -5_000_000), (3, -4), (999_999_999_999, 1), (3, 10**12), (None, 4)]
)
async def test_what_a_provider_tells_and_cannot_be_counts_as_not_told(
    bench: Bench, told: tuple[int | None, int]
) -> None:
    answer: list[Step] = [Answer("a"), Done("stop", *told)]
    reading = await bench.sandbox(answer).create_and_read(START, None, NOW)
    await read(reading)
    await reading.settled()

    assert bench.tokens == RESERVED


async def test_a_response_in_one_piece_ends_when_the_stream_is_settled(bench: Bench) -> None:
    """The sandbox is frozen when the response ends: work left undone may never be done."""
    window = Window(deadline=time.time() + 60, buffered=True)
    reading = await bench.sandbox(ANSWER).create_and_read(START, None, window)

    async def send(_: object) -> None:
        pass

    async with asyncio.timeout(10):
        await ReadingResponse(reading, window, Frames(EventSourceSettings(), buffered=True))(
            dict(SCOPE), never, send
        )

    assert reading.complete
    assert bench.tokens == 7


async def test_settling_does_not_hold_an_invocation_beyond_its_deadline(
    bench: Bench, store: FaultyStore
) -> None:
    deadline = time.time() + TIMING.handoff_margin + 1
    reading = await bench.sandbox(ANSWER).create_and_read(START, None, Window(deadline=deadline))
    records = await read(reading)
    assert isinstance(records[-1].event, Done)
    store.choose, store.delay = lambda _: Fault.NONE, 30

    await reading.settled()

    assert time.time() < deadline


async def test_cancelling_too_late_leaves_the_end_and_its_settlement_alone(
    bench: Bench, store: FaultyStore
) -> None:
    """The end is in the log, but its writer, in this process, has not been told so yet."""
    told = asyncio.Event()

    def choose(operation: str) -> Fault:
        of_the_end = operation == "PutItem" and store.calls[operation] >= 3
        return Fault.LOSE_ANSWER if of_the_end and not told.is_set() else Fault.NONE

    store.choose = choose
    streams = bench.sandbox(ANSWER)
    reading = await streams.create_and_read(START, None, NOW)
    await until(lambda: store.calls["PutItem"] >= 4)
    cancelling = asyncio.create_task(streams.cancel(reading.stream_id))
    await until(lambda: store.calls["Query"] >= 1)
    told.set()

    assert isinstance((await cancelling).newest.event, Done)
    await reading.settled()
    assert bench.tokens == 7


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.005)


async def test_a_repeated_key_puts_nothing_and_counts_as_a_request(
    bench: Bench, store: FaultyStore
) -> None:
    streams = bench.sandbox()
    first = await streams.create(START, KEY)
    store.calls.clear()

    assert await streams.create(START, KEY) == first
    assert store.calls["PutItem"] == 0
    assert (bench.tokens, bench.counted("requests")) == (RESERVED, 2)


async def test_a_moment_of_throttling_does_not_refuse_a_creation(
    bench: Bench, store: FaultyStore
) -> None:
    asyncio.get_running_loop().call_later(0.5, lambda: setattr(store, "choose", unharmed))
    store.choose = lambda _: Fault.THROTTLE

    await bench.sandbox().create(START, None)

    assert bench.tokens == RESERVED


def unharmed(_: str) -> Fault:
    return Fault.NONE


async def test_what_is_refused_is_never_asked(bench: Bench) -> None:
    streams = bench.sandbox(limits=Limits(requests_per_minute=0))

    with pytest.raises(RetryLater):
        await streams.create_and_read(START, None, NOW)
    assert bench.provider.asked_to_continue == []


@pytest.mark.parametrize("told", [(0, 0), (None, None)])
async def test_an_answer_of_which_nothing_is_counted_costs_as_much_as_was_reserved(
    bench: Bench, told: tuple[int | None, int | None]
) -> None:
    """A server that does not count tells zeros."""
    answer: list[Step] = [Answer("a"), Done("stop", *told)]
    reading = await bench.sandbox(answer).create_and_read(START, None, NOW)
    await read(reading)
    await reading.settled()

    assert bench.tokens == RESERVED


async def test_an_attempt_that_needs_no_model_costs_nothing(bench: Bench) -> None:
    """Nothing was left of the longest answer."""
    broken: list[Step] = [Answer("word " * 400), failure("provider_cut")]
    nothing_left: list[Step] = [Done("length", 0, 0)]
    reading = await bench.sandbox(broken, nothing_left).create_and_read(START, None, NOW)
    await read(reading)
    await reading.settled()

    assert bench.tokens == RESERVED
