"""Pointers: names that an owner gives to streams."""

import pytest

from app.pointers import Pointers
from durable_stream import Clock
from durable_stream.dynamodb import DynamoDBStore

pytestmark = [pytest.mark.anyio, pytest.mark.both_stores]

STREAM, OTHER = "s" * 32, "o" * 32


class Time:
    """The time, which a test sets."""

    seconds = 1_000_000.0

    def now(self) -> float:
        return self.seconds


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def pointers(log: DynamoDBStore, time: Time) -> Pointers:
    return Pointers(log._table, Clock(now=time.now), seconds=60)


async def test_a_name_has_the_newest_value(pointers: Pointers) -> None:
    assert await pointers.get("owner", "chat") is None

    await pointers.put("owner", "chat", STREAM)
    await pointers.put("owner", "chat", OTHER)

    assert await pointers.get("owner", "chat") == OTHER


async def test_owners_do_not_share_names(pointers: Pointers) -> None:
    await pointers.put("owner", "chat", STREAM)

    assert await pointers.get("other", "chat") is None
    assert await pointers.get("", "owner\nchat") is None


async def test_a_value_lasts_as_long_as_told(pointers: Pointers, time: Time) -> None:
    await pointers.put("owner", "short", STREAM, seconds=5)
    await pointers.put("owner", "long", STREAM)

    time.seconds += 10

    assert await pointers.get("owner", "short") is None
    assert await pointers.get("owner", "long") == STREAM


@pytest.mark.parametrize("name", ["x" * 10_000, "日本 🚀", "\ud83d", "a/b?c=d\0"])
async def test_any_text_is_a_name(pointers: Pointers, name: str) -> None:
    await pointers.put("owner", name, STREAM)

    assert await pointers.get("owner", name) == STREAM
