"""An invocation as the Runtime API delivers it, and the handler's context made from it."""

import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from lambda_stream.exceptions import ContextUnmarshalError, UnmarshalError


@dataclass(frozen=True, slots=True)
class Invocation:
    """One response of `GET /runtime/invocation/next`.

    `deadline_ms` is Unix time in milliseconds. If Lambda sends an `invocation_id`, the response
    must echo it: so a late response cannot reach a later invocation with the same request id.
    Header names: AWS docs, runtimes-api, and awslambdaric 4.2.
    """

    request_id: str
    deadline_ms: int
    body: bytes
    content_type: str = "application/json"
    function_arn: str = ""
    invocation_id: str | None = None
    trace_id: str | None = None
    client_context: str | None = None
    cognito_identity: str | None = None
    tenant_id: str | None = None

    @classmethod
    def from_response(cls, headers: Mapping[str, str], body: bytes) -> Self:
        """Read the invocation from the headers (names in lower case) and body of `/next`."""
        return cls(
            request_id=headers["lambda-runtime-aws-request-id"],
            deadline_ms=int(headers.get("lambda-runtime-deadline-ms", 0)),
            body=body,
            content_type=headers.get("content-type", "application/json"),
            function_arn=headers.get("lambda-runtime-invoked-function-arn", ""),
            invocation_id=headers.get("lambda-runtime-invocation-id"),
            trace_id=headers.get("lambda-runtime-trace-id"),
            client_context=headers.get("lambda-runtime-client-context"),
            cognito_identity=headers.get("lambda-runtime-cognito-identity"),
            tenant_id=headers.get("lambda-runtime-aws-tenant-id"),
        )

    def event(self) -> Any:
        """Decode the payload as the stock runtime does: JSON, or bytes if it is not JSON.

        Raises UnmarshalError.
        """
        if not self.content_type.startswith("application/json"):
            return self.body
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise UnmarshalError(f"Unable to unmarshal input: {error}") from error


@dataclass(frozen=True, slots=True)
class CognitoIdentity:
    """The caller's identity, for a caller that signed in through Amazon Cognito."""

    cognito_identity_id: str | None = None
    cognito_identity_pool_id: str | None = None


@dataclass(frozen=True, slots=True)
class Client:
    """The mobile application of a client context."""

    installation_id: str | None = None
    app_title: str | None = None
    app_version_name: str | None = None
    app_version_code: str | None = None
    app_package_name: str | None = None


@dataclass(frozen=True, slots=True)
class ClientContext:
    """The `ClientContext` that a caller passed to Invoke."""

    custom: Mapping[str, Any] | None = None
    env: Mapping[str, Any] | None = None
    client: Client | None = None

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Self:
        """Make it from decoded JSON; unknown members are ignored."""
        client = value.get("client")
        if client is not None:
            client = Client(**{name: client.get(name) for name in Client.__slots__})
        return cls(value.get("custom"), value.get("env"), client)


@dataclass(frozen=True, slots=True)
class LambdaContext:
    """The `context` of a handler, with every attribute of the stock runtime's.

    Source: AWS docs, python-context, and awslambdaric 4.2 `lambda_context.py`, where the memory
    size is a string too.
    """

    aws_request_id: str
    invoked_function_arn: str
    deadline_ms: int
    function_name: str = field(default_factory=lambda: _env("AWS_LAMBDA_FUNCTION_NAME"))
    function_version: str = field(default_factory=lambda: _env("AWS_LAMBDA_FUNCTION_VERSION"))
    memory_limit_in_mb: str = field(default_factory=lambda: _env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"))
    log_group_name: str = field(default_factory=lambda: _env("AWS_LAMBDA_LOG_GROUP_NAME"))
    log_stream_name: str = field(default_factory=lambda: _env("AWS_LAMBDA_LOG_STREAM_NAME"))
    identity: CognitoIdentity = field(default_factory=CognitoIdentity)
    client_context: ClientContext | None = None
    tenant_id: str | None = None
    trace_context: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, invocation: Invocation) -> Self:
        """Make the context of an invocation; raises ContextUnmarshalError."""
        identity = _json_object(invocation.cognito_identity, "Cognito Identity") or {}
        client_context = _json_object(invocation.client_context, "Client Context")
        return cls(
            aws_request_id=invocation.request_id,
            invoked_function_arn=invocation.function_arn,
            deadline_ms=invocation.deadline_ms,
            identity=CognitoIdentity(
                identity.get("cognitoIdentityId"), identity.get("cognitoIdentityPoolId")
            ),
            client_context=None if client_context is None else ClientContext.of(client_context),
            tenant_id=invocation.tenant_id,
            trace_context=_trace_context(client_context or {}),
        )

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda ends this invocation, never negative."""
        return max(0, self.deadline_ms - int(time.time() * 1000))

    def w3c(self) -> dict[str, str]:
        """Return the caller's W3C trace context: traceparent, tracestate, baggage."""
        return dict(self.trace_context)

    def log(self, message: object) -> None:
        """Write a message to the function's log, without adding a line end."""
        sys.stdout.write(str(message))
        sys.stdout.flush()


def _env(name: str) -> str:
    return os.environ.get(name, "")


def _trace_context(client_context: Mapping[str, Any]) -> dict[str, str]:
    fields = client_context.get("w3c")
    if not isinstance(fields, dict):
        return {}
    known = ("traceparent", "tracestate", "baggage")
    return {name: fields[name] for name in known if isinstance(fields.get(name), str)}


def _json_object(header: str | None, name: str) -> dict[str, Any] | None:
    if not header:
        return None
    try:
        value = json.loads(header)
    except ValueError as error:
        raise ContextUnmarshalError(f"Unable to parse {name} JSON: {error}") from error
    if not isinstance(value, dict):
        raise ContextUnmarshalError(f"Unable to parse {name} JSON: not an object")
    return value
