"""The sandboxes' processes: kill, freeze and thaw them."""

import asyncio
import math
import os
import signal
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

# So long a wait for the table is a good part of a sandbox's timeout (durable_stream.aws.api).
LONG_SECONDS = 0.5
_BEAT = 0.1


@dataclass
class Frozen:
    """A time without processor; `until` is None while it lasts. Of the monotonic clock."""

    since: float
    until: float | None = None


@dataclass
class Sandboxes:
    """All sandboxes of all functions, by process id: a sandbox leads a process group of its own.

    `controls` are the emulators' control URLs. A signal goes out at once, for the moment counts.
    The emulator is told afterwards, so that it gives no invocation to a frozen sandbox. `seen` has
    the time when each process began, as the kernel tells it: its number may be reused. `ended` has
    the processes that were killed or told to end, and `ended_at` the time. `disturbed` has the time
    when a process was last kept from the table. `stalled_at` is the time when all of them were,
    since the harness itself did not get a processor: the last of its `stalls`.
    """

    http: httpx.AsyncClient
    controls: list[str] = field(default_factory=list)
    seen: dict[int, str] = field(default_factory=dict)
    frozen: defaultdict[int, list[Frozen]] = field(default_factory=lambda: defaultdict(list))
    ended: set[int] = field(default_factory=set)
    ended_at: dict[int, float] = field(default_factory=dict)
    disturbed: dict[int, float] = field(default_factory=dict)
    stalled_at: float = -math.inf
    stalls: list[float] = field(default_factory=list)

    def meet(self, pid: int) -> None:
        """Take note of a sandbox that has shown a sign of life."""
        if not self._lives(pid):
            self.seen[pid] = _began(pid)

    def kill(self, pid: int) -> bool:
        """Kill a sandbox. Return True when it lived until now."""
        return self._end(pid, signal.SIGKILL)

    def terminate(self, pid: int) -> bool:
        """Tell a sandbox to end, in its own time. Return True when it lived until now."""
        return self._end(pid, signal.SIGTERM)

    def disturb(self, pid: int) -> None:
        """Take note that a sandbox's call to the table is denied, or takes long."""
        self.disturbed[pid] = time.monotonic()

    def disturbed_since(self, pid: int, moment: float) -> bool:
        """Return True when a sandbox was kept from the table by something outside it."""
        return max(self.disturbed.get(pid, -math.inf), self.stalled_at) > moment

    async def watch_for_stalls(self) -> None:
        """Take note of stalls, for ever."""
        while True:
            began_at = time.monotonic()
            await asyncio.sleep(_BEAT)
            if time.monotonic() - began_at > _BEAT + LONG_SECONDS:
                self.stalled_at = time.monotonic()
                self.stalls.append(self.stalled_at)

    def stalled_between(self, since: float, until: float) -> bool:
        """Return True when the machine was too busy for anything to come in time."""
        return any(since < at < until for at in self.stalls)

    async def freeze(self, pid: int) -> bool:
        """Take a sandbox's processor away; False if it is frozen already, or does not live."""
        if any(spell.until is None for spell in self.frozen[pid]):
            return False
        if not self._signal(pid, signal.SIGSTOP):
            return False
        self.frozen[pid].append(Frozen(time.monotonic()))
        await self._tell(pid, "freeze")
        return True

    async def thaw(self, pid: int) -> bool:
        """Give the processor back, even if the emulator fails; False if the sandbox has died."""
        try:
            await self._tell(pid, "thaw")
        finally:
            lives = self._signal(pid, signal.SIGCONT)
            for spell in self.frozen[pid]:
                spell.until = spell.until or time.monotonic()
        return lives

    def frozen_between(self, pids: Collection[int], since: float, until: float) -> float:
        """The seconds of an interval in which at least one of the sandboxes was frozen."""
        spells = sorted(
            (max(since, spell.since), min(until, spell.until or until))
            for pid in pids
            for spell in self.frozen[pid]
        )
        seconds, covered = 0.0, since
        for begin, end in spells:
            seconds += max(0.0, end - max(begin, covered))
            covered = max(covered, end)
        return seconds

    async def recycle(self) -> bool:
        """Kill an idle sandbox, if there is one."""
        with suppress(httpx.HTTPError):
            async for control, sandbox in self._listed():
                if sandbox["state"] == "idle":
                    return await self._order(control, sandbox["name"], "kill")
        return False

    async def at_work(self, seconds: float) -> list[str]:
        """The invocations that are still running after so many seconds.

        Raises:
            httpx.HTTPError: an emulator does not answer.
        """
        give_up_at = time.monotonic() + seconds
        while busy := [each async for each in self._invocations()]:
            if time.monotonic() > give_up_at:
                break
            await asyncio.sleep(0.1)
        return busy

    async def survivors(self, seconds: float) -> list[int]:
        """The processes that still run after so many seconds."""
        give_up_at = time.monotonic() + seconds
        while alive := [pid for pid in self.seen if self._lives(pid)]:
            if time.monotonic() > give_up_at:
                break
            await asyncio.sleep(0.05)
        return alive

    async def _invocations(self) -> AsyncIterator[str]:
        async for _, sandbox in self._listed():
            if sandbox["state"] != "dead":
                for each in sandbox["invocations"]:
                    yield f"{each['method']} {each['path']} in process {sandbox['pid']}"

    async def _listed(self) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Every sandbox with its control URL; raises httpx.HTTPError if an emulator is silent."""
        for control in self.controls:
            for sandbox in (await self.http.get(f"{control}/sandboxes")).json():
                yield control, sandbox

    async def _tell(self, pid: int, verb: str) -> None:
        """Have a sandbox's emulator do something, if it answers."""
        with suppress(httpx.HTTPError):
            async for control, sandbox in self._listed():
                if sandbox["pid"] == pid:
                    await self._order(control, sandbox["name"], verb)

    async def _order(self, control: str, name: str, verb: str) -> bool:
        """Return True when the emulator has obeyed; it refuses if the sandbox has died."""
        return (await self.http.post(f"{control}/sandboxes/{name}/{verb}")).is_success

    def _end(self, pid: int, number: signal.Signals) -> bool:
        lived = self._signal(pid, number)
        if lived:
            self.ended.add(pid)
            self.ended_at.setdefault(pid, time.monotonic())
        return lived

    def _signal(self, pid: int, number: signal.Signals) -> bool:
        if not self._lives(pid):
            return False
        with suppress(ProcessLookupError):
            os.killpg(pid, number)
            return True
        return False

    def _lives(self, pid: int) -> bool:
        return bool(began := self.seen.get(pid)) and _began(pid) == began


def _began(pid: int) -> str:
    """A process's start, in clock ticks since the machine's; empty if it runs no more."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    # After the command's name, which may have any character; see proc_pid_stat(5).
    state, *fields = stat.rpartition(")")[2].split()
    return "" if state in {"Z", "X"} else fields[18]
