"""The bytes of a response to a client of the AI SDK."""

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.events import Answer, Done, Thinking
from app.exceptions import AppError, RetryLater
from app.wires.ai_sdk.chunks import Chunks, count_of
from app.wires.ai_sdk.rendering import VERSIONS
from app.wires.frames import frame
from app.wires.rendering import of_start
from durable_stream import History, Record, StoreUnavailable, StreamError, StreamNotFound
from tests.wires import logs
from tests.wires.ai_sdk.message import Chunk

FINISH = b'data: {"type":"finish"}\n\n'


def rendered(records: Sequence[Record]) -> list[Chunk]:
    rendering = of_start(VERSIONS, records[0])
    return [chunk for record in records for chunk in rendering.render(record)]


def read(data: bytes) -> list[Chunk]:
    frames = data.split(b"\n\n")
    assert frames.pop() == b""
    assert all(each.startswith(b"data: ") and b"\n" not in each for each in frames)
    return [json.loads(each[6:]) for each in frames]


@given(logs.logs(), st.data())
def test_a_response_has_the_chunks_from_a_number_on(
    records: Sequence[Record], data: st.DataObject
) -> None:
    whole = rendered(records)
    skip = data.draw(st.integers(1, len(whole) + 3))
    response = Chunks(skip, asks_again=data.draw(st.booleans()))
    batches = data.draw(logs.batches(records))
    sent = read(b"".join(map(response.records, batches)) + response.unfinished())
    if records[-1].terminal and skip >= len(whole):
        assert sent == [{"type": "finish"}]
    else:
        assert sent == whole[skip:]


@given(logs.logs())
def test_the_chunks_so_far_are_counted_from_the_history(records: Sequence[Record]) -> None:
    assert count_of(History.of(records)) == len(rendered(records))


def test_where_there_is_no_stream_the_response_is_finish_alone() -> None:
    assert Chunks().nothing_left() == FINISH


def test_a_response_opens_with_a_comment_that_is_no_event() -> None:
    assert Chunks().opening() == b": \n"


def test_half_a_surrogate_pair_is_sent_as_its_escape() -> None:
    assert frame({"delta": "\ud83d"}) == b'data: {"delta":"\\ud83d"}\n\n'


@pytest.mark.parametrize(
    "error",
    [StoreUnavailable(), StreamNotFound(), RetryLater("busy", "Later.", retry_after=2)],
)
@pytest.mark.parametrize("asks_again", [True, False])
def test_trouble_before_the_first_chunk_is_told(
    error: AppError | StreamError,
    asks_again: bool,  # noqa: FBT001 - pytest names it
) -> None:
    told = read(Chunks(asks_again=asks_again).failed(error))
    assert told == [{"type": "error", "errorText": error.message}]


@pytest.mark.parametrize("asks_again", [True, False])
def test_trouble_behind_a_chunk_ends_the_response_without_an_error(
    asks_again: bool,  # noqa: FBT001 - pytest names it
) -> None:
    """An error would be final, and the answer continues: the client is to ask again."""
    response = Chunks(asks_again=asks_again)
    response.records(logs.of_events(Thinking("a"), Answer("b"), Done("stop")))
    assert response.failed(StoreUnavailable()) == b""
