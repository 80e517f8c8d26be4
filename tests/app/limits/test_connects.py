"""Reads of streams per minute, counted in the table."""

import asyncio

import pytest

from app.exceptions import RetryLater
from app.limits.connects import Connects
from app.limits.counters import Counters
from app.limits.settings import Limits
from durable_stream import Clock, StoreUnavailable, Window
from durable_stream.dynamodb import DynamoDBStore
from tests.store import Fault, FaultyStore, client

pytestmark = [pytest.mark.anyio, pytest.mark.both_stores]

NOON = 20_000 * 24 * 3600 + 12 * 3600


def connects(log: DynamoDBStore, **limits: int) -> Connects:
    return Connects(Counters(log._table), Limits(**limits), Clock(lambda: NOW[0]))


# The clock, which the tests set.
NOW = [0.0]


async def connect(
    limited: Connects,
    stream: str = "s",
    owner: str = "a",
    *,
    at: int = NOON,
    buffered: bool = False,
) -> None:
    NOW[0] = at
    await limited.connecting(stream, owner, Window(buffered=buffered))


async def refused(limited: Connects, stream: str = "s", owner: str = "a") -> RetryLater:
    with pytest.raises(RetryLater) as caught:
        await connect(limited, stream, owner, at=NOON + 50)
    return caught.value


async def test_without_limits_nothing_is_written(log: DynamoDBStore, store: FaultyStore) -> None:
    await connect(connects(log))

    assert not store.calls


async def test_a_stream_is_read_so_often_a_minute_and_other_streams_as_often(
    log: DynamoDBStore,
) -> None:
    limited = connects(log, stream_connects_per_minute=2)
    for stream in ("s", "t", "limit"):
        await connect(limited, stream)
        await connect(limited, stream, at=NOON + 59)
        await refused(limited, stream)
    await connect(limited, at=NOON + 60)


async def test_all_streams_of_an_owner_together_are_read_so_often_a_minute(
    log: DynamoDBStore,
) -> None:
    limited = connects(log, connects_per_minute=2)
    for owner in ("a", "b", ""):
        await connect(limited, "s", owner)
        await connect(limited, "t", owner)
        await refused(limited, "u", owner)


async def test_who_is_refused_is_told_to_come_back_in_the_next_minute_but_not_all_at_once(
    log: DynamoDBStore,
) -> None:
    limited = connects(log, stream_connects_per_minute=0)
    told = [await refused(limited) for _ in range(20)]

    assert {error.code for error in told} == {"reads_limited"}
    assert len({error.retry_after for error in told}) > 1
    assert all(10 <= error.retry_after <= 20 for error in told)


async def test_a_reader_that_is_answered_in_steps_comes_back_each_second(
    log: DynamoDBStore,
) -> None:
    """So sixty of its connects count as one: each holds an invocation for a second at most."""
    limited = connects(log, stream_connects_per_minute=2, connects_per_minute=2)
    await connect(limited)
    for _ in range(60):
        await connect(limited, buffered=True)

    with pytest.raises(RetryLater):
        await connect(limited, buffered=True)
    await refused(limited)


async def test_what_one_streams_limit_refuses_counts_nowhere(log: DynamoDBStore) -> None:
    limited = connects(log, stream_connects_per_minute=1, connects_per_minute=2)
    await connect(limited, "s")
    for _ in range(3):
        await refused(limited, "s")

    await connect(limited, "t")
    await refused(limited, "u")


async def test_many_at_once_do_not_get_past_a_limit(log: DynamoDBStore) -> None:
    limited = connects(log, stream_connects_per_minute=10, connects_per_minute=100)

    answers = await asyncio.gather(*(connect(limited) for _ in range(30)), return_exceptions=True)

    assert sum(answer is None for answer in answers) == 10
    assert all(isinstance(answer, RetryLater) for answer in answers if answer is not None)


async def test_when_the_table_fails_nothing_is_let_through(
    log: DynamoDBStore, store: FaultyStore
) -> None:
    store.choose = lambda _: Fault.FAIL

    with pytest.raises(StoreUnavailable):
        await connect(connects(log, connects_per_minute=5))


async def test_counters_are_forgotten(log: DynamoDBStore, dynamodb_url: str) -> None:
    await connect(connects(log, stream_connects_per_minute=5, connects_per_minute=5))

    items = client(dynamodb_url).scan(TableName=log._table.name)["Items"]

    assert len(items) == 2
    for item in items:
        assert item["stream_id"]["S"].startswith("limit:connects:")
        assert NOON < int(item["expires_at"]["N"]) <= NOON + 120
