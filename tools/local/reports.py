"""The lines that Lambda itself writes into a function's log."""

import math
import signal

TIMEOUT = "Sandbox.Timedout"


def report(
    request_id: str,
    seconds: float,
    memory: int,
    peak_memory: int | None,
    init_seconds: float | None,
) -> str:
    """What an invocation took; `init_seconds` for a sandbox's first."""
    fields = [
        f"REPORT RequestId: {request_id}",
        f"Duration: {_ms(seconds)}",
        f"Billed Duration: {math.ceil((seconds + (init_seconds or 0.0)) * 1000)} ms",
        f"Memory Size: {memory} MB",
    ]
    if peak_memory is not None:
        fields.append(f"Max Memory Used: {peak_memory} MB")
    if init_seconds is not None:
        fields.append(f"Init Duration: {_ms(init_seconds)}")
    return "\t".join(fields)


def init_report(seconds: float, failure: str) -> str:
    """What a failed initialisation took."""
    return f"INIT_REPORT Init Duration: {_ms(seconds)}\tPhase: init{status(failure)}"


def status(failure: str | None) -> str:
    """How a report ends: with nothing, if nothing failed."""
    if failure is None:
        return ""
    return "\tStatus: timeout" if failure == TIMEOUT else f"\tStatus: error\tError Type: {failure}"


def exit_reason(returncode: int) -> str:
    """How a process ended, in the words of Lambda's log."""
    if returncode < 0:
        return f"signal: {signal.strsignal(-returncode)}".lower()
    return f"exit status {returncode}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.2f} ms"
