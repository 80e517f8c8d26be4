"""The sandboxes' processes, and the hands that kill, freeze and thaw them."""

import asyncio
import os
import signal
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field

import httpx


@dataclass
class Frozen:
    """A time without processor; `until` is None while it lasts. Of the monotonic clock."""

    since: float
    until: float | None = None


@dataclass
class Sandboxes:
    """All sandboxes of all functions, by process id: a sandbox leads a process group of its own.

    `controls` are the emulators' control URLs. A signal goes out at once, for the moment counts;
    an emulator is told behind it, so that it gives nothing to what is frozen.
    """

    http: httpx.AsyncClient
    controls: list[str] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)
    frozen: defaultdict[int, list[Frozen]] = field(default_factory=lambda: defaultdict(list))

    def kill(self, pid: int) -> bool:
        """Whether there was somebody to kill."""
        return _signal(pid, signal.SIGKILL)

    def terminate(self, pid: int) -> None:
        _signal(pid, signal.SIGTERM)

    async def freeze(self, pid: int) -> None:
        """Take a sandbox's processor away."""
        _signal(pid, signal.SIGSTOP)
        self.frozen[pid].append(Frozen(time.monotonic()))
        await self._tell(pid, "freeze")

    async def thaw(self, pid: int) -> None:
        """Give it back; what the sandbox does next counts from here."""
        await self._tell(pid, "thaw")
        _signal(pid, signal.SIGCONT)
        for spell in self.frozen[pid]:
            spell.until = spell.until or time.monotonic()

    def frozen_between(self, pid: int, since: float, until: float) -> float:
        """For how many seconds of an interval a sandbox was frozen."""
        return sum(
            max(0.0, min(until, spell.until or until) - max(since, spell.since))
            for spell in self.frozen[pid]
        )

    async def recycle(self) -> bool:
        """Kill an idle sandbox, if there is one."""
        for control in self.controls:
            for sandbox in (await self.http.get(f"{control}/sandboxes")).json():
                if sandbox["state"] == "idle":
                    answer = await self.http.post(f"{control}/sandboxes/{sandbox['name']}/kill")
                    return answer.is_success
        return False

    async def survivors(self, seconds: float) -> list[int]:
        """Those that still run after so much patience."""
        give_up_at = time.monotonic() + seconds
        while alive := [pid for pid in self.seen if _runs(pid)]:
            if time.monotonic() > give_up_at:
                break
            await asyncio.sleep(0.05)
        return alive

    async def _tell(self, pid: int, verb: str) -> None:
        for control in self.controls:
            for sandbox in (await self.http.get(f"{control}/sandboxes")).json():
                if sandbox["pid"] == pid:
                    # Refused if it has died meanwhile, as it may.
                    await self.http.post(f"{control}/sandboxes/{sandbox['name']}/{verb}")


def _signal(pid: int, number: signal.Signals) -> bool:
    if pid <= 1:
        raise ValueError(f"no sandbox has the process id {pid}")
    with suppress(ProcessLookupError):
        os.killpg(pid, number)
        return True
    return False


def _runs(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    return True
