"""An answer in rounds: the model's turn, the tools that it calls, and the model again.

    model ──▶ tool_call … ──▶ tools, all at once ──▶ tool_result … ──▶ model ──▶ … ──▶ done

Every turn and every call is a step. So a later attempt asks for no turn again, runs no tool again
that has ended, and continues a turn that broke off behind its text.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from app.events import Answer, Done, ToolCall, ToolResult
from app.exceptions import ProviderError
from app.models.base import Partial, Request
from app.models.failures import failure
from app.models.lengths import estimated, tokens_of
from app.models.tools import Tool
from app.models.turns import Call, Result, Round, ToolUse
from app.models.usage import Counts, plausible
from durable_stream import Event, StepFailed
from durable_stream.text import joined

if TYPE_CHECKING:
    from app.task import Task  # It imports this package.


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A turn of the model's, as its step records it.

    `reason` is empty where another turn follows, and that of `Done` at the end. `used`
    are the tokens of the turn in all its attempts, estimated where none were reported. `step` tells
    the step from other steps of the stream.
    """

    round: Round
    reason: str
    input_tokens: int | None
    output_tokens: int | None
    used: int
    step: str


class Loop:
    """One answer to a request. Raises ValueError for tools of one name, and for no rounds."""

    def __init__(
        self, task: "Task[Any]", request: Request, tools: Sequence[Tool], rounds: int
    ) -> None:
        self._task = task
        self._request = replace(request, tools=tuple(each.spec for each in tools))
        self._tools = {each.name: each for each in tools}
        if len(self._tools) < len(tools):
            names = ", ".join(each.name for each in tools)
            raise ValueError(f"two tools share a name: rename one of {names}")
        if rounds < 1:
            raise ValueError("an answer has at least one round: set `rounds` to 1 or more")
        self._rounds = rounds
        # What tells the calls of this answer from those of another one in the same stream.
        self._name = ""

    async def events(self) -> AsyncGenerator[Event]:
        """The events outside of steps, `Done` last; text belongs to the steps."""
        request, turns = self._request, list[Turn]()
        while request.max_tokens > 0:
            is_last = len(turns) == self._rounds and bool(self._tools)
            request = replace(request, answer_now=is_last)
            turn = await self._task.step("model", self._ask, request.encode())
            turns.append(turn)
            if turn.reason:
                yield Done(turn.reason, *_sum(turns))
                return
            if len(turns) > self._rounds:
                raise failure("too_many_rounds")
            calls = turn.round.calls
            self._name = self._name or turn.step
            for call in calls:
                yield ToolCall(self._shown(call), call.name, call.arguments)
            results = await asyncio.gather(*map(self._result, calls))
            for call, result in zip(calls, results, strict=True):
                yield ToolResult(self._shown(call), result.output, result.error)
            request = replace(
                request,
                rounds=(*request.rounds, replace(turn.round, results=tuple(results))),
                max_tokens=request.max_tokens - turn.used,
            )
        yield Done("length", *_sum(turns))

    def _shown(self, call: Call) -> str:
        """The call's id for readers: unique within the stream, and not only within the answer."""
        return call.id if self._name == _FIRST else f"{call.id}.{self._name}"

    # The model

    async def _ask(self, encoded: str) -> Turn:
        """One turn; in a step. `encoded` is the request."""
        request, is_first = Request.decode(encoded), next(self._task.calls) == 0
        delivered = Partial.of(self._task.continuing())
        yielded: list[Event] = []
        try:
            async with aclosing(self._task.model.stream(request, delivered)) as events:
                async for event in events:
                    if isinstance(event, Done | ToolUse):
                        return self._turn(request, event, delivered, yielded)
                    await self._task.emit(event)
                    yielded.append(event)
            raise failure("provider_cut")
        except ProviderError as error:
            # Another request of the same attempt may have cost something.
            error.free &= is_first and next(self._task.calls) == 1
            raise

    def _turn(
        self, request: Request, end: Done | ToolUse, delivered: Partial, yielded: Sequence[Event]
    ) -> Turn:
        latest = Partial.of(yielded)
        sent, generated = plausible(
            (end.input_tokens, end.output_tokens), request, delivered, latest
        )
        turn = Round(text=joined(yielded, Answer))
        if isinstance(end, ToolUse):
            turn = replace(
                turn,
                calls=end.calls,
                content=end.content,
                before=delivered.answer,
                prefilled=self._task.model.continuation(request) == "prefill",
            )
        return Turn(
            round=turn,
            reason=end.finish_reason if isinstance(end, Done) else "",
            input_tokens=sent,
            output_tokens=generated,
            used=tokens_of(delivered)
            + (_estimated(latest, turn) if generated is None else generated),
            step=self._task.step_key.rpartition(":")[2][:_LONGEST_NAME],
        )

    # Tools

    def _result(self, call: Call) -> Awaitable[Result]:
        """The result to come. The step begins here, so that the order of the calls counts."""
        used = self._tools.get(call.name)
        if used is None:
            names = ", ".join(self._tools) or "none"
            problem = f"There is no tool {call.name}. The tools are: {names}."
        else:
            problem = call.error or used.problem(call.arguments)
        if used is None or problem:
            return _settled(Result(call.id, error=problem))
        output = self._task.step(used.name, used.runs, call.arguments, key=self._shown(call))
        return self._result_of(call, output)

    async def _result_of(self, call: Call, step: Awaitable[Any]) -> Result:
        try:
            output = await step
        except StepFailed as error:
            return Result(call.id, error=f"{error.type}: {error.text}")
        return Result(call.id, output)


async def _settled(result: Result) -> Result:
    return result


# The number of the stream's first step of a model.
_FIRST = "1"
_LONGEST_NAME = 8


def _estimated(latest: Partial, turn: Round) -> int:
    written = "".join(call.name + json.dumps(call.arguments) for call in turn.calls)
    return tokens_of(latest) + estimated(written)


def _sum(turns: Sequence[Turn]) -> Counts:
    """The tokens of all turns; None where one of them is not known."""
    sent = [turn.input_tokens for turn in turns]
    generated = [turn.output_tokens for turn in turns]
    return _total(sent), _total(generated)


def _total(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None
