"""A silent provider is given up at its deadline, and not before."""

import asyncio
from collections.abc import AsyncGenerator, Callable

import pytest

from app.exceptions import ProviderError
from app.models.deadlines import Deadlines, IdleTimer

pytestmark = pytest.mark.anyio

# Never reached: the other deadline is tested.
LONG = 30.0


async def numbers(up_to: int) -> AsyncGenerator[int]:
    for number in range(up_to):
        yield number


class Source:
    """Yields one item and then the items of `then`; records that it was closed."""

    def __init__(self, then: Callable[[], AsyncGenerator[int]]) -> None:
        self._then = then
        self.closed = False

    async def items(self) -> AsyncGenerator[int]:
        try:
            yield 0
            async for item in self._then():
                yield item
        finally:
            self.closed = True


async def silence() -> AsyncGenerator[int]:
    await asyncio.Event().wait()
    yield 1


async def gathered(timer: IdleTimer, items: AsyncGenerator[int]) -> tuple[list[int], str | None]:
    """The items, and the code of the failure that ended them."""
    seen: list[int] = []
    try:
        async with asyncio.timeout(10):
            async for item in timer.limit(items):
                seen.append(item)  # noqa: PERF401 - items before a failure count
    except ProviderError as error:
        return seen, error.code
    return seen, None


async def test_items_in_time_are_passed_on() -> None:
    assert await gathered(IdleTimer(Deadlines()), numbers(3)) == ([0, 1, 2], None)


async def test_no_first_item_in_time_is_a_timeout() -> None:
    timer = IdleTimer(Deadlines(first=0.05, idle=LONG))

    assert await gathered(timer, silence()) == ([], "provider_timeout")


async def test_silence_after_an_item_is_a_timeout_and_closes_the_source() -> None:
    source = Source(silence)

    outcome = await gathered(IdleTimer(Deadlines(first=LONG, idle=0.05)), source.items())

    assert outcome == ([0], "provider_timeout")
    assert source.closed


async def test_a_sign_of_life_keeps_the_wait_alive() -> None:
    timer = IdleTimer(Deadlines(first=LONG, idle=1.5))

    async def alive() -> AsyncGenerator[int]:
        for _ in range(5):
            await asyncio.sleep(0.4)
            timer.reset()
        yield 1

    assert await gathered(timer, Source(alive).items()) == ([0, 1], None)


async def test_signs_of_life_alone_are_not_enough_for_ever() -> None:
    timer = IdleTimer(Deadlines(first=0.3, idle=0.2))

    async def alive() -> AsyncGenerator[int]:
        for _ in range(100):
            await asyncio.sleep(0.05)
            timer.reset()
        yield 1

    assert await gathered(timer, Source(alive).items()) == ([0], "provider_timeout")


@pytest.mark.parametrize("begun", [False, True])
async def test_parts_of_an_item_keep_the_wait_alive_for_as_long_as_they_come(
    *, begun: bool
) -> None:
    """A model may write the arguments of a tool for long."""
    timer = IdleTimer(Deadlines(first=1.5, idle=1.5))

    async def written() -> AsyncGenerator[int]:
        for _ in range(5):
            await asyncio.sleep(0.4)
            timer.advance()
        yield 1

    items = Source(written).items() if begun else written()

    assert await gathered(timer, items) == ([0, 1] if begun else [1], None)


async def test_a_sign_of_life_before_the_first_item_does_not_shorten_the_wait_for_it() -> None:
    timer = IdleTimer(Deadlines(first=LONG, idle=0.05))

    async def slow() -> AsyncGenerator[int]:
        timer.reset()
        await asyncio.sleep(0.2)
        yield 1

    assert await gathered(timer, slow()) == ([1], None)


async def test_the_time_that_the_consumer_takes_does_not_count() -> None:
    timer = IdleTimer(Deadlines(first=0.1, idle=0.1))

    async for _ in timer.limit(numbers(3)):
        await asyncio.sleep(0.2)


async def test_closing_closes_the_source() -> None:
    source = Source(silence)
    items = IdleTimer(Deadlines()).limit(source.items())
    await anext(items)

    await items.aclose()

    assert source.closed


def test_deadlines_come_from_the_environment() -> None:
    environ = {"PROVIDER_FIRST_SECONDS": "300", "PROVIDER_IDLE_SECONDS": "7.5"}

    assert Deadlines.from_environ(environ) == Deadlines(first=300, idle=7.5)
    assert Deadlines.from_environ({}) == Deadlines()


@pytest.mark.parametrize("value", ["soon", "0", "-1", "nan"])
def test_a_deadline_that_is_not_a_duration_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="PROVIDER_IDLE_SECONDS"):
        Deadlines.from_environ({"PROVIDER_IDLE_SECONDS": value})
