"""DynamoDB Local: Amazon's DynamoDB for one machine, with the same conditional writes.

It listens on every address of the machine, and has no option to listen on fewer.
"""

import http.client
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from local.exceptions import CannotStart
from local.options import PROJECT
from local.ports import free_port
from local.watchdog import Watchdog

_FOLDER = PROJECT / ".dynamodb-local"
_JAR = "DynamoDBLocal.jar"
_START_SECONDS = 90


@contextmanager
def dynamodb_local() -> Iterator[str]:
    """Run one in memory inside the block, and yield its URL; blocks until it answers.

    It has one set of tables for all credentials and regions.

    Raises:
        CannotStart: there is no Java, `make dynamodb` has not been run, or it did not start.
    """
    command = _command(port := free_port())
    # The watchdog also ends it if this process is killed.
    with (
        Watchdog() as watchdog,
        subprocess.Popen(
            command,
            cwd=_FOLDER,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as process,
    ):
        watchdog.watch(process.pid)
        try:
            _wait_for_answers(port, process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()
            watchdog.forget(process.pid)


def _command(port: int) -> list[str]:
    java = shutil.which("java")
    if java is None:
        raise CannotStart("DynamoDB Local needs Java 17 (Debian: openjdk-17-jre-headless)")
    if not (_FOLDER / _JAR).exists():
        raise CannotStart(f"there is no {_JAR} in {_FOLDER}: install it with `make dynamodb`")
    # A small heap and one collector thread: the tests beside it need the processors.
    machine = [java, "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    options = ["-inMemory", "-sharedDb", "-disableTelemetry", "-port", str(port)]
    return [*machine, "-jar", _JAR, *options]


def _wait_for_answers(port: int, process: subprocess.Popen[bytes]) -> None:
    give_up_at = time.monotonic() + _START_SECONDS
    while time.monotonic() < give_up_at and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_START_SECONDS)
        try:
            connection.request("GET", "/")
            connection.getresponse()
        except OSError:
            time.sleep(0.1)
        else:
            return
        finally:
            connection.close()
    raise CannotStart(f"DynamoDB Local did not start; exit status {process.poll()}")
