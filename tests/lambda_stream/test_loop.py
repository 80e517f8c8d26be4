"""The runtime as a process: `src/bootstrap` against a Runtime API that the test controls.

Where the stock runtime has the same feature, the test compares the answers of both.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import h11
import pytest

from tests.lambda_stream.runtime_api import (
    INIT_ERROR,
    NEXT,
    Request,
    RuntimeApi,
    runtime_api,
)
from tests.lambda_stream.sandbox import Sandbox, ours, stock

pytestmark = pytest.mark.anyio

Start = Callable[..., AbstractAsyncContextManager[Sandbox]]

PRELUDE = b'{"statusCode": 200, "headers": {"content-type": "text/plain"}}' + b"\0" * 8


def read(path: str) -> dict[str, Any]:
    """Return a function URL's event for a GET of this path."""
    events = Path(__file__).parents[2] / "events"
    event: dict[str, Any] = json.loads((events / "function-url-read.json").read_text())
    event["rawPath"] = event["requestContext"]["http"]["path"] = path
    return event


def error_of(answer: Request, body: bytes) -> dict[str, Any]:
    """Return the report of a failure, without the markers under its lines of code."""
    assert answer.line.endswith("/error")
    error: dict[str, Any] = json.loads(body)
    error["stackTrace"] = [re.sub(r" *[~^]+\n", "", frame) for frame in error["stackTrace"]]
    return error


# Plain functions

ACTIONS = ["text", "nothing", "bytes", "bytes inside", "no numbers", "an object", "a set inside"]
ACTIONS += ["bytes that are no text", "decimals", "ValueError", "KeyError", "Größenfehler"]
ACTIONS += ["AssertionError", "describe context"]
HEADERS = {
    "Lambda-Runtime-Trace-Id": "Root=1-6b02b619-1d2e3f405162738495a6b7c1;Sampled=0",
    "Lambda-Runtime-Cognito-Identity": '{"cognitoIdentityId": "i", "cognitoIdentityPoolId": "p"}',
    "Lambda-Runtime-Client-Context": json.dumps(
        {
            "custom": {"name": "é"},
            "env": {"locale": "fr"},
            "client": {"installation_id": "1", "app_title": "app", "other": 1},
            "services": {},
            "w3c": {"traceparent": "00-1-2-01", "tracestate": 3, "other": "x"},
        },
        ensure_ascii=False,
    ),
    "Lambda-Runtime-Aws-Tenant-Id": "blue",
}


async def results_of(start: Start) -> dict[str, object]:
    """Collect the results of everything that a plain function can do."""
    results: dict[str, object] = {}
    async with runtime_api() as api, start(api, "functions.plain"):
        for action in ACTIONS:
            results[action] = comparable(*await api.invoke({"do": action}, headers=HEADERS))
        plain = {"Content-Type": "text/plain"}
        results["an event that is not JSON"] = comparable(*await api.invoke(b"x", headers=plain))
        for text in ("{}", '{"client": {}}', '{"client": null, "w3c": []}'):
            headers = {"Lambda-Runtime-Client-Context": text}
            answer = await api.invoke({"do": "describe context"}, headers=headers)
            results[text] = comparable(*answer)
        for headers in ({"Lambda-Runtime-Trace-Id": "Root=1"}, {}):
            results[f"trace {headers}"] = comparable(
                *await api.invoke({"do": "trace"}, headers=headers)
            )
    return results


def comparable(answer: Request, body: bytes) -> object:
    content_type = answer.headers["content-type"]
    if answer.line.endswith("/error"):
        cause = json.loads(answer.headers["lambda-runtime-function-xray-error-cause"])
        cause["paths"].sort()
        if not cause["exceptions"][0]["stack"]:  # The runtime's own error, not the function's.
            cause["exceptions"][0]["type"] = "LambdaValidationError"
        return content_type, error_of(answer, body), cause
    if content_type != "application/json":
        return content_type, body
    return content_type, json.loads(body, parse_constant=str)


async def test_a_plain_function_gets_the_answers_of_the_stock_runtime() -> None:
    expected, got = await asyncio.gather(results_of(stock), results_of(ours))

    assert got == expected


UNDECODABLE = [
    (b"{", {}, "Runtime.UnmarshalError", "Unable to unmarshal input: "),
    (
        b"{}",
        {"Lambda-Runtime-Client-Context": "{"},
        "Runtime.LambdaContextUnmarshalError",
        "Unable to parse Client Context JSON: ",
    ),
    (
        b"{}",
        {"Lambda-Runtime-Cognito-Identity": "[]"},
        "Runtime.LambdaContextUnmarshalError",
        "Unable to parse Cognito Identity JSON: not an object",
    ),
]


async def test_an_invocation_that_cannot_be_decoded_fails(api: RuntimeApi) -> None:
    async with ours(api, "functions.plain"):
        for event, headers, error_type, message in UNDECODABLE:
            error = error_of(*await api.invoke(event, headers=headers))

            assert error["errorType"] == error_type
            assert error["errorMessage"].startswith(message)
            assert error["stackTrace"] == []


async def test_a_coroutine_function_runs_in_the_event_loop(api: RuntimeApi) -> None:
    async with ours(api, "functions.coroutine"):
        _, body = await api.invoke("é")

    assert json.loads(body)["event"] == "é"


async def test_a_cancellation_that_a_handler_raises_fails_only_its_invocation(
    api: RuntimeApi,
) -> None:
    async with ours(api, "functions.coroutine"):
        _, before = await api.invoke("one")
        error = error_of(*await api.invoke("be cancelled"))
        _, after = await api.invoke("two")

    assert error["errorType"] == "CancelledError"
    assert json.loads(after)["pid"] == json.loads(before)["pid"]


async def test_mangum_itself_can_be_the_handler(api: RuntimeApi) -> None:
    """Mangum needs an event loop in its thread, which it runs itself."""
    async with ours(api, "functions.mangum"):
        _, body = await api.invoke(read("/startups"))

    assert json.loads(body)["statusCode"] == 200
    assert json.loads(body)["body"].startswith("0 ")


async def test_a_handler_that_exits_ends_the_process_as_with_the_stock_runtime(
    api: RuntimeApi,
) -> None:
    for start in (stock, ours):
        async with start(api, "functions.plain") as sandbox:
            await api.hand_out({"do": "exit"})
            code, _ = await sandbox.ended()
        assert code == 7


async def test_printed_lines_are_not_buffered(api: RuntimeApi) -> None:
    """A sandbox may be frozen or killed before it prints again."""
    async with ours(api, "functions.plain") as sandbox:
        await api.invoke({"do": "print"})
        assert await sandbox.line() == "printed\n"


# Initialisation

MODULES = {
    "syntax.py": "def handler(:\n",
    "empty.py": "",
    "divides.py": "1 / 0\n",
    "imports.py": "import not_to_be_found\n",
    "lifespan.py": (
        "from lambda_stream import Adapter\n"
        "async def app(scope, receive, send):\n"
        "    await receive()\n"
        "    await send({'type': 'lifespan.startup.failed', 'message': 'no database'})\n"
        "handler = Adapter(app)\n"
    ),
}
BROKEN = [
    ("missing.handler", "Runtime.ImportModuleError", "Unable to import module 'missing': "),
    ("imports.handler", "Runtime.ImportModuleError", "Unable to import module 'imports': "),
    ("a/b.handler", "Runtime.ImportModuleError", "Unable to import module 'a/b': "),
    ("syntax.handler", "Runtime.UserCodeSyntaxError", "Syntax error in module 'syntax': "),
    ("empty.handler", "Runtime.HandlerNotFound", "Handler 'handler' missing on module 'empty'"),
    ("sys.exit", "Runtime.BuiltInModuleConflict", "Cannot use built-in module sys as a handler"),
    ("nodot", "Runtime.MalformedHandlerName", "Bad handler 'nodot': "),
    ("divides.handler", "ZeroDivisionError", "division by zero"),
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, source in MODULES.items():
        (tmp_path / name).write_text(source)
    return tmp_path


async def init_error(start: Start, root: Path, handler: str) -> tuple[dict[str, Any], str, int]:
    async with runtime_api() as api, start(api, handler, root) as sandbox:
        request = await api.request(INIT_ERROR)
        body = await request.body()
        request.answer(202)
        code, _ = await sandbox.ended()
        assert api.waiting == []
    error = error_of(request, body)
    return error, request.headers["lambda-runtime-function-error-type"], code


@pytest.mark.parametrize(("handler", "error_type", "message"), BROKEN)
async def test_a_function_that_cannot_be_loaded_says_why_and_exits(
    root: Path, handler: str, error_type: str, message: str
) -> None:
    """The report is the stock runtime's, except for details without a use."""
    (error, header, code), (expected, _, expected_code) = await asyncio.gather(
        init_error(ours, root, handler), init_error(stock, root, handler)
    )

    assert (error["errorType"], expected["errorType"]) == (error_type, error_type)
    assert error["errorMessage"].startswith(message)
    assert header == (error_type if "." in error_type else f"Function.{error_type}")
    assert (code, expected_code) == (1, 1)
    if error_type not in {"Runtime.MalformedHandlerName", "Runtime.UserCodeSyntaxError"}:
        assert error == expected


async def test_an_application_that_cannot_start_is_an_init_error(root: Path) -> None:
    error, header, code = await init_error(ours, root, "lifespan.handler")

    assert (error["errorType"], error["errorMessage"]) == ("Runtime.LifespanFailed", "no database")
    assert header == "Runtime.LifespanFailed"
    assert code == 1


async def test_an_init_error_that_is_refused_still_ends_the_process(
    api: RuntimeApi, root: Path
) -> None:
    async with ours(api, "divides.handler", root) as sandbox:
        (await api.request(INIT_ERROR)).answer(403, b"another worker was first")
        code, output = await sandbox.ended()

    assert code == 1
    assert "ZeroDivisionError: division by zero" in output
    assert "could not be reported: /init/error was answered 403" in output


# Streaming


async def open_stream(api: RuntimeApi, path: str, request_id: str = "request-1") -> Request:
    """Start a streamed response, up to its first bytes."""
    await api.hand_out(read(path), request_id)
    answer = await api.answer_to(request_id)
    assert await answer.piece() == PRELUDE
    assert await answer.piece() == b"begun"
    return answer


@pytest.fixture
async def sandbox(api: RuntimeApi) -> AsyncIterator[Sandbox]:
    async with ours(api, "functions.adapter") as sandbox:
        yield sandbox


async def startups(api: RuntimeApi, request_id: str) -> bytes:
    """Return the number of startups of the application and its process id."""
    _, body = await api.invoke(read("/startups"), request_id)
    return body.removeprefix(PRELUDE)


@pytest.mark.usefixtures("sandbox")
async def test_the_application_starts_once_for_all_invocations(api: RuntimeApi) -> None:
    reports = {await startups(api, f"request-{seq}") for seq in range(3)}

    assert len(reports) == 1
    assert reports.pop().startswith(b"1 ")


async def test_a_failure_before_the_first_byte_is_an_error(
    api: RuntimeApi, sandbox: Sandbox
) -> None:
    before = await startups(api, "request-0")
    answer, body = await api.invoke(read("/fails-early"))

    assert error_of(answer, body)["errorMessage"] == "on réquest"
    assert answer.headers["lambda-runtime-function-error-type"] == "Function.ValueError"
    assert error_of(answer, body)["stackTrace"][0].endswith(
        'in application\n    await PATHS[scope["path"]](Exchange(receive, send))\n'
    )
    assert await startups(api, "request-2") == before
    sandbox.terminate()
    _, output = await sandbox.ended()
    assert "[ERROR]" in output


@pytest.mark.usefixtures("sandbox")
async def test_a_failure_after_the_first_byte_is_reported_in_trailers(api: RuntimeApi) -> None:
    before = await startups(api, "request-0")
    answer, body = await api.invoke(read("/fails-late"))

    assert body == PRELUDE + b"begun"
    assert answer.trailers["lambda-runtime-function-error-type"] == "Function.ValueError"
    assert await startups(api, "request-2") == before


@pytest.mark.usefixtures("sandbox")
async def test_an_application_that_returns_early_fails_the_invocation(api: RuntimeApi) -> None:
    """Its response must not look complete."""
    answer, body = await api.invoke(read("/ends-early"))

    assert body == PRELUDE + b"begun"
    assert answer.trailers["lambda-runtime-function-error-type"] == "Function.UnexpectedMessage"


async def test_a_handler_without_a_response_fails_the_invocation(api: RuntimeApi) -> None:
    async with ours(api, "functions.forgetful"):
        error = error_of(*await api.invoke(read("/startups")))

    assert "returned before its response was complete" in error["errorMessage"]


async def test_a_failure_after_the_last_byte_is_only_logged(
    api: RuntimeApi, sandbox: Sandbox
) -> None:
    answer, body = await api.invoke(read("/fails-afterwards"))
    await api.request(NEXT)
    sandbox.terminate()
    _, output = await sandbox.ended()

    assert body.endswith(b"\0sorry")
    assert answer.trailers == {}
    assert "request-1\tthe application failed after its response was complete" in output
    assert "ValueError: on réquest" in output


@pytest.mark.usefixtures("sandbox")
async def test_an_event_that_is_not_http_gets_an_error_that_says_what_to_do(
    api: RuntimeApi,
) -> None:
    error = error_of(*await api.invoke({"detail": {}}))

    assert error["errorType"] == "UnsupportedEvent"
    assert "invoke the function through its URL" in error["errorMessage"]


async def test_under_sam_local_the_response_is_one_proxy_result(api: RuntimeApi) -> None:
    async with ours(api, "functions.adapter", AWS_SAM_LOCAL="true"):
        answer, body = await api.invoke(read("/startups"))

    assert answer.headers["content-type"] == "application/json"
    assert "lambda-runtime-function-response-mode" not in answer.headers
    assert json.loads(body)["headers"] == {"content-type": "text/plain"}


# Lost responses


async def test_a_refused_answer_is_logged_and_the_next_invocation_is_served(
    api: RuntimeApi, sandbox: Sandbox
) -> None:
    before = await startups(api, "request-0")
    for status in (400, 410, 413):
        await api.hand_out(read("/startups"), f"request-{status}")
        answer = await api.answer_to(f"request-{status}")
        await answer.body()
        answer.answer(status, b"InvokeTimeout")

    assert await startups(api, "request-1") == before
    await api.request(NEXT)
    sandbox.terminate()
    code, output = await sandbox.ended()
    assert code == 0
    for line, status in zip(output.splitlines()[:3], (400, 410, 413), strict=True):
        assert line.startswith("[WARNING]\t")
        assert line.endswith(
            f"\trequest-{status}\tthe response was lost: "
            f"/invocation/request-{status}/response was answered {status}: InvokeTimeout"
        )
    assert "Traceback" not in output


async def test_a_response_that_breaks_ends_only_its_own_request(
    api: RuntimeApi, sandbox: Sandbox
) -> None:
    before = await startups(api, "request-0")
    for request_id, cut in (("request-1", Request.abort), ("request-2", refuse)):
        cut(await open_stream(api, "/writes-for-ever", request_id))

    assert await startups(api, "request-3") == before
    await api.request(NEXT)
    sandbox.terminate()
    _, output = await sandbox.ended()
    assert "request-1\tthe response was lost: " in output
    assert "request-2\tthe response was lost: " in output
    assert "answered 410: InvokeTimeout" in output
    assert "Traceback" not in output


async def test_a_response_whose_application_returns_before_the_acknowledgement_is_lost(
    api: RuntimeApi, sandbox: Sandbox
) -> None:
    """It is unknown if it has arrived, but the application has broken no rule."""
    await api.hand_out(read("/gives-up-waiting"))
    answer = await api.answer_to()
    assert await answer.body() == PRELUDE + b"begun, ended"
    assert await answer.closed()

    await api.request(NEXT)
    sandbox.terminate()
    _, output = await sandbox.ended()
    assert "[WARNING]" in output
    assert "request-1\tthe response was lost: " in output
    assert "before its response was acknowledged" in output
    assert "Traceback" not in output


def refuse(answer: Request) -> None:
    answer.answer(410, b"InvokeTimeout")


async def test_a_refused_error_report_is_logged_and_the_next_invocation_is_served(
    api: RuntimeApi, sandbox: Sandbox
) -> None:
    before = await startups(api, "request-0")
    await api.hand_out(read("/fails-early"), "request-1")
    answer = await api.answer_to("request-1")
    await answer.body()
    refuse(answer)

    assert await startups(api, "request-2") == before
    await api.request(NEXT)
    sandbox.terminate()
    _, output = await sandbox.ended()
    assert "request-1\tthe error could not be reported: " in output


# The end


@pytest.mark.parametrize("status", [403, 500])
async def test_a_process_whose_poll_is_refused_fails(
    api: RuntimeApi, sandbox: Sandbox, status: int
) -> None:
    (await api.request(NEXT)).answer(status, b"no more")

    code, output = await sandbox.ended()
    assert code == 1
    assert f"the sandbox is over: /invocation/next was answered {status}: no more" in output
    assert "the lifespan is over" in output
    assert "Traceback" not in output


async def test_sigterm_while_idle_ends_the_lifespan_and_the_process(
    api: RuntimeApi, sandbox: Sandbox
) -> None:
    await api.request(NEXT)
    sandbox.terminate()

    assert await sandbox.ended() == (0, "the lifespan is over\n")


async def test_sigterm_lets_an_application_complete_its_stream(
    api: RuntimeApi, sandbox: Sandbox
) -> None:
    answer = await open_stream(api, "/until-shutdown")

    sandbox.terminate()

    assert await answer.body() == b", ended"
    answer.answer(202)
    assert await sandbox.ended() == (0, "the lifespan is over\n")
    assert api.waiting == []


async def test_sigterm_cuts_a_stream_that_does_not_end(api: RuntimeApi, sandbox: Sandbox) -> None:
    """Lambda kills the process after two seconds; the client gets a truncated response."""
    answer = await open_stream(api, "/for-ever")

    sandbox.terminate()

    with pytest.raises((h11.RemoteProtocolError, ConnectionError)):
        await answer.body()
    code, output = await sandbox.ended()
    assert code == 0
    assert "shut down with work unfinished after 2.0 s" in output


# Several invocations at once


@pytest.mark.parametrize(
    ("handler", "log_format"), [("functions.meets", "TEXT"), ("functions.meets_in_tasks", "JSON")]
)
async def test_one_process_serves_as_many_invocations_as_the_limit(
    api: RuntimeApi, handler: str, log_format: str
) -> None:
    """Each logs under its own request id, and none puts its trace id into the environment."""
    ids = [f"request-{seq}" for seq in range(8)]
    trace = {"Lambda-Runtime-Trace-Id": "Root=1"}

    async with ours(
        api, handler, AWS_LAMBDA_MAX_CONCURRENCY="8", AWS_LAMBDA_LOG_FORMAT=log_format
    ) as sandbox:
        for request_id in ids:
            await api.hand_out(request_id, request_id, trace)
        answers = [await accept(api, request_id) for request_id in ids]
        for _ in ids:
            await api.request(NEXT)
        sandbox.terminate()
        code, output = await sandbox.ended()

    assert [answer["event"] for answer in answers] == ids
    assert {answer["trace"] for answer in answers} == {None}
    assert len({answer["pid"] for answer in answers}) == 1
    lines = [parse_log_line(line, log_format) for line in output.splitlines()]
    assert sorted(lines) == sorted((i, f"{i} {verb}") for i in ids for verb in ("goes", "has come"))
    assert code == 0


async def test_one_process_streams_as_many_responses_as_the_limit(api: RuntimeApi) -> None:
    """Each has its own connection, and the shutdown reaches every one."""
    async with ours(api, "functions.adapter", AWS_LAMBDA_MAX_CONCURRENCY="8") as sandbox:
        answers = [await open_stream(api, "/until-shutdown", f"request-{seq}") for seq in range(8)]
        assert len({answer.peer for answer in answers}) == 8

        sandbox.terminate()
        for answer in answers:
            assert await answer.body() == b", ended"
            answer.answer(202)
        assert await sandbox.ended() == (0, "the lifespan is over\n")


async def accept(api: RuntimeApi, request_id: str) -> dict[str, Any]:
    answer = await api.answer_to(request_id)
    body: dict[str, Any] = json.loads(await answer.body())
    answer.answer(202)
    return body


def parse_log_line(line: str, log_format: str) -> tuple[str, str]:
    """Return the request id and the message of a line of the function's log."""
    if log_format == "JSON":
        entry = json.loads(line)
        return entry["requestId"], entry["message"]
    _, _, request_id, message = line.split("\t")
    return request_id, message


async def test_each_worker_has_at_most_one_poll(api: RuntimeApi) -> None:
    """Lambda refuses more polls than the limit of concurrent invocations."""
    async with ours(api, "functions.coroutine", AWS_LAMBDA_MAX_CONCURRENCY="8"):
        polls = [await api.request(NEXT) for _ in range(8)]
        polls[0].answer(403)  # Only the same worker polls again.
        await api.request(NEXT)
        assert api.waiting == []


async def test_one_of_several_workers_tries_a_refused_poll_five_times(api: RuntimeApi) -> None:
    async with ours(api, "functions.coroutine", AWS_LAMBDA_MAX_CONCURRENCY="2") as sandbox:
        await api.request(NEXT)
        for _ in range(5):
            (await api.request(NEXT)).answer(500, b"not now")
        code, output = await sandbox.ended()

    assert code == 1
    assert output.count("to get an invocation failed: ") == 4
    assert "the sandbox is over: /invocation/next was answered 500: not now" in output
