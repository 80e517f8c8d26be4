"""Requests a minute and tokens a day, counted in the table."""

import asyncio

import pytest

from app.exceptions import RetryLater
from app.limits.budget import Budget, Reservation
from app.limits.counters import Counters
from app.limits.exceptions import BeyondBudget
from app.limits.settings import Limits
from durable_stream import StoreUnavailable
from durable_stream.dynamodb import DynamoDBStore
from tests.store import Fault, FaultyStore, client

pytestmark = [pytest.mark.anyio, pytest.mark.both_stores]

DAY = 24 * 3600
NOON = 20_000 * DAY + DAY // 2


def budget(log: DynamoDBStore, **limits: int) -> Budget:
    return Budget(Counters(log._table), Limits(**limits))


def wanted(tokens: int = 10, principal: str = "a", at: int = NOON) -> Reservation:
    return Reservation(principal, tokens, at)


async def refused(budget: Budget, reservation: Reservation) -> RetryLater:
    with pytest.raises(RetryLater) as caught:
        await budget.reserve(reservation)
    return caught.value


async def test_without_limits_nothing_is_written(log: DynamoDBStore, store: FaultyStore) -> None:
    unlimited = budget(log)
    await unlimited.reserve(wanted())
    await unlimited.settle(wanted(), 5)

    assert not store.calls


async def test_a_minute_takes_so_many_requests_and_the_next_as_many_again(
    log: DynamoDBStore,
) -> None:
    limited = budget(log, requests_per_minute=2)
    await limited.reserve(wanted(at=NOON))
    await limited.reserve(wanted(at=NOON + 59))

    error = await refused(limited, wanted(at=NOON + 59))

    assert (error.code, error.retry_after) == ("rate_limited", 1)
    await limited.reserve(wanted(at=NOON + 60))


async def test_limits_are_for_each_principal(log: DynamoDBStore) -> None:
    limited = budget(log, requests_per_minute=1, tokens_per_day=10)
    for principal in ("a", "b", "anybody", ""):
        await limited.reserve(wanted(10, principal))
        await refused(limited, wanted(10, principal))


async def test_a_day_takes_so_many_tokens_of_one_and_so_many_of_all(log: DynamoDBStore) -> None:
    limited = budget(log, tokens_per_day=100, total_tokens_per_day=150)
    await limited.reserve(wanted(90))

    error = await refused(limited, wanted(11))
    assert (error.code, error.retry_after) == ("budget_spent", 600)

    await limited.reserve(wanted(10))
    await limited.reserve(wanted(50, "b"))
    assert (await refused(limited, wanted(1, "c"))).code == "budget_spent"
    await limited.reserve(wanted(100, "c", at=NOON + DAY))


async def test_one_principal_cannot_be_named_like_all(log: DynamoDBStore) -> None:
    limited = budget(log, tokens_per_day=10, total_tokens_per_day=100)
    await limited.reserve(wanted(10, "all"))
    for number in range(9):
        await limited.reserve(wanted(10, f"p{number}"))
    await refused(limited, wanted(1, "more"))


async def test_what_can_never_fit_is_told_so(log: DynamoDBStore) -> None:
    with pytest.raises(BeyondBudget, match="a day has 10"):
        await budget(log, tokens_per_day=10).reserve(wanted(11))


async def test_what_is_refused_counts_nowhere(log: DynamoDBStore) -> None:
    limited = budget(log, requests_per_minute=1, tokens_per_day=100, total_tokens_per_day=200)
    await limited.reserve(wanted(20))
    for number in range(5):
        await refused(limited, wanted(81, at=NOON + 60 * number))

    await limited.reserve(wanted(80, at=NOON + 60))


async def test_what_was_not_spent_is_free_again(log: DynamoDBStore) -> None:
    limited = budget(log, tokens_per_day=100, total_tokens_per_day=100)
    await limited.reserve(wanted(100))
    await limited.settle(wanted(100), 40)

    await limited.reserve(wanted(60))
    await refused(limited, wanted(1))


async def test_what_cost_more_than_was_reserved_counts_in_full(log: DynamoDBStore) -> None:
    limited = budget(log, tokens_per_day=100)
    await limited.reserve(wanted(50))
    await limited.settle(wanted(50), 95)

    await refused(limited, wanted(6))
    await limited.reserve(wanted(5))


async def test_a_settlement_belongs_to_the_day_of_its_reservation(log: DynamoDBStore) -> None:
    limited = budget(log, tokens_per_day=100)
    yesterday = wanted(100, at=NOON - DAY)
    await limited.reserve(yesterday)
    await limited.reserve(wanted(100))

    await limited.settle(yesterday, 0)

    await refused(limited, wanted(1))


async def test_a_reservation_for_nothing_is_given_back_but_its_request_counts(
    log: DynamoDBStore,
) -> None:
    limited = budget(log, requests_per_minute=2, tokens_per_day=10)
    await limited.reserve(wanted(10))
    await limited.release(wanted(10))
    await limited.reserve(wanted(10))

    assert (await refused(limited, wanted(10))).code == "rate_limited"


async def test_a_request_that_reserves_nothing_counts_as_one(log: DynamoDBStore) -> None:
    limited = budget(log, requests_per_minute=1, tokens_per_day=10)
    await limited.count(wanted(10))

    assert (await refused(limited, wanted(1))).code == "rate_limited"
    with pytest.raises(RetryLater):
        await limited.count(wanted(10))


async def test_a_limit_of_none_lets_nothing_through(log: DynamoDBStore) -> None:
    assert (await refused(budget(log, requests_per_minute=0), wanted())).code == "rate_limited"


async def test_who_asks_too_often_takes_nothing_from_the_others(
    log: DynamoDBStore, store: FaultyStore
) -> None:
    limited = budget(log, requests_per_minute=1, tokens_per_day=100, total_tokens_per_day=100)
    await limited.reserve(wanted(1))
    store.calls.clear()

    await refused(limited, wanted(90))

    assert store.calls == {"UpdateItem": 1}, "the tokens of all were never touched"


async def test_a_refund_whose_answer_was_lost_is_not_given_twice(
    log: DynamoDBStore, store: FaultyStore, dynamodb_url: str
) -> None:
    limited = budget(log, tokens_per_day=100)
    await limited.reserve(wanted(100))
    store.choose = lambda _: Fault.LOSE_ANSWER
    await limited.settle(wanted(100), 40)
    store.choose = lambda _: Fault.NONE

    [item] = client(dynamodb_url).scan(TableName=log._table.name)["Items"]
    assert item["used"]["N"] == "40"


async def test_many_at_once_do_not_get_past_a_limit(log: DynamoDBStore) -> None:
    limited = budget(log, tokens_per_day=100, total_tokens_per_day=1000)

    answers = await asyncio.gather(
        *(limited.reserve(wanted(10)) for _ in range(30)), return_exceptions=True
    )

    assert sum(answer is None for answer in answers) == 10
    assert all(isinstance(answer, RetryLater) for answer in answers if answer is not None)
    await refused(limited, wanted(1))


async def test_when_the_table_fails_nothing_is_let_through(
    log: DynamoDBStore, store: FaultyStore
) -> None:
    limited = budget(log, requests_per_minute=5, tokens_per_day=100)
    store.choose = lambda _: Fault.FAIL

    with pytest.raises(StoreUnavailable):
        await limited.reserve(wanted())


async def test_a_settlement_that_fails_leaves_the_reservation(
    log: DynamoDBStore, store: FaultyStore
) -> None:
    limited = budget(log, tokens_per_day=100)
    await limited.reserve(wanted(100))
    store.choose = lambda _: Fault.FAIL
    await limited.settle(wanted(100), 0)
    store.choose = lambda _: Fault.NONE

    await refused(limited, wanted(1))


async def test_counters_are_forgotten(log: DynamoDBStore, dynamodb_url: str) -> None:
    limits = {"requests_per_minute": 5, "tokens_per_day": 100, "total_tokens_per_day": 100}
    await budget(log, **limits).reserve(wanted())

    items = client(dynamodb_url).scan(TableName=log._table.name)["Items"]

    assert len(items) == 3
    for item in items:
        assert item["stream_id"]["S"].startswith("limit:")
        assert NOON < int(item["expires_at"]["N"]) <= NOON + 2 * DAY
