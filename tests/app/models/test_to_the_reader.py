"""From a model's bytes, through the real provider and the real log, to a reader."""

import json
from collections.abc import AsyncIterator

import pytest

from app.api.sse import frame
from app.events import Answer, Done, Start
from app.models.lengths import estimated
from durable_stream import Claim, Failed, Record, Streams, Window
from durable_stream.dynamodb import DynamoDBStore
from tests.app.models.services import KINDS, Service, service
from tests.durable_stream.test_streams import die, read, read_until, streams_of

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("kind", KINDS)]


@pytest.fixture
async def model(kind: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Service]:
    async with service(kind, monkeypatch) as running:
        yield running


@pytest.fixture
async def streams(model: Service, log: DynamoDBStore) -> AsyncIterator[Streams]:
    made = streams_of(log, model.provider)
    yield made
    await die(made)


def answer_in(records: list[Record]) -> str:
    """The answer as a client joins it: each event is decoded from UTF-8 by itself."""
    answer = ""
    for record in records:
        if isinstance(record.event, Answer):
            (data,) = [
                line.removeprefix("data: ")
                for line in frame(record).decode().splitlines()
                if line.startswith("data: ")
            ]
            text = json.loads(data)["text"]
            answer += text.encode(errors="replace").decode()
    return answer


async def test_half_a_surrogate_pair_comes_whole_to_the_reader(
    model: Service, streams: Streams
) -> None:
    """Servers in JavaScript split an emoji between two pieces, each in its own event."""
    first, second = model.text("a\ud83d"), model.text("\ude80b")
    assert (b'a\\ud83d"' in first, b'"\\ude80b"' in second) == (True, True)
    model.answers = [[first, second, *model.end]]

    records = await read(
        await streams.create_and_read(Start(model.request.encode()), None, Window())
    )

    assert answer_in(records) == "a🚀b"
    assert records[-1].event.kind == "done"
    assert len(model.asked) == 1


async def test_a_model_that_says_nothing_is_asked_three_times_and_the_log_counts_it(
    model: Service, streams: Streams
) -> None:
    model.answers = [[]]

    records = await read(
        await streams.create_and_read(Start(model.request.encode()), None, Window())
    )

    claims = [record.event for record in records if isinstance(record.event, Claim)]
    assert claims == [Claim(2, "restarted"), Claim(3, "restarted")]
    assert len(model.asked) == 3
    end = records[-1].event
    assert isinstance(end, Failed)
    assert (end.code, end.retryable, end.free) == ("provider_cut", True, False)


# The longest answer


async def test_a_continuation_is_asked_for_what_is_left(model: Service, streams: Streams) -> None:
    """Thinking counts as well: services count it against `max_tokens`."""
    thought, first, second = "Hm, let me think.", "one two three ", "four five "
    model.answers = [
        [model.thinking(thought), model.text(first)],
        [model.text(second)],
        [model.text("six"), *model.end],
    ]

    records = await read(
        await streams.create_and_read(Start(model.request.encode()), None, Window())
    )

    assert answer_in(records) == first + second + "six"
    left = 100 - estimated(thought)
    assert model.limits == [100, left - estimated(first), left - estimated(first + second)]


async def test_another_writer_asks_for_the_tokens_that_are_left(
    model: Service, streams: Streams, log: DynamoDBStore
) -> None:
    said = "one two three four five"
    model.answers = [[model.text(said)], [model.text(" six"), *model.end]]
    model.held = True
    reading = await streams.create_and_read(Start(model.request.encode()), None, Window())
    await read_until(reading, Answer)
    await die(streams)
    model.held = False
    other = streams_of(log, model.provider)

    records = await read(await other.read(reading.stream_id, None, Window()))

    assert answer_in(records) == f"{said} six"
    assert model.limits == [100, 100 - estimated(said)]
    await die(other)


async def test_where_nothing_is_left_the_answer_ends_and_the_model_is_not_asked(
    model: Service, streams: Streams
) -> None:
    model.answers = [[model.text("word " * 99)]]

    records = await read(
        await streams.create_and_read(Start(model.request.encode()), None, Window())
    )

    assert records[-1].event == Done("length", 0, 0)
    assert answer_in(records) == "word " * 99
    assert model.limits == [100]
