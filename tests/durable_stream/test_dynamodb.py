"""The log's one primitive and its readers, on a real DynamoDB API."""

import asyncio
import dataclasses
import secrets
import time
from collections.abc import AsyncIterator

import pytest

from app.events import EVENTS, Answer, Done, Start, Thinking
from app.models.base import Message, Request
from durable_stream import (
    Cancelled,
    Claim,
    Event,
    Failed,
    Handoff,
    Heartbeat,
    Record,
    Registry,
    StoreRefused,
    StoreUnavailable,
)
from durable_stream.dynamodb import DynamoDBStore
from durable_stream.table import Table
from tests.durable_stream.boto3_api import Boto3Api
from tests.store import Fault, FaultyStore, create_table, update_item

pytestmark = [pytest.mark.anyio, pytest.mark.both_stores]

PAYLOADS: list[Event] = [
    Start('{"messages":[]}', "owner", "demo"),
    Claim(2, "asked"),
    Thinking("hm\n\n"),
    Answer("naïve 日本語 🚀 \ud83d \0 \u2028"),
    Heartbeat(),
    Handoff(),
    Done("stop", 3, 14),
    Failed("throttled", "Try again.", retryable=True),
    Cancelled(),
]


@pytest.fixture(params=["ours", "boto3"])
async def log(
    request: pytest.FixtureRequest, dynamodb_url: str, store: FaultyStore
) -> AsyncIterator[DynamoDBStore]:
    """The store over our client, and over boto3, which is the judge of it."""
    assert store.url, "both find their way through the environment"
    api = Boto3Api() if request.param == "boto3" else None
    table = Table(create_table(dynamodb_url), api=api)
    yield DynamoDBStore(table, Registry(EVENTS))
    table.close()


def record(seq: int = 0, payload: Event | None = None, stream_id: str = "s" * 32) -> Record:
    return Record(
        stream_id=stream_id,
        seq=seq,
        event=payload or Answer(str(seq)),
        writer="writer-a",
        nonce=secrets.token_hex(4),
        at=int(time.time() * 1000),
        expires_at=int(time.time()) + 60,
    )


async def filled(log: DynamoDBStore, count: int) -> list[Record]:
    records = [record(seq) for seq in range(count)]
    for each in records:
        assert await log.append(each) is None
    return records


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda payload: payload.kind)
async def test_what_is_read_is_what_was_appended(log: DynamoDBStore, payload: Event) -> None:
    written = record(0, payload)

    assert await log.append(written) is None

    assert list((await log.read(written.stream_id, 0, consistent=True)).records) == [written]


async def test_token_counts_may_be_unknown(log: DynamoDBStore) -> None:
    written = record(0, Done("length", None, None))
    await log.append(written)

    assert await log.newest(written.stream_id) == written


async def test_a_taken_position_stays_as_it_is_and_says_who_has_it(log: DynamoDBStore) -> None:
    first, second = record(), dataclasses.replace(record(), writer="writer-b")
    await log.append(first)

    assert await log.append(second) == first
    assert await log.newest(first.stream_id) == first


async def test_of_many_who_append_the_same_position_one_wins(log: DynamoDBStore) -> None:
    rivals = [dataclasses.replace(record(), writer=f"writer-{n}") for n in range(16)]

    outcomes = await asyncio.gather(*map(log.append, rivals))

    (winner,) = [rival for rival, outcome in zip(rivals, outcomes, strict=True) if outcome is None]
    assert {outcome for outcome in outcomes if outcome is not None} == {winner}


async def test_a_retried_put_whose_first_answer_was_lost_is_a_success(
    log: DynamoDBStore, store: FaultyStore
) -> None:
    """KCL documents the trap: the retry fails its condition on our own item."""
    faults = iter([Fault.LOSE_ANSWER])
    store.choose = lambda _: next(faults, Fault.NONE)

    assert await log.append(record()) is None
    assert store.calls["PutItem"] == 2


async def test_an_append_repeated_by_the_caller_is_a_success(
    log: DynamoDBStore, store: FaultyStore
) -> None:
    """Even where the client has given up: the record is the same, so it is ours."""
    written = record()
    store.choose = lambda _: Fault.LOSE_ANSWER
    with pytest.raises(StoreUnavailable):
        await log.append(written)
    store.choose = lambda _: Fault.NONE

    assert await log.append(written) is None


@pytest.mark.parametrize("fault", [Fault.THROTTLE, Fault.FAIL, Fault.REFUSE])
async def test_a_log_that_does_not_answer_is_unavailable(
    log: DynamoDBStore, store: FaultyStore, fault: Fault
) -> None:
    store.choose = lambda _: fault

    with pytest.raises(StoreUnavailable):
        await log.append(record())
    with pytest.raises(StoreUnavailable):
        await log.read("s" * 32, 0, consistent=True)
    with pytest.raises(StoreUnavailable):
        await log.newest("s" * 32)


async def test_a_missing_table_is_a_refusal_that_names_it(store: FaultyStore) -> None:
    assert store.url
    table = Table("no-such-table")

    with pytest.raises(StoreRefused, match="ResourceNotFoundException"):
        await DynamoDBStore(table, Registry(EVENTS)).append(record())
    table.close()


async def test_a_process_that_ends_says_so_to_whoever_still_asks(store: FaultyStore) -> None:
    """Its requests may come back elsewhere; they are not this application's mistakes."""
    assert store.url
    table = Table("streams")
    table.close()

    with pytest.raises(StoreUnavailable, match="about to end"):
        await DynamoDBStore(table, Registry(EVENTS)).newest("s" * 32)


async def test_a_process_that_ends_says_so_to_whoever_waits_for_its_turn(
    dynamodb_url: str, store: FaultyStore
) -> None:
    """No caller cancelled them: a cancellation would count as a failure of their invocation."""
    table = Table(create_table(dynamodb_url), connections=1)
    log = DynamoDBStore(table, Registry(EVENTS))
    arrived = asyncio.Event()

    def choose(_: str) -> Fault:
        arrived.set()
        return Fault.NONE

    store.choose = choose
    store.hold("PutItem")
    under_way = asyncio.create_task(log.append(record()))
    waiting, cancelled = (asyncio.create_task(log.newest("s" * 32)) for _ in range(2))
    async with asyncio.timeout(10):
        await arrived.wait()
    cancelled.cancel()

    table.close()
    store.release()

    assert await asyncio.wait_for(under_way, 10) is None
    with pytest.raises(StoreUnavailable, match="about to end"):
        await asyncio.wait_for(waiting, 10)
    assert cancelled.cancelled()


async def test_reading_starts_where_it_is_asked_to(log: DynamoDBStore) -> None:
    records = await filled(log, 5)

    page = await log.read("s" * 32, 3, consistent=False)

    assert list(page.records) == records[3:]
    assert not page.more


async def test_reading_stops_at_a_gap(log: DynamoDBStore) -> None:
    """An eventually consistent read may show 3 before 2; delivering 3 then would lose 2."""
    written = [record(seq) for seq in (0, 1, 3)]
    for each in written:
        await log.append(each)

    assert list((await log.read("s" * 32, 0, consistent=True)).records) == written[:2]
    assert list((await log.read("s" * 32, 2, consistent=True)).records) == []


async def test_a_stream_of_more_than_a_megabyte_is_read_in_pages(log: DynamoDBStore) -> None:
    for seq in range(5):
        await log.append(record(seq, Answer("x" * 300_000)))

    seqs: list[int] = []
    more = True
    pages = 0
    while more:
        page = await log.read("s" * 32, len(seqs), consistent=True)
        seqs += [each.seq for each in page.records]
        more, pages = page.more, pages + 1

    assert seqs == [0, 1, 2, 3, 4]
    assert pages > 1


async def test_a_page_cut_at_a_gap_promises_nothing_more(log: DynamoDBStore) -> None:
    """No further read brings back the records that DynamoDB has deleted of an expired stream."""
    for seq in (0, 2, 3, 4, 5):
        await log.append(record(seq, Answer("x" * 300_000)))

    page = await log.read("s" * 32, 0, consistent=True)

    assert [each.seq for each in page.records] == [0]
    assert not page.more


async def test_a_page_that_ends_with_the_stream_promises_nothing_more(log: DynamoDBStore) -> None:
    """Moto ends a page at 1 MB and sends LastEvaluatedKey also where nothing follows."""
    for count in range(1, 6):
        await log.append(record(count - 1, Answer("x" * 300_000)))
        page = await log.read("s" * 32, 0, consistent=True)
        assert page.more == (len(page.records) < count)


async def test_a_record_of_a_newer_version_is_trouble_that_passes(
    log: DynamoDBStore, dynamodb_url: str
) -> None:
    """While a deployment rolls, both versions read the log; the reader should come back."""
    await log.append(record(0))
    update_item(dynamodb_url, log._table.name, record(0), kind="from the future")

    with pytest.raises(StoreUnavailable, match="another version"):
        await log.read("s" * 32, 0, consistent=True)


def test_records_of_the_first_version_can_still_be_read() -> None:
    """Streams outlive deployments: a member that a version adds to a record has a default."""
    assert Registry(EVENTS).decode("claim", '{"attempt":2}') == Claim(2)
    request = '{"messages":[{"role":"user","content":"hi"}],"model":"demo","max_tokens":9}'
    assert Request.decode(request) == Request(
        messages=(Message("user", "hi"),), model="demo", max_tokens=9
    )


async def test_streams_do_not_mix(log: DynamoDBStore) -> None:
    await filled(log, 2)
    await log.append(record(0, stream_id="t" * 32))

    assert [r.stream_id for r in (await log.read("t" * 32, 0, consistent=True)).records] == [
        "t" * 32
    ]


async def test_the_newest_record_of_nothing_is_nothing(log: DynamoDBStore) -> None:
    assert await log.newest("s" * 32) is None


@pytest.mark.parametrize("by", ["boto3", "ours"])
async def test_our_client_reads_what_botos_has_written_and_the_other_way_round(
    dynamodb_url: str, store: FaultyStore, by: str
) -> None:
    assert store.url
    name = create_table(dynamodb_url)
    tables = [Table(name, api=Boto3Api()), Table(name)]
    boto3, ours = (DynamoDBStore(table, Registry(EVENTS)) for table in tables)
    writing, reading = (boto3, ours) if by == "boto3" else (ours, boto3)
    written = [record(seq, payload) for seq, payload in enumerate(PAYLOADS)]
    for each in written:
        assert await writing.append(each) is None

    assert list((await reading.read("s" * 32, 0, consistent=True)).records) == written
    assert await reading.append(record()) == written[0]
    for table in tables:
        table.close()
