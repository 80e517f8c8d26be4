"""A runtime client whose behaviour depends on the path of the request.

It uses http.client and sockets, so that the tests of the emulator share no code with the runtime
that it will run. It calls the test's gate where a test must know that a point is reached, or must
decide when to proceed.
"""

import base64
import http.client
import json
import os
import socket
import sys
import threading
from typing import Any

API = os.environ["AWS_LAMBDA_RUNTIME_API"]
INVOCATION = "/2018-06-01/runtime/invocation"
INTEGRATION = "application/vnd.awslambda.http-integration-response"
PRELUDE = json.dumps({"statusCode": 200, "headers": {"content-type": "text/plain"}}).encode()
HTML_PRELUDE = json.dumps(
    {"statusCode": 200, "headers": {"content-type": "text/html", "content-length": "26"}}
).encode()


def gate(word: str) -> None:
    """Report a point to the test, and wait until the test lets this process proceed."""
    host, port = os.environ["GATE"].split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(f"{word}\n".encode())
        connection.recv(1)


def post(path: str, body: object, **headers: str) -> int:
    connection = http.client.HTTPConnection(API)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("POST", path, json.dumps(body), named)
    return connection.getresponse().status


class Stream:
    """A streamed answer, written chunk by chunk."""

    def __init__(self, request_id: str, content_type: str = INTEGRATION) -> None:
        host, port = API.split(":")
        self.socket = socket.create_connection((host, int(port)))
        head = (
            f"POST {INVOCATION}/{request_id}/response HTTP/1.1",
            f"Host: {API}",
            f"Content-Type: {content_type}",
            "Transfer-Encoding: chunked",
            "Lambda-Runtime-Function-Response-Mode: streaming",
            "Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body",
        )
        self.socket.sendall("\r\n".join((*head, "", "")).encode())

    def write(self, data: bytes) -> None:
        self.socket.sendall(b"%x\r\n%b\r\n" % (len(data), data))

    def end(self, trailers: str = "") -> str:
        self.socket.sendall(f"0\r\n{trailers}\r\n".encode())
        return self.socket.recv(65536).split(b" ")[1].decode()


def begin(request_id: str) -> Stream:
    stream = Stream(request_id)
    stream.write(PRELUDE + bytes(8))
    stream.write(b"one ")
    return stream


def answer(event: dict[str, Any], request_id: str, headers: dict[str, str]) -> None:  # noqa: C901, PLR0912, PLR0915
    target = f"{INVOCATION}/{request_id}/response"
    match event["rawPath"].strip("/"):
        case "echo":
            post(target, {"statusCode": 200, "body": json.dumps(event)})
        case "environment":
            post(target, dict(os.environ))
        case "headers":
            post(target, headers)
        case "pid":
            post(target, os.getpid())
        case "json" | "" if "body" in event:
            post(target, json.loads(event["body"]))
        case "":
            stream = Stream(request_id)
            stream.write(HTML_PRELUDE + bytes(8) + b"<head></he")
            gate("one")
            stream.write(b"ad><head>")
            gate("two")
            stream.write(b"</head>")
            stream.end()
        case "linger":
            post(target, os.getpid())
            gate("lingering")
        case "stream":
            stream = begin(request_id)
            gate("one")
            stream.write(b"two ")
            gate("two")
            stream.end()
        case "split":
            stream = Stream(request_id)
            whole = PRELUDE + bytes(8) + b"body"
            for position in range(len(whole)):
                stream.write(whole[position : position + 1])
            stream.end()
        case "empty":
            stream = Stream(request_id)
            stream.write(b'{"statusCode": 204}' + bytes(8))
            stream.end()
        case "raw":
            stream = Stream(request_id, "text/csv")
            stream.write(b"a,b")
            stream.end()
        case "endless-prelude":
            stream = Stream(request_id)
            stream.write(b" " * 20_000)
            gate(f"status {stream.end()}")
        case "fail":
            error = {"errorType": "ValueError", "errorMessage": "no", "stackTrace": []}
            named = {"Lambda_Runtime_Function_Error_Type": "Function.ValueError"}
            post(f"{INVOCATION}/{request_id}/error", error, **named)
        case "fail-late":
            body = base64.b64encode(b'{"errorType": "ValueError", "errorMessage": "late"}').decode()
            begin(request_id).end(
                "Lambda-Runtime-Function-Error-Type: Function.ValueError\r\n"
                f"Lambda-Runtime-Function-Error-Body: {body}\r\n"
            )
        case "truncate":
            stream = begin(request_id)
            gate("one")
            stream.socket.close()
            gate("truncated")
        case "exit":
            os._exit(3)
        case "exit-late":
            stream = begin(request_id)
            gate("one")
            os._exit(3)
        case "last-words":
            stream = begin(request_id)
            stream.socket.sendall(b"3\r\ntwo\r\n0\r\n\r\n")
            os._exit(0)
        case "hang":
            gate("hanging")
        case "misuse":
            statuses = [
                post(f"{INVOCATION}/unknown/response", 1),
                post(target, 1, Lambda_Runtime_Invocation_Id="another-attempt"),
                post(target, 1, Lambda_Runtime_Function_Response_Mode="unknown"),
                next_invocation(http.client.HTTPConnection(API))[0],
                post(target, 1, Lambda_Runtime_Invocation_Id=headers["Invocation-Id"]),
                post(target, 1),
                post("/2018-06-01/runtime/init/error", {}),
                post("/2018-06-01/nowhere", {}),
            ]
            gate(f"statuses {statuses}")
        case "late":
            gate("hanging")
            gate(f"status {post(target, 'late')}")
        case unknown:
            raise ValueError(unknown)


def next_invocation(connection: http.client.HTTPConnection) -> tuple[int, dict[str, str], bytes]:
    connection.request("GET", f"{INVOCATION}/next")
    response = connection.getresponse()
    headers = {name.removeprefix("Lambda-Runtime-"): value for name, value in response.getheaders()}
    return response.status, headers, response.read()


def work() -> None:
    connection = http.client.HTTPConnection(API)
    while True:
        status, headers, body = next_invocation(connection)
        if status != 200:
            sys.exit(status)
        answer(json.loads(body), headers["Aws-Request-Id"], headers)


def main() -> None:
    print("runtime starts", flush=True)  # noqa: T201
    match os.environ.get("INIT"):
        case "exit":
            sys.exit(4)
        case "error":
            error = {"errorType": "ImportError", "errorMessage": "no module"}
            named = {"Lambda_Runtime_Function_Error_Type": "Runtime.ImportModuleError"}
            post("/2018-06-01/runtime/init/error", error, **named)
            gate("reported")
        case "hang":
            gate("initialising")
        case _:
            pass
    others = int(os.environ.get("AWS_LAMBDA_MAX_CONCURRENCY", "1")) - 1
    for _ in range(others):
        threading.Thread(target=work, daemon=True).start()
    work()


main()
