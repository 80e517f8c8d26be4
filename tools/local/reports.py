"""The lines that Lambda itself writes to the function's log."""

import math
import signal

TIMEOUT = "Sandbox.Timedout"


def report(
    request_id: str,
    seconds: float,
    memory: int,
    peak_memory: int | None,
    init_seconds: float | None,
    *,
    restored: bool,
) -> str:
    """Return an invocation's REPORT line; the sandbox's first has `init_seconds`."""
    fields = [
        f"REPORT RequestId: {request_id}",
        f"Duration: {_ms(seconds)}",
        f"Billed Duration: {math.ceil((seconds + (init_seconds or 0.0)) * 1000)} ms",
        f"Memory Size: {memory} MB",
    ]
    if peak_memory is not None:
        fields.append(f"Max Memory Used: {peak_memory} MB")
    if init_seconds is not None:
        fields.append(f"{_phase(restored=restored)} Duration: {_ms(init_seconds)}")
    return "\t".join(fields)


def init_report(seconds: float, failure: str, *, restored: bool) -> str:
    """Return the line that reports a failed initialisation, or a failed restore."""
    phase = _phase(restored=restored)
    name, duration = phase.upper(), _ms(seconds)
    return f"{name}_REPORT {phase} Duration: {duration}\tPhase: {phase.lower()}{status(failure)}"


def status(failure: str | None) -> str:
    """Return the end of a report: empty, unless there was a failure."""
    if failure is None:
        return ""
    return "\tStatus: timeout" if failure == TIMEOUT else f"\tStatus: error\tError Type: {failure}"


def exit_reason(returncode: int) -> str:
    """Return the reason for a process's end, as Lambda words it."""
    if returncode < 0:
        return f"signal: {signal.strsignal(-returncode)}".lower()
    return f"exit status {returncode}"


def _phase(*, restored: bool) -> str:
    return "Restore" if restored else "Init"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.2f} ms"
