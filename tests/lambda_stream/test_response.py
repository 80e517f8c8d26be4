"""Responses of the Runtime API as literal bytes, cut anywhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_stream.exceptions import GarbledResponse
from lambda_stream.response import Response, ResponseDecoder

ACCEPTED = (
    b"HTTP/1.1 202 Accepted\r\nContent-Length: 16\r\n\r\n" + b'{"status":"OK"}\n',
    Response(202, {"content-length": "16"}, b'{"status":"OK"}\n'),
)
INVOCATION = (
    b"HTTP/1.1 200 OK\r\n"
    b"Lambda-Runtime-Aws-Request-Id: r-1\r\n"
    b"Transfer-Encoding: chunked\r\n"
    b"\r\n" + b'2\r\n{"\r\n' + b"7;ext=1\r\n\r\n0\r\n\r\n\r\n" + b'05\r\n": 1}\r\n' + b"0\r\n\r\n",
    Response(
        200,
        {"lambda-runtime-aws-request-id": "r-1", "transfer-encoding": "chunked"},
        b'{"\r\n0\r\n\r\n": 1}',
    ),
)
TRAILED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\none\r\n000\r\nOne: 1\r\n\r\n",
    Response(200, {"transfer-encoding": "Chunked"}, b"one"),
)
EMPTY = (b"HTTP/1.1 410 Gone\r\n\r\n", Response(410, {}, b""))
CLOSING = (
    b"HTTP/1.1 500 \r\nConnection:Close\r\nContent-Length: 2\r\n\r\nno",
    Response(500, {"connection": "Close", "content-length": "2"}, b"no"),
)
UTF_8 = (
    'HTTP/1.1 200 OK\r\nLambda-Runtime-Client-Context: {"custom": "é"}\r\n\r\n'.encode(),
    Response(200, {"lambda-runtime-client-context": '{"custom": "é"}'}, b""),
)
every_response = pytest.mark.parametrize(
    ("data", "response"), [ACCEPTED, INVOCATION, TRAILED, EMPTY, CLOSING, UTF_8]
)


@every_response
def test_a_response_is_complete_exactly_with_its_last_byte(data: bytes, response: Response) -> None:
    decoder = ResponseDecoder()

    fed = [decoder.feed(data[at : at + 1]) for at in range(len(data))]

    assert fed == [None] * (len(data) - 1) + [response]


@every_response
def test_a_response_may_arrive_in_any_two_parts(data: bytes, response: Response) -> None:
    for at in range(1, len(data)):
        decoder = ResponseDecoder()
        assert decoder.feed(data[:at]) is None
        assert decoder.started
        assert decoder.feed(data[at:]) == response


@given(body=st.binary(max_size=300), data=st.data())
def test_a_chunked_body_may_be_cut_anywhere(body: bytes, data: st.DataObject) -> None:
    cuts = st.lists(st.integers(0, len(body)), max_size=5).map(sorted)
    chunks = [part for part in _parts(body, data.draw(cuts)) if part]
    coded = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + coded + b"0\r\n\r\n"
    cuts = st.lists(st.integers(0, len(raw)), max_size=5).map(sorted)
    decoder = ResponseDecoder()

    *early, last = [decoder.feed(part) for part in _parts(raw, data.draw(cuts)) if part]

    assert set(early) <= {None}
    assert last is not None
    assert last.body == body


def _parts(data: bytes, cuts: list[int]) -> list[bytes]:
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def test_nothing_has_started_before_the_first_byte() -> None:
    assert not ResponseDecoder().started


@pytest.mark.parametrize(
    ("header", "kept"), [(b"keep-alive", True), (b"close", False), (b"Close", False)]
)
def test_a_connection_is_kept_unless_the_server_closes_it(header: bytes, *, kept: bool) -> None:
    response = ResponseDecoder().feed(b"HTTP/1.1 200 OK\r\nConnection: " + header + b"\r\n\r\n")

    assert response is not None
    assert response.keep_alive is kept


@pytest.mark.parametrize(
    ("garbage", "complaint"),
    [
        (b"SSH-2.0-OpenSSH_9.9\r\n\r\n", "a status line 'SSH-2.0-OpenSSH_9.9'"),
        (b"HTTP/2 200 OK\r\n\r\n", "a status line"),
        (b"HTTP/1.1\r\n\r\n", "a status line"),
        (b"HTTP/1.1 2OO OK\r\n\r\n", "a status line"),
        (b"HTTP/1.1 20 OK\r\n\r\n", "a status line"),
        (b"HTTP/1.1 \xc2\xb200 OK\r\n\r\n", "a status line"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "a Content-Length of '-1'"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: \xc2\xb2\r\n\r\n", "a Content-Length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\n", "a Content-Length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", "a Content-Length"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1024 * 1024, "headers without an end"),
    ],
)
def test_a_response_that_is_not_http_is_refused(garbage: bytes, complaint: str) -> None:
    with pytest.raises(GarbledResponse, match=complaint):
        ResponseDecoder().feed(garbage)


@pytest.mark.parametrize("size", [b"", b"x", b"-1", b"+1", b"0x1", b"1_0", b"1 1", b"\xb2"])
def test_a_chunk_size_is_hexadecimal_digits_and_nothing_else(size: bytes) -> None:
    """Python's `int` would accept signs, prefixes and underscores."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

    with pytest.raises(GarbledResponse, match="a chunk size"):
        ResponseDecoder().feed(head + size + b"\r\n")


def test_a_chunk_size_without_an_end_is_refused() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

    with pytest.raises(GarbledResponse, match="a chunk size without an end"):
        ResponseDecoder().feed(head + b"0" * 1024 * 1024 + b"0")


@given(st.binary(), st.sampled_from([b"", b"HTTP/1.1 ", b"HTTP/1.1 200 OK\r\n", ACCEPTED[0]]))
def test_no_bytes_make_the_decoder_fail_in_any_other_way(data: bytes, before: bytes) -> None:
    decoder = ResponseDecoder()
    try:
        for piece in (before, data, b"\r\n\r\n"):
            if decoder.feed(piece) is not None:
                break
    except GarbledResponse:
        pass
