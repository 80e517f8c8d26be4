"""Requests to the Runtime API as literal bytes."""

import base64
import json
from traceback import FrameSummary

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_stream import protocol
from lambda_stream.exceptions import PreludeTooLarge
from lambda_stream.protocol import Error, Prelude, StreamEncoder, StreamState

HOST = "127.0.0.1:9001"

STREAM_HEAD = (
    b"POST /2018-06-01/runtime/invocation/r-1/response HTTP/1.1\r\n"
    b"Host: 127.0.0.1:9001\r\n"
    b"User-Agent: lambda-stream\r\n"
    b"Lambda-Runtime-Function-Response-Mode: streaming\r\n"
    b"Transfer-Encoding: chunked\r\n"
    b"Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n"
    b"Content-Type: application/vnd.awslambda.http-integration-response\r\n"
)


# Requests


def test_a_poll_is_a_get_without_a_body() -> None:
    assert protocol.get(HOST, "/invocation/next") == (
        b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\n"
        b"Host: 127.0.0.1:9001\r\n"
        b"User-Agent: lambda-stream\r\n"
        b"\r\n"
    )


def test_a_post_has_the_length_of_its_body_in_bytes() -> None:
    request = protocol.post(HOST, "/init/error", "é".encode(), {"Content-Type": "text/plain"})

    assert request == (
        b"POST /2018-06-01/runtime/init/error HTTP/1.1\r\n"
        b"Host: 127.0.0.1:9001\r\n"
        b"User-Agent: lambda-stream\r\n"
        b"Content-Type: text/plain\r\n"
        b"Content-Length: 2\r\n"
        b"\r\n"
        b"\xc3\xa9"
    )


# The prelude


def test_a_prelude_is_ascii_json_and_eight_nul_bytes() -> None:
    prelude = Prelude(200, [("content-type", "text/plain"), ("x-name", "é")])

    assert prelude.encode() == (
        rb'{"statusCode": 200, "headers": {"content-type": "text/plain", "x-name": "\u00e9"}}'
        b"\0\0\0\0\0\0\0\0"
    )


def test_cookies_are_a_list_of_their_own() -> None:
    prelude = Prelude(302, [("location", "/")], ["a=1; HttpOnly", "b=2"])

    assert prelude.encode() == (
        b'{"statusCode": 302, "headers": {"location": "/"}, "cookies": ["a=1; HttpOnly", "b=2"]}'
        b"\0\0\0\0\0\0\0\0"
    )


def test_the_values_of_a_repeated_header_are_joined_in_order() -> None:
    prelude = Prelude(200, [("vary", "accept"), ("x-other", "1"), ("vary", "origin")])

    assert prelude.encode() == (
        b'{"statusCode": 200, "headers": {"vary": "accept,origin", "x-other": "1"}}\0\0\0\0\0\0\0\0'
    )


def test_a_nul_in_a_header_cannot_end_the_prelude() -> None:
    encoded = Prelude(200, [("x-nul", "\0" * 8)]).encode()

    assert encoded.index(b"\0") == len(encoded) - 8


def test_a_prelude_of_16_kib_with_its_delimiter_is_the_largest() -> None:
    around = len(Prelude(200, [("x", "")]).encode())
    largest = "x" * (16 * 1024 - around)

    assert len(Prelude(200, [("x", largest)]).encode()) == 16384
    with pytest.raises(PreludeTooLarge, match=r"16385 bytes.*at most 16384"):
        Prelude(200, [("x", largest + "x")]).encode()


@given(
    st.integers(100, 599),
    st.dictionaries(st.text(min_size=1), st.text(), max_size=5),
    st.lists(st.text(), max_size=3),
)
def test_a_prelude_can_be_decoded_without_loss(
    status: int, headers: dict[str, str], cookies: list[str]
) -> None:
    encoded = Prelude(status, list(headers.items()), cookies).encode()

    head, _, rest = encoded.partition(b"\0" * 8)
    assert rest == b""
    expected = {"statusCode": status, "headers": headers}
    assert json.loads(head) == (expected | {"cookies": cookies} if cookies else expected)


# Errors

FRAMES = [
    FrameSummary("/var/task/main.py", 3, "handler", line="call()"),
    FrameSummary("/var/task/deep.py", 7, "call", line="raise ValueError('no')"),
]


def test_an_error_is_encoded_as_by_the_stock_runtime() -> None:
    error = Error("ValueError", "no", FRAMES, "r-1")

    assert json.loads(error.encode()) == {
        "errorMessage": "no",
        "errorType": "ValueError",
        "requestId": "r-1",
        "stackTrace": [
            '  File "/var/task/main.py", line 3, in handler\n    call()\n',
            "  File \"/var/task/deep.py\", line 7, in call\n    raise ValueError('no')\n",
        ],
    }


@pytest.mark.parametrize(
    ("error_type", "header"),
    [
        ("ValueError", "Function.ValueError"),
        ("Runtime.ImportModuleError", "Runtime.ImportModuleError"),
        ("Größenfehler", "Function.Gr??enfehler"),
    ],
)
def test_an_error_type_in_a_header_has_a_category_and_is_ascii(
    error_type: str, header: str
) -> None:
    """Lambda expects `category.reason`, and a Python class may have a name in any alphabet."""
    assert Error(error_type, "").header == header


def test_the_cause_for_x_ray_names_the_error_and_its_frames() -> None:
    """It is the document that the stock runtime sends."""
    error = Error("ValueError", "no", FRAMES)

    assert json.loads(error.cause("/var/task")) == {
        "working_directory": "/var/task",
        "exceptions": [
            {
                "message": "no",
                "type": "ValueError",
                "stack": [
                    {"label": "handler", "path": "/var/task/main.py", "line": 3},
                    {"label": "call", "path": "/var/task/deep.py", "line": 7},
                ],
            }
        ],
        "paths": ["/var/task/deep.py", "/var/task/main.py"],
    }


# A streamed response


def encoder(invocation_id: str | None = None) -> StreamEncoder:
    return StreamEncoder(HOST, "r-1", invocation_id)


def test_a_streamed_response_byte_for_byte() -> None:
    stream = encoder()

    assert stream.start(Prelude(200)) == (
        STREAM_HEAD
        + b"\r\n"
        + b"2a\r\n"
        + b'{"statusCode": 200, "headers": {}}\0\0\0\0\0\0\0\0'
        + b"\r\n"
    )
    assert stream.chunk(b"data: 1\n\n") == b"9\r\ndata: 1\n\n\r\n"
    assert stream.chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"
    assert stream.finish() == b"0\r\n\r\n"


def test_an_invocation_id_is_echoed() -> None:
    started = encoder("i-1").start(Prelude(200))

    assert started.startswith(STREAM_HEAD + b"Lambda-Runtime-Invocation-Id: i-1\r\n\r\n")


def test_a_failure_after_the_first_byte_is_reported_in_the_announced_trailers() -> None:
    stream = encoder()
    stream.start(Prelude(200))

    assert stream.fail(Error("ValueError", "no", (), "r-1")) == (
        b"0\r\n"
        b"Lambda-Runtime-Function-Error-Type: Function.ValueError\r\n"
        b"Lambda-Runtime-Function-Error-Body: "
        + base64.b64encode(
            b'{"errorMessage": "no", "errorType": "ValueError", '
            b'"requestId": "r-1", "stackTrace": []}'
        )
        + b"\r\n\r\n"
    )


def trailers(stream_end: bytes) -> dict[str, str]:
    last_chunk, *lines, empty, end = stream_end.decode("ascii").split("\r\n")
    assert (last_chunk, empty, end) == ("0", "", "")
    return dict(line.split(": ") for line in lines)


@pytest.mark.parametrize("frames", [4, 30, 1000])
@pytest.mark.parametrize("message", ["", "no", "é" * 300, "é" * 10_000])
def test_trailers_take_at_most_what_a_go_server_reads(frames: int, message: str) -> None:
    """It reads 4 KiB. The outermost frames are dropped first, the type is never dropped."""
    inner = FrameSummary("/var/task/inner.py", 1, "inner", line="fails()")
    stack = [FrameSummary(f"/opt/{seq}.py", seq, "outer", line="go()") for seq in range(frames)]
    stream = encoder()
    stream.start(Prelude(200))

    end = stream.fail(Error("ValueError", message, [*stack, inner], "r-1"))

    assert len(end) <= len("0\r\n") + 4096
    found = trailers(end)
    assert found["Lambda-Runtime-Function-Error-Type"] == "Function.ValueError"
    body = json.loads(base64.b64decode(found["Lambda-Runtime-Function-Error-Body"]))
    assert body["errorType"] == "ValueError"
    assert message.startswith(body["errorMessage"])
    if len(message) <= 300:
        assert body["errorMessage"] == message
        assert "inner.py" in body["stackTrace"][-1]


ERROR = Error("ValueError", "no")

BEGINNINGS = {
    StreamState.IDLE: [],
    StreamState.BODY: ["start"],
    StreamState.DONE: ["start", "finish"],
    StreamState.FAILED: ["start", "fail"],
}
LEGAL = {
    (StreamState.IDLE, "start"): StreamState.BODY,
    (StreamState.BODY, "chunk"): StreamState.BODY,
    (StreamState.BODY, "finish"): StreamState.DONE,
    (StreamState.BODY, "fail"): StreamState.FAILED,
}


def step(stream: StreamEncoder, name: str) -> bytes:
    match name:
        case "start":
            return stream.start(Prelude(200))
        case "chunk":
            return stream.chunk(b"x")
        case "finish":
            return stream.finish()
        case _:
            return stream.fail(ERROR)


@pytest.mark.parametrize("name", ["start", "chunk", "finish", "fail"])
@pytest.mark.parametrize("state", StreamState)
def test_every_other_order_is_refused_and_changes_nothing(state: StreamState, name: str) -> None:
    stream = encoder()
    for beginning in BEGINNINGS[state]:
        step(stream, beginning)
    assert stream.state is state

    if (state, name) in LEGAL:
        step(stream, name)
        assert stream.state is LEGAL[state, name]
    else:
        with pytest.raises(ValueError, match=f"but it is {state.name}"):
            step(stream, name)
        assert stream.state is state


def test_a_prelude_that_is_too_large_leaves_the_response_idle() -> None:
    stream = encoder()

    with pytest.raises(PreludeTooLarge):
        stream.start(Prelude(200, [("x", "x" * 20_000)]))

    assert stream.state is StreamState.IDLE
