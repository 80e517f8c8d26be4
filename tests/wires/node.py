"""Scripts for other people's clients, run by the Node in `.clients` (`make clients`).

A script imports the clients by their names and prints JSON, one value a line. It fails if it ends
with another exit status than 0, as Node does after an unhandled rejection.
"""

import asyncio
import json
import os
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[2]
NODE = ROOT / ".clients/node_modules/node/bin/node"
_PACKAGES = Path(__file__).parent / "packages.mjs"
# A line can be a whole conversation.
_LONGEST_LINE = 2**24


class NodeFailed(AssertionError):
    """A script failed, or took too long; the message holds what it printed."""


def run(script: Path, *arguments: object, timeout: float = 60) -> list[Any]:
    """The values that a script prints; `timeout` is in seconds. Raises NodeFailed."""
    try:
        done = subprocess.run(
            _command(script, arguments),
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=_environ(),
            timeout=timeout,
        )
    except subprocess.TimeoutExpired as late:
        printed = [late.stdout or b"", late.stderr or b""]
        raise NodeFailed(_told(script, f"not done in {timeout} s", *printed)) from None
    if done.returncode:
        how = f"exit status {done.returncode}"
        raise NodeFailed(_told(script, how, done.stdout, done.stderr))
    return [_value(script, line) for line in done.stdout.splitlines()]


class Node:
    """A script that is running."""

    def __init__(
        self, script: Path, process: asyncio.subprocess.Process, errors: IO[bytes], timeout: float
    ) -> None:
        self.process = process
        self._script = script
        self._errors = errors
        self._timeout = timeout
        self._give_up = time.monotonic() + timeout

    async def next(self) -> Any:
        """Wait for the next value. Raises NodeFailed, also at the script's end."""
        line = await self._line()
        if not line:
            await self._end()
            raise NodeFailed(self._told("ended without another value"))
        return _value(self._script, line)

    async def rest(self) -> list[Any]:
        """Wait for the script's end; the values that were not taken yet. Raises NodeFailed."""
        values = []
        while line := await self._line():
            values.append(_value(self._script, line))
        await self._end()
        return values

    async def _line(self) -> bytes:
        assert self.process.stdout is not None
        try:
            async with asyncio.timeout(self._give_up - time.monotonic()):
                return await self.process.stdout.readline()
        except TimeoutError:
            raise NodeFailed(self._told(f"not done in {self._timeout} s")) from None

    async def _end(self) -> None:
        if await self.process.wait():
            raise NodeFailed(self._told(f"exit status {self.process.returncode}"))

    def _told(self, how: str) -> str:
        self._errors.seek(0)
        return _told(self._script, how, self._errors.read())


@asynccontextmanager
async def running(script: Path, *arguments: object, timeout: float = 60) -> AsyncIterator[Node]:  # noqa: ASYNC109 - the script's time
    """A script while it runs, for a test that acts meanwhile; leaving the block ends the script.

    All its values are to be taken within `timeout` seconds.
    """
    with tempfile.TemporaryFile() as errors:
        process = await asyncio.create_subprocess_exec(
            *_command(script, arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=_environ(),
            limit=_LONGEST_LINE,
        )
        try:
            yield Node(script, process, errors, timeout)
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()


def _command(script: Path, arguments: Iterable[object]) -> list[str]:
    return [str(NODE), "--import", str(_PACKAGES), str(script), *map(str, arguments)]


def _environ() -> dict[str, str]:
    # Options that the user of this process sets for every Node are not for the tests.
    return {name: value for name, value in os.environ.items() if not name.startswith("NODE_")}


def _value(script: Path, line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        raise NodeFailed(_told(script, "printed a line that is not JSON", line)) from None


def _told(script: Path, how: str, *printed: bytes) -> str:
    texts = [text.decode(errors="replace").strip() for text in printed]
    return "\n".join([f"{script.name}: {how}", *filter(None, texts)])
