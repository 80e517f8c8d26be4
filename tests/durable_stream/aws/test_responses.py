"""Responses from bytes, in any pieces, whole or broken."""

import itertools
from collections.abc import Iterable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from durable_stream.aws.exceptions import Garbled
from durable_stream.aws.responses import Response, ResponseDecoder

OK = b"HTTP/1.1 200 OK\r\n"
BODY = b'{"Item":{"seq":{"N":"1"}}}'
WITH_LENGTH = b"%sX-Amz-Crc32: 7\r\nContent-Length: %d\r\n\r\n%s" % (OK, len(BODY), BODY)
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\n" + BODY[:5]
CHUNKED += b"\r\n%x;a=b\r\n%s\r\n0\r\nTrailer: x\r\n\r\n" % (len(BODY) - 5, BODY[5:])
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n" + WITH_LENGTH
WHOLE = [WITH_LENGTH, CHUNKED, INTERIM]


def decoded(pieces: Iterable[bytes]) -> Response | None:
    decoder = ResponseDecoder()
    for piece in pieces:
        if (response := decoder.feed(piece)) is not None:
            return response
    return None


@given(st.sampled_from(WHOLE), st.sets(st.integers(1, 150)))
def test_a_response_may_come_in_any_pieces(data: bytes, cuts: set[int]) -> None:
    at = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    pieces = [data[begin:end] for begin, end in itertools.pairwise(at)]

    response = decoded(pieces)

    assert response is not None
    assert (response.status, response.body, response.keep_alive) == (200, BODY, True)


@pytest.mark.parametrize("data", WHOLE)
def test_a_part_of_a_response_is_no_response(data: bytes) -> None:
    for end in range(len(data)):
        assert decoded([data[:end]]) is None


@given(st.binary(max_size=300))
@example(b"HTTP/1.1 200 OK\r\nContent-Length: 0x3\r\n\r\nabc")
@example(b"HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc")
@example(b"HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\nabc")
@example(b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5_000 + b"\r\n\r\n")
@example(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc")
@example(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc")
@example(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n")
@example(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc")
@example(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 300)
@example(b"HTTP/1.1 200 OK\r\n\r\nabc")
@example(b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n")
@example(b"HTTP/1.1 200 OK\r\n Content-Length: 0\r\n\r\n")
@example(WITH_LENGTH + b"x")
def test_any_other_bytes_are_refused_or_not_yet_enough(data: bytes) -> None:
    try:
        response = decoded([data])
    except Garbled:
        return
    assert response is None


@given(st.sampled_from(WHOLE), st.integers(0, 150), st.integers(0, 255))
def test_a_changed_byte_gives_a_response_a_refusal_or_a_wait(
    data: bytes, at: int, byte: int
) -> None:
    changed = bytearray(data)
    changed[at % len(data)] = byte
    try:
        decoded([bytes(changed)])
    except Garbled:
        return


@pytest.mark.parametrize(
    ("head", "keeps"),
    [
        (b"HTTP/1.1 200 OK\r\n", True),
        (b"HTTP/1.1 200\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: Close\r\n", False),
        (b"HTTP/1.0 200 OK\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n", True),
    ],
)
def test_the_peer_says_if_the_connection_stays(head: bytes, keeps: bool) -> None:  # noqa: FBT001
    response = decoded([head + b"Content-Length: 2\r\n\r\nab"])

    assert response is not None
    assert response.keep_alive is keeps


def test_a_head_without_an_end_is_refused() -> None:
    with pytest.raises(Garbled):
        decoded([OK, b"X: " + b"a" * 70_000])
