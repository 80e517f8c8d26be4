"""Runs a runtime up to its snapshot, and copies a sandbox from it for every restore.

This is the last hook before the snapshot. It forks, and returns in each copy. There the runtime
goes on as a restored sandbox does on Lambda:

* its memory is that of the snapshot, so whatever was drawn or read before is the same in all;
* its TCP connections are dead;
* its monotonic clock stood still, and the time of day did not.

A copy differs from a restored sandbox in these points: it has a process id of its own, and the
threads that ran at the snapshot have ended. The system's randomness is new in both. The clocks are
shifted as names of the module `time`; whoever has imported such a name before has the true clock.
"""

import asyncio
import json
import os
import random
import runpy
import selectors
import signal
import socket
import stat
import sys
import threading
import time
from contextlib import suppress
from typing import Any, NoReturn

from snapshot_restore_py import register_before_snapshot  # type: ignore[import-untyped]

READ_SIZE = 64 * 1024
MOST_DESCRIPTORS = 1024
CLOCKS = ("monotonic", "perf_counter")


def main() -> None:
    """Run what the bootstrap has asked its Python for: `-m` and a module."""
    control = socket.socket(fileno=int(os.environ.pop("LOCAL_SNAPSHOT")))
    del os.environ["LOCAL_PYTHON"]
    # Hooks run from the last one registered to the first.
    register_before_snapshot(fork_sandboxes, control)
    sys.path[0] = str(os.getcwd())  # noqa: PTH109 - as `-m` does it
    _, _, module, *arguments = sys.argv
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def fork_sandboxes(control: socket.socket) -> None:
    """Fork a sandbox for each message; return in the sandboxes only.

    A message has the variables of the sandbox, and the pipes for its output and its status.
    """
    loop = asyncio.get_event_loop()
    taken_at = {name: getattr(time, name)() for name in CLOCKS}
    drawn = random.getstate()
    if threading.active_count() > 1:
        names = ", ".join(each.name for each in threading.enumerate()[1:])
        print(f"--snapstart: on Lambda these threads would go on after a restore: {names}")
    sys.stdout.flush()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    control.send(b"\n")
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, READ_SIZE, 2)
        if not message:
            os._exit(0)
        if os.fork() == 0:
            control.close()
            _become_sandbox(*descriptors)
            os.environ.update(json.loads(message))
            # Python seeds it anew after a fork, and not after a restore.
            random.setstate(drawn)
            _let_the_clocks_stand_still(taken_at)
            _cut_connections()
            _renew(loop)
            return
        for each in descriptors:
            os.close(each)


def _become_sandbox(output: int, status: int) -> None:
    """Fork once more; the process in between reports the sandbox's id and exit status."""
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for standard in (1, 2):
        os.dup2(output, standard)
    os.close(output)
    if pid := os.fork():
        _report(pid, status)
    os.close(status)
    os.setsid()


def _report(pid: int, status: int) -> NoReturn:
    """Report the sandbox's id and exit status, if there is still an emulator; never return."""
    try:
        for standard in (1, 2):
            os.close(standard)
        os.write(status, b"%d\n" % pid)
        _, waited = os.waitpid(pid, 0)
        os.write(status, b"%d\n" % os.waitstatus_to_exitcode(waited))
    finally:
        os._exit(0)


def _let_the_clocks_stand_still(taken_at: dict[str, float]) -> None:
    """Let the monotonic clocks go on from the time of the snapshot."""
    for name, then in taken_at.items():
        _shift(name, getattr(time, name)() - then)


def _shift(name: str, gap: float) -> None:
    seconds, nanoseconds = getattr(time, name), getattr(time, f"{name}_ns")
    setattr(time, name, lambda: seconds() - gap)
    setattr(time, f"{name}_ns", lambda: nanoseconds() - int(gap * 1e9))


def _cut_connections() -> None:
    """Put a closed connection in the place of each TCP connection; the snapshot keeps its own."""
    dead, other_end = socket.socketpair()
    other_end.close()
    for descriptor in range(3, MOST_DESCRIPTORS):
        if _is_connection(descriptor):
            os.dup2(dead.fileno(), descriptor)
    dead.close()


def _is_connection(descriptor: int) -> bool:
    with suppress(OSError):
        if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            with socket.socket(fileno=os.dup(descriptor)) as found:
                inet = found.family in {socket.AF_INET, socket.AF_INET6}
                return inet and found.type == socket.SOCK_STREAM
    return False


def _renew(loop: Any) -> None:
    """Give the event loop, which does not run, a selector of its own.

    The parent's would be shared, and so would the pipe that wakes it.
    """
    inherited = loop._selector  # noqa: SLF001 - asyncio cannot be forked otherwise
    watched = [key for key in inherited.get_map().values() if key.fd != loop._ssock.fileno()]  # noqa: SLF001
    with suppress(OSError):  # a kqueue is not inherited
        inherited.close()
    loop._ssock.close()  # noqa: SLF001
    loop._csock.close()  # noqa: SLF001
    loop._internal_fds -= 1  # noqa: SLF001
    loop._selector = selectors.DefaultSelector()  # noqa: SLF001
    loop._make_self_pipe()  # noqa: SLF001
    for key in watched:
        loop._selector.register(key.fileobj, key.events, key.data)  # noqa: SLF001
    asyncio.set_event_loop(loop)


if __name__ == "__main__":
    main()
