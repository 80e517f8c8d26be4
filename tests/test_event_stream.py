"""The HTML specification's rules for an event stream, byte by byte."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.event_stream import Decoder, Message

STREAM = (
    "\ufeff: hi\r\nevent: answer\rdata: né\n\rdata:🚀\r\ndata\nid: s:1\r\n\r\n\ndata: cut".encode()
)
MESSAGES = [Message("", "answer", "né"), Message("s:1", "message", "🚀\n")]


def decoded(stream: bytes) -> list[Message]:
    return list(Decoder().feed(stream))


def test_a_line_ends_with_cr_or_lf_or_both() -> None:
    assert decoded(STREAM) == MESSAGES


@given(st.sets(st.integers(1, len(STREAM) - 1)))
def test_where_the_network_cuts_a_stream_makes_no_difference(places: set[int]) -> None:
    decoder, cuts = Decoder(), [0, *sorted(places), len(STREAM)]
    pieces = [STREAM[begin:end] for begin, end in pairwise(cuts)]

    assert [message for piece in pieces for message in decoder.feed(piece)] == MESSAGES


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\x85", "\v", "\f", "\x1c"])
def test_a_line_ends_with_nothing_else(character: str) -> None:
    (message,) = decoded(f"data: a{character}b\n\n".encode())

    assert message.data == f"a{character}b"


def test_a_block_that_does_not_end_is_dropped_with_its_id() -> None:
    decoder = Decoder()

    assert [each.data for each in decoder.feed(b"data: 1\nid: s:1\n\ndata: 2\nid: s:2\n")] == ["1"]
    assert decoder.last_event_id == "s:1"


def test_an_id_stays_until_another_comes() -> None:
    first, second = decoded(b"data: 1\nid: s:1\n\ndata: 2\n\n")

    assert first.id == second.id == "s:1"


def test_an_id_without_data_moves_the_cursor() -> None:
    decoder = Decoder()

    assert list(decoder.feed(b"id: s:1\n\n")) == []
    assert decoder.last_event_id == "s:1"


def test_an_id_with_a_nul_is_ignored() -> None:
    (message,) = decoded(b"id: s:1\nid: s\0:2\ndata: 1\n\n")

    assert message.id == "s:1"


def test_a_block_without_data_is_no_event_and_its_name_is_forgotten() -> None:
    assert decoded(b"event: answer\n\ndata: 1\n\n") == [Message("", "message", "1")]


def test_a_comment_ends_nothing() -> None:
    assert decoded(b"data: 1\n: \ndata: 2\n\n") == [Message("", "message", "1\n2")]


@pytest.mark.parametrize(
    ("line", "milliseconds"),
    [
        (b"retry: 250", 250),
        (b"retry:0", 0),
        (b"retry: -1", 3000),
        (b"retry: 1e3", 3000),
        ("retry: ٣".encode(), 3000),
        (b"retry", 3000),
    ],
)
def test_a_retry_of_digits_is_in_force_in_a_block_that_never_ends(
    line: bytes, milliseconds: int
) -> None:
    decoder = Decoder()

    assert list(decoder.feed(line + b"\n")) == []
    assert decoder.retry_ms == milliseconds
