"""The lines that Lambda itself writes into a function's log."""

import math
import signal

TIMEOUT = "Sandbox.Timedout"


def start(request_id: str) -> str:
    """Say that an invocation is delivered."""
    return f"START RequestId: {request_id} Version: $LATEST"


def end(request_id: str) -> str:
    """Say that an invocation is over."""
    return f"END RequestId: {request_id}"


def timed_out(request_id: str, seconds: float) -> str:
    """Say that an invocation has met its deadline."""
    return f"{request_id} Task timed out after {seconds:.2f} seconds"


def report(
    request_id: str,
    *,
    seconds: float,
    init_seconds: float | None,
    memory: int,
    peak_memory: int | None,
    failure: str | None,
) -> str:
    """What an invocation took; `init_seconds` for a sandbox's first, `failure` if it failed."""
    fields = [
        f"REPORT RequestId: {request_id}",
        f"Duration: {seconds * 1000:.2f} ms",
        f"Billed Duration: {math.ceil((seconds + (init_seconds or 0)) * 1000)} ms",
        f"Memory Size: {memory} MB",
    ]
    if peak_memory is not None:
        fields.append(f"Max Memory Used: {peak_memory} MB")
    if init_seconds is not None:
        fields.append(f"Init Duration: {init_seconds * 1000:.2f} ms")
    if failure is not None:
        fields.append(_status(failure))
    return "\t".join(fields)


def init_report(seconds: float, failure: str) -> str:
    """What a failed initialisation took."""
    return f"INIT_REPORT Init Duration: {seconds * 1000:.2f} ms\tPhase: init\t{_status(failure)}"


def exit_reason(status: int) -> str:
    """How a process ended, in the words of Lambda's log."""
    if status < 0:
        return f"signal: {signal.strsignal(-status)}".lower()
    return f"exit status {status}"


def _status(failure: str) -> str:
    return "Status: timeout" if failure == TIMEOUT else f"Status: error\tError Type: {failure}"
