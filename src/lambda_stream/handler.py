"""The function's handler: its two kinds, how it is found, and how its result is encoded."""

import decimal
import importlib
import json
import math
import sys
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from lambda_stream.exceptions import InitError, MarshalError
from lambda_stream.invocation import LambdaContext
from lambda_stream.protocol import Prelude

FunctionHandler = Callable[[Any, LambdaContext], Any]


class ResponseSink(Protocol):
    """The receiver of a streamed response. Writing raises OSError once the connection is lost."""

    async def start(self, prelude: Prelude, first: bytes) -> None: ...

    async def write(self, data: bytes) -> None: ...

    async def finish(self) -> None: ...


@runtime_checkable
class StreamingHandler(Protocol):
    """A handler that can stream, such as `Adapter`.

    `prepare` runs once after the import: it may make what all sandboxes can share, because Lambda
    may copy them from a snapshot that it takes then. `startup` runs once in each sandbox before its
    first invocation, `shutdown` once before its process ends.
    """

    def prepare(self) -> None: ...

    async def startup(self) -> None: ...

    async def shutdown(self) -> None: ...

    def streams(self, event: Any) -> bool:
        """Return True if the source of this event accepts a streamed response."""
        ...

    async def stream(self, event: Any, context: LambdaContext, response: ResponseSink) -> None: ...

    async def respond(self, event: Any, context: LambdaContext) -> Any:
        """Return the response as one value, for a source that cannot stream."""
        ...


def resolve(name: str) -> StreamingHandler | FunctionHandler:
    """Import the handler that `_HANDLER` names as `module.attribute`; raises InitError.

    Error types and texts are those of the stock runtime (awslambdaric `bootstrap._get_handler`).
    """
    module_name, _, attribute = name.rpartition(".")
    if not module_name:
        raise InitError("Runtime.MalformedHandlerName", f"Bad handler '{name}': no module in it")
    if module_name.partition(".")[0] in sys.builtin_module_names:
        raise InitError(
            "Runtime.BuiltInModuleConflict",
            f"Cannot use built-in module {module_name} as a handler module",
        )
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as error:
        raise InitError(
            "Runtime.ImportModuleError", f"Unable to import module '{module_name}': {error}"
        ) from error
    except SyntaxError as error:
        raise InitError(
            "Runtime.UserCodeSyntaxError", f"Syntax error in module '{module_name}': {error}"
        ) from error
    handler: StreamingHandler | FunctionHandler | None = getattr(module, attribute, None)
    if handler is None:
        raise InitError(
            "Runtime.HandlerNotFound", f"Handler '{attribute}' missing on module '{module_name}'"
        )
    return handler


def marshal(result: Any) -> tuple[bytes, str]:
    """Encode a plain handler's result as the stock runtime does; raises MarshalError.

    The second item is the content type (awslambdaric `lambda_runtime_marshaller`). Two results
    differ, since `json` cannot write raw numbers: a Decimal becomes the nearest int or float, and
    a named tuple becomes an array.
    """
    if isinstance(result, bytes):
        return result, "application/unknown"
    try:
        return json.dumps(result, ensure_ascii=False, default=_plain).encode(), "application/json"
    except (TypeError, ValueError, RecursionError) as error:
        raise MarshalError(f"Unable to marshal response: {error}") from error


def _plain(value: object) -> int | float | str:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, decimal.Decimal):
        if value.is_nan():
            return math.nan
        is_whole = value.is_finite() and value == value.to_integral_value()
        return int(value) if is_whole else float(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")
