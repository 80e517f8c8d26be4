"""The client against a Runtime API on real sockets, which the test controls."""

import asyncio
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import h11
import pytest

from lambda_stream.client import ResponseStream, RuntimeClient
from lambda_stream.exceptions import (
    EnvironmentOver,
    GarbledResponse,
    InvocationOver,
    PreludeTooLarge,
    ResponseBroken,
    RuntimeApiError,
)
from lambda_stream.invocation import Invocation
from lambda_stream.protocol import Error, Prelude, StreamState
from tests.lambda_stream.runtime_api import (
    API,
    DEADLINE,
    INIT_ERROR,
    NEXT,
    Request,
    RuntimeApi,
    invocation_headers,
)
from tests.ports import refusing_port

pytestmark = pytest.mark.anyio

INVOCATION = Invocation("r-1", 0, b"{}", invocation_id="i-1")
WITHOUT_ID = Invocation("r-1", 0, b"{}")
RESPONSE = f"POST {API}/invocation/r-1/response"
PRELUDE = Prelude(200)
MORE_THAN_SOCKETS_HOLD = b"x" * 32 * 1024 * 1024
HTTP_INTEGRATION_RESPONSE = "application/vnd.awslambda.http-integration-response"
PRELUDE_BYTES = b'{"statusCode": 200, "headers": {}}\0\0\0\0\0\0\0\0'


@pytest.fixture
async def client(api: RuntimeApi) -> AsyncIterator[RuntimeClient]:
    client = RuntimeClient(api.address)
    yield client
    client.close()


async def call_and_answer(
    call: Coroutine[Any, Any, object], api: RuntimeApi, line: str, status: int, body: bytes = b""
) -> Request:
    """Run a call, answer its request, and return the request."""
    calling = asyncio.create_task(call)
    request = await api.request(line)
    request.answer(status, body)
    async with asyncio.timeout(DEADLINE):
        await calling
    return request


# Polling for invocations


async def test_an_invocation_has_every_member_of_the_apis_response(
    api: RuntimeApi, client: RuntimeClient
) -> None:
    headers = {
        "Content-Type": "application/json",
        "Lambda-Runtime-Aws-Request-Id": "r-1",
        "Lambda-Runtime-Invocation-Id": "i-1",
        "Lambda-Runtime-Deadline-Ms": "1795339801000",
        "Lambda-Runtime-Invoked-Function-Arn": "arn",
        "Lambda-Runtime-Trace-Id": "Root=1",
        "Lambda-Runtime-Client-Context": "{}",
        "Lambda-Runtime-Cognito-Identity": "[]",
        "Lambda-Runtime-Aws-Tenant-Id": "blue",
    }
    poll = asyncio.create_task(client.next())
    (await api.request(NEXT)).answer(200, b'{"a": 1}', headers)

    assert await poll == Invocation(
        request_id="r-1",
        deadline_ms=1795339801000,
        body=b'{"a": 1}',
        content_type="application/json",
        function_arn="arn",
        invocation_id="i-1",
        trace_id="Root=1",
        client_context="{}",
        cognito_identity="[]",
        tenant_id="blue",
    )


@pytest.mark.parametrize("status", [403, 500])
async def test_a_refused_poll_means_that_the_environment_is_over(
    api: RuntimeApi, client: RuntimeClient, status: int
) -> None:
    with pytest.raises(EnvironmentOver, match=f"next was answered {status}: no more"):
        await call_and_answer(client.next(), api, NEXT, status, b"no more\n")


async def test_a_poll_can_be_cancelled(api: RuntimeApi, client: RuntimeClient) -> None:
    poll = asyncio.create_task(client.next())
    request = await api.request(NEXT)

    poll.cancel()
    with pytest.raises(asyncio.CancelledError):
        await poll

    assert await request.body() == b""  # The request itself was complete.
    assert await request.closed()


# One connection for polls and buffered responses


async def test_requests_follow_each_other_on_one_connection(
    api: RuntimeApi, client: RuntimeClient
) -> None:
    first = await call_and_answer(
        client.respond(INVOCATION, b"1", "text/plain"), api, RESPONSE, 202
    )
    second = await call_and_answer(
        client.respond(INVOCATION, b"2", "text/plain"), api, RESPONSE, 202
    )

    assert first.peer == second.peer
    assert [await first.body(), await second.body()] == [b"1", b"2"]


async def test_a_kept_connection_that_is_dead_is_replaced(
    api: RuntimeApi, client: RuntimeClient
) -> None:
    """A server may close an idle connection while the sandbox is frozen."""
    first = await call_and_answer(
        client.respond(INVOCATION, b"1", "text/plain"), api, RESPONSE, 202
    )
    first.abort()

    second = await call_and_answer(
        client.respond(INVOCATION, b"2", "text/plain"), api, RESPONSE, 202
    )

    assert first.peer != second.peer


async def test_a_dead_connection_is_replaced_once_only(
    api: RuntimeApi, client: RuntimeClient
) -> None:
    await call_and_answer(client.respond(INVOCATION, b"1", "text/plain"), api, RESPONSE, 202)
    call = asyncio.create_task(client.respond(INVOCATION, b"2", "text/plain"))
    for _ in range(2):
        (await api.request(RESPONSE)).abort()

    with pytest.raises(ConnectionError):
        await call


async def test_a_request_is_not_sent_again_after_the_first_byte_of_a_response(
    api: RuntimeApi, client: RuntimeClient
) -> None:
    await call_and_answer(client.respond(INVOCATION, b"1", "text/plain"), api, RESPONSE, 202)
    call = asyncio.create_task(client.respond(INVOCATION, b"2", "text/plain"))
    request = await api.request(RESPONSE)
    request.send(b"HTTP/1.1 2")
    request.close()

    with pytest.raises(ConnectionError, match="closed the connection"):
        await call


async def test_a_connection_that_the_api_closes_is_not_used_again(
    api: RuntimeApi, client: RuntimeClient
) -> None:
    call = asyncio.create_task(client.respond(INVOCATION, b"1", "text/plain"))
    first = await api.request(RESPONSE)
    first.answer(202, headers={"Connection": "close"})
    await call

    assert await first.closed()


async def test_a_response_that_is_not_http_raises_and_ends_the_connection(
    api: RuntimeApi, client: RuntimeClient
) -> None:
    call = asyncio.create_task(client.next())
    request = await api.request(NEXT)
    request.send(b"SSH-2.0\r\n\r\n")

    with pytest.raises(GarbledResponse):
        await call
    assert await request.closed()


async def test_an_unreachable_api_raises_an_os_error() -> None:
    with refusing_port() as port, pytest.raises(OSError, match="Connect"):
        await RuntimeClient(f"127.0.0.1:{port}").next()


# Buffered responses


@pytest.mark.parametrize("invocation", [INVOCATION, WITHOUT_ID])
async def test_a_response_has_its_type_and_echoes_the_invocation_id(
    api: RuntimeApi, client: RuntimeClient, invocation: Invocation
) -> None:
    call = client.respond(invocation, b"{}", "application/json")
    request = await call_and_answer(call, api, RESPONSE, 202)

    assert request.headers["content-type"] == "application/json"
    assert request.headers.get("lambda-runtime-invocation-id") == invocation.invocation_id
    assert await request.body() == b"{}"


@pytest.mark.parametrize("invocation", [INVOCATION, WITHOUT_ID])
async def test_an_error_has_its_type_and_echoes_the_invocation_id(
    api: RuntimeApi, client: RuntimeClient, invocation: Invocation
) -> None:
    error = Error("ValueError", "no", (), "r-1")
    call = client.respond_error(invocation, error)
    request = await call_and_answer(call, api, f"POST {API}/invocation/r-1/error", 202)

    assert request.headers["content-type"] == "application/json"
    assert request.headers["lambda-runtime-function-error-type"] == "Function.ValueError"
    assert '"message": "no"' in request.headers["lambda-runtime-function-xray-error-cause"]
    assert request.headers.get("lambda-runtime-invocation-id") == invocation.invocation_id
    assert await request.body() == error.encode()


async def test_a_cause_that_is_too_long_for_a_header_is_left_out(
    api: RuntimeApi, client: RuntimeClient
) -> None:
    error = Error("ValueError", "x" * 1024 * 1024)
    call = client.respond_error(INVOCATION, error)
    request = await call_and_answer(call, api, f"POST {API}/invocation/r-1/error", 202)

    assert "lambda-runtime-function-xray-error-cause" not in request.headers
    assert await request.body() == error.encode()


@pytest.mark.parametrize("status", [400, 410, 413])
async def test_an_answer_that_is_refused_ends_the_invocation_only(
    api: RuntimeApi, client: RuntimeClient, status: int
) -> None:
    with pytest.raises(InvocationOver, match=f"answered {status}: late"):
        await call_and_answer(
            client.respond(INVOCATION, b"", "text/plain"), api, RESPONSE, status, b"late"
        )

    poll = asyncio.create_task(client.next())
    (await api.request(NEXT)).answer(200, b"{}", invocation_headers("r-2"))
    assert (await poll).request_id == "r-2"


@pytest.mark.parametrize("status", [403, 500])
async def test_any_other_refusal_concerns_more_than_the_invocation(
    api: RuntimeApi, client: RuntimeClient, status: int
) -> None:
    call = client.respond(INVOCATION, b"", "text/plain")

    with pytest.raises(RuntimeApiError) as refusal:
        await call_and_answer(call, api, RESPONSE, status)

    assert not isinstance(refusal.value, InvocationOver)


async def test_an_init_error_is_reported_before_any_invocation(
    api: RuntimeApi, client: RuntimeClient
) -> None:
    error = Error("Runtime.ImportModuleError", "no module")
    request = await call_and_answer(client.init_error(error, error.header), api, INIT_ERROR, 202)

    assert request.headers["content-type"] == "application/json"
    assert request.headers["lambda-runtime-function-error-type"] == "Runtime.ImportModuleError"
    assert await request.body() == error.encode()


async def test_an_init_error_may_be_refused(api: RuntimeApi, client: RuntimeClient) -> None:
    call = client.init_error(Error("Runtime.X", ""), "Runtime.X")

    with pytest.raises(RuntimeApiError, match="init/error was answered 403"):
        await call_and_answer(call, api, INIT_ERROR, 403)


# Streaming


@asynccontextmanager
async def open_stream(
    api: RuntimeApi, client: RuntimeClient, first: bytes = b""
) -> AsyncIterator[tuple[ResponseStream, Request]]:
    """Start a streamed response, up to its prelude."""
    stream = client.stream(INVOCATION)
    await stream.start(PRELUDE, first)
    request = await api.request(RESPONSE)
    assert await request.piece() == PRELUDE_BYTES
    try:
        yield stream, request
    finally:
        stream.close()
        await request.closed()


async def finish(stream: ResponseStream, request: Request, status: int = 202) -> None:
    async with asyncio.timeout(DEADLINE):
        ending = asyncio.create_task(stream.finish())
        assert await request.body() == b""
        request.answer(status, b"as the API says")
        await ending


async def test_a_streamed_response_has_the_headers_of_one(
    api: RuntimeApi, client: RuntimeClient
) -> None:
    async with open_stream(api, client) as (stream, request):
        assert request.headers["lambda-runtime-function-response-mode"] == "streaming"
        assert request.headers["transfer-encoding"] == "chunked"
        assert request.headers["lambda-runtime-invocation-id"] == "i-1"
        assert request.headers["content-type"] == HTTP_INTEGRATION_RESPONSE
        await finish(stream, request)


async def test_the_prelude_is_sent_with_the_first_bytes(
    api: RuntimeApi, client: RuntimeClient
) -> None:
    async with open_stream(api, client, b"first") as (stream, request):
        assert await request.piece() == b"first"
        await finish(stream, request)
        assert stream.state is StreamState.DONE


async def test_every_piece_arrives_before_the_next_is_written(
    api: RuntimeApi, client: RuntimeClient
) -> None:
    """One write is one chunk, which is sent at once."""
    async with open_stream(api, client) as (stream, request):
        for seq in range(50):
            await stream.write(b"data: %d\n\n" % seq)
            assert await request.piece() == b"data: %d\n\n" % seq

        await finish(stream, request)


async def test_an_empty_piece_does_not_end_the_response(
    api: RuntimeApi, client: RuntimeClient
) -> None:
    async with open_stream(api, client) as (stream, request):
        await stream.write(b"")
        await stream.write(b"more")

        assert await request.piece() == b"more"
        await finish(stream, request)


async def test_every_streamed_response_has_a_connection_of_its_own(
    api: RuntimeApi, client: RuntimeClient
) -> None:
    """Lambda requires that it is closed afterwards."""
    peers = set()
    for _ in range(2):
        async with open_stream(api, client) as (stream, request):
            await finish(stream, request)
            stream.close()
            assert await request.closed()
            peers.add(request.peer)

    assert len(peers) == 2


async def test_small_pieces_are_not_held_back_by_the_socket(
    api: RuntimeApi, client: RuntimeClient
) -> None:
    async with open_stream(api, client) as (stream, request):
        assert stream._writer is not None
        connection = stream._writer.get_extra_info("socket")
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
        await finish(stream, request)


async def test_a_slow_reader_makes_the_writer_wait(api: RuntimeApi, client: RuntimeClient) -> None:
    """No buffer between the application and the network is unbounded."""
    async with open_stream(api, client) as (stream, request):
        request.pause()

        writing = asyncio.create_task(stream.write(MORE_THAN_SOCKETS_HOLD))
        done, _ = await asyncio.wait([writing], timeout=0.1)
        assert not done

        request.resume()
        async with asyncio.timeout(DEADLINE):
            await writing


async def test_a_failure_is_reported_in_trailers(api: RuntimeApi, client: RuntimeClient) -> None:
    async with open_stream(api, client, b"first") as (stream, request):
        ending = asyncio.create_task(stream.fail(Error("ValueError", "no")))
        assert await request.body() == b"first"
        request.answer(202)
        await ending

        assert request.trailers["lambda-runtime-function-error-type"] == "Function.ValueError"
        assert "lambda-runtime-function-error-body" in request.trailers
        assert stream.state is StreamState.FAILED


async def test_a_prelude_that_is_too_large_leaves_the_invocation_unanswered(
    api: RuntimeApi, client: RuntimeClient
) -> None:
    stream = client.stream(INVOCATION)

    with pytest.raises(PreludeTooLarge):
        await stream.start(Prelude(200, [("x", "x" * 20_000)]), b"first")

    assert stream.state is StreamState.IDLE
    stream.close()
    error = client.respond_error(INVOCATION, Error("PreludeTooLarge", ""))
    await call_and_answer(error, api, f"POST {API}/invocation/r-1/error", 202)


async def write_on(stream: ResponseStream) -> None:
    """Write until the response breaks, and let other tasks run in between."""
    async with asyncio.timeout(DEADLINE):
        while True:
            await stream.write(b"more")
            await asyncio.sleep(0)


@pytest.mark.parametrize("status", [400, 410, 413, 500])
async def test_an_early_answer_of_the_api_breaks_the_response(
    api: RuntimeApi, client: RuntimeClient, status: int
) -> None:
    """Writing raises the OSError that ASGI requires, with the API's answer."""
    async with open_stream(api, client) as (stream, request):
        request.answer(status, b"too late")

        with pytest.raises(ResponseBroken, match=f"answered {status}: too late") as broken:
            await write_on(stream)

        assert isinstance(broken.value, OSError)


async def test_a_lost_connection_breaks_the_response_for_good(
    api: RuntimeApi, client: RuntimeClient
) -> None:
    async with open_stream(api, client) as (stream, request):
        request.abort()

        with pytest.raises(ResponseBroken):
            await write_on(stream)
        with pytest.raises(ResponseBroken):
            await stream.finish()


async def test_a_lost_connection_ends_a_write_that_waits(
    api: RuntimeApi, client: RuntimeClient
) -> None:
    async with open_stream(api, client) as (stream, request):
        request.pause()

        writing = asyncio.create_task(stream.write(MORE_THAN_SOCKETS_HOLD))
        await asyncio.wait([writing], timeout=0.1)
        request.abort()

        with pytest.raises(ResponseBroken):
            await asyncio.wait_for(writing, DEADLINE)


async def test_an_unreachable_api_breaks_the_response_before_its_start() -> None:
    with refusing_port() as port:
        stream = RuntimeClient(f"127.0.0.1:{port}").stream(INVOCATION)

        with pytest.raises(ResponseBroken, match="cannot connect"):
            await stream.start(PRELUDE, b"")

    assert stream.state is StreamState.IDLE
    stream.close()


@pytest.mark.parametrize("status", [400, 410, 413])
async def test_a_complete_response_may_be_too_late(
    api: RuntimeApi, client: RuntimeClient, status: int
) -> None:
    async with open_stream(api, client) as (stream, request):
        with pytest.raises(InvocationOver, match=f"answered {status}: as the API says"):
            await finish(stream, request, status)


async def test_a_response_that_is_never_acknowledged_is_broken(
    api: RuntimeApi, client: RuntimeClient
) -> None:
    async with open_stream(api, client) as (stream, request):
        ending = asyncio.create_task(stream.finish())
        await request.body()
        request.close()

        with pytest.raises(ResponseBroken, match="not acknowledged"):
            await ending


async def test_closing_a_response_half_way_leaves_it_without_an_end(
    api: RuntimeApi, client: RuntimeClient
) -> None:
    """Lambda receives a truncated response, and so does the client."""
    async with open_stream(api, client) as (stream, request):
        stream.close()

        with pytest.raises(h11.RemoteProtocolError, match="without sending complete message body"):
            await request.piece()


async def test_closing_lets_nothing_wait_for_a_reader_that_does_not_read(
    api: RuntimeApi, client: RuntimeClient
) -> None:
    """This also holds after the end, else the connection and its buffer would stay."""
    async with open_stream(api, client) as (stream, request):
        request.pause()
        for blocked in (stream.write(MORE_THAN_SOCKETS_HOLD), stream.finish()):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(blocked, 0.1)
        assert stream.state is StreamState.DONE

        stream.close()
        request.resume()

        with pytest.raises((ConnectionError, h11.RemoteProtocolError)):
            await request.body()


async def test_an_acknowledgement_can_be_awaited_again_after_a_timeout(
    api: RuntimeApi, client: RuntimeClient
) -> None:
    async with open_stream(api, client) as (stream, request):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(stream.finish(), 0.1)

        request.answer(202)

        await asyncio.wait_for(stream._acknowledged(), DEADLINE)
