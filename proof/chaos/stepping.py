"""An agent with steps, beside the chat: most of its text comes from steps that run once.

The harness knows its stages from the prompt alone, and the sandboxes run them.
"""

import asyncio
import os
import socket
import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from app.events import Answer, Data, Done, Thinking
from app.models.demo import DemoProvider
from app.task import Task
from durable_stream import Event
from durable_stream.exceptions import shortened

STEPPING = "stepping"

_ROUNDS = 3
_PIECES = 3 * _ROUNDS
# The sync step takes so long, in its thread.
_BLOCKED = 0.05
# Delays of a busy machine up to so many seconds are made up for; time lost to a freeze is not.
_CATCHES_UP = 0.5


@dataclass(frozen=True, slots=True)
class Stage:
    """A token that is said outside of steps, and the steps that run at once behind it.

    `steps` has the tokens that each step says, by its key.
    """

    before: str
    steps: Mapping[str, Sequence[str]]


def stages_of(answer: Sequence[str]) -> Iterator[Stage]:
    """The stages that say these tokens, in order; two tokens for each piece are needed."""
    cuts = [len(answer) * each // _PIECES for each in range(_PIECES + 1)]
    pieces = [answer[begin:end] for begin, end in pairwise(cuts)]
    for nth in range(1, _ROUNDS + 1):
        one, left, right = pieces[3 * nth - 3 : 3 * nth]
        # A brief one first: many faults come early.
        yield Stage(one[0], {f"block:{nth}": ()})
        yield Stage(one[1], {f"write:{nth}": one[2:]})
        yield Stage(left[0], {f"aside:left:{nth}": left[1:], f"aside:right:{nth}": right})


class Pace:
    """A model's pace: after a standstill it continues at it, and does not catch up at once."""

    def __init__(self, tokens_per_second: float) -> None:
        self._interval = 1 / tokens_per_second
        self._due: float | None = None

    async def keep(self) -> None:
        """Return at the time of the next token; one that is late by more than a moment is late."""
        now = asyncio.get_running_loop().time()
        due = now if self._due is None else max(self._due + self._interval, now - _CATCHES_UP)
        self._due = due
        await asyncio.sleep(max(0, due - now))


@dataclass(frozen=True, slots=True)
class Reports:
    """Tells the harness of work, for as long as it lasts; it listens at `host` and `port`."""

    host: str
    port: int

    @contextmanager
    def of(self, task: Task[Any], step: str = "") -> Iterator[None]:
        """Hold a connection open; `step` is the key of the step that works, if one does.

        The kernel takes it at once, so neither a thread nor an event loop waits.
        """
        stream, prompt = shortened(task.stream_id), task.input.messages[-1].content
        with socket.create_connection((self.host, self.port)) as connection:
            said = f"{os.getpid()} {stream} {task.attempt} {step or '-'} {prompt}\n"
            connection.sendall(said.encode())
            yield


class SteppingAgent:
    """Says the demo's script from its steps."""

    def __init__(self, demo: DemoProvider, reports: Reports) -> None:
        self._demo = demo
        self._reports = reports

    async def __call__(self, task: Task) -> AsyncGenerator[Event]:
        """Go through the stages; each step's value tells which it is."""
        script = self._demo.script(task.input)
        answer = script.answer[: task.input.max_tokens]
        work = _Work(task, self._reports, Pace(self._demo.tokens_per_second))
        with self._reports.of(task):
            for token in script.thinking:
                yield Thinking(token)
            for stage in stages_of(answer):
                yield Answer(stage.before)
                values = await asyncio.gather(
                    *[work.step(key, tokens) for key, tokens in stage.steps.items()]
                )
                if values != [*stage.steps]:
                    yield Answer(f"the steps have mixed up their values: {values}")
            yield Done("stop", 0, len(script.thinking) + len(answer))


class _Work:
    """The functions of the steps, in one attempt. Each returns its label."""

    def __init__(self, task: Task, reports: Reports, pace: Pace) -> None:
        self._task = task
        self._reports = reports
        self._pace = pace

    def step(self, label: str, tokens: Sequence[str]) -> Any:
        name, *key, _ = label.split(":")
        function = {
            "write": self.afresh,
            "aside:left": self.again,
            "aside:right": self.onward,
            "block": self.block,
        }[":".join([name, *key])]
        return self._task.step(name, function, label, tokens, key="".join(key))

    async def afresh(self, label: str, tokens: Sequence[str]) -> str:
        """Say what no other run repeats, and so reset the step."""
        with self._reporting():
            await self._task.emit(Data("attempt", self._task.attempt))
            await self._say(tokens)
        return label

    async def again(self, label: str, tokens: Sequence[str]) -> str:
        """Say everything again; what the log has is left out."""
        with self._reporting():
            await self._say(tokens)
        return label

    async def onward(self, label: str, tokens: Sequence[str]) -> str:
        """Say what follows the text of the run before."""
        with self._reporting():
            said = sum(len(e.text) for e in self._task.continuing() if isinstance(e, Answer))
            for token in tokens:
                if rest := token[said:]:
                    await self._say([rest])
                said = max(0, said - len(token))
        return label

    def block(self, label: str, _: Sequence[str]) -> str:
        """Block a thread."""
        with self._reporting():
            time.sleep(_BLOCKED)
        return label

    async def _say(self, tokens: Sequence[str]) -> None:
        for token in tokens:
            await self._pace.keep()
            await self._task.emit(Answer(token))

    def _reporting(self) -> Any:
        return self._reports.of(self._task, self._task.step_key)
