"""Answers with tools: from the model, through the tools and the real log, to a reader."""

import asyncio
import re
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Annotated, Any

import pytest
from pydantic import Field

from app import models
from app.agents import Agent, Agents, agent
from app.events import Answer, Done, Start, Thinking, ToolCall, ToolResult
from app.exceptions import ProviderError
from app.models.base import Message, Partial, Provider, Request
from app.models.demo import DemoProvider
from app.models.lengths import estimated
from app.models.turns import ToolSpec
from app.producer import AgentProducer
from app.task import Task
from durable_stream import (
    Claim,
    Engine,
    Event,
    Failed,
    Record,
    Reset,
    RetryPolicy,
    StepBegun,
    StepEnded,
    Store,
    Streams,
    Timing,
    Window,
)
from durable_stream.dynamodb import DynamoDBStore
from durable_stream.task import spoken
from tests.app.models.services import CALLS, KINDS, Service, service
from tests.app.scripted import REQUEST, ScriptedProvider
from tests.durable_stream.test_streams import die, read
from tests.durable_stream.working import MortalStore

pytestmark = pytest.mark.anyio

TIMING = Timing(heartbeat=0.1, lease=0.3, listening=0.1, claim_jitter=0.01, flush_interval=0.01)
AT_ONCE = 6
FAST = DemoProvider(tokens_per_second=2_000, first_token_seconds=0)
PROMPT = "Please count, then count and look up cats.\nAt last count dogs."

Ran = list[str]


def demo_request(prompt: str = PROMPT, max_tokens: int = 500) -> Request:
    return Request(messages=(Message("user", prompt),), model="demo", max_tokens=max_tokens)


def process(store: Store, model: Provider, agent_: Agent[Any]) -> Streams:
    """A process whose agent has the model at hand."""
    return Streams(
        Engine(
            store=store,
            producer=AgentProducer(Agents([agent_]), model),
            timing=TIMING,
            policy=RetryPolicy(idle_attempts=20),
        )
    )


async def told(
    log: DynamoDBStore, model: Provider, agent_: Agent[Any], request: Request
) -> list[Record]:
    """The records of a stream."""
    streams = process(log, model, agent_)
    start = Start(request.encode(), model=request.model)
    records = await read(await streams.create_and_read(start, None, Window()), within=30)
    await die(streams)
    return records


async def killed(
    log: DynamoDBStore,
    model: Provider,
    agent_: Agent[Any],
    request: Request,
    kills: Sequence[tuple[int, bool]],
) -> list[Record]:
    """The records of a stream whose processes die one after another, as `MortalStore` tells."""
    first = process(log, model, agent_)
    start = Start(request.encode(), model=request.model)
    stream_id = (await first.create(start, None)).stream_id
    await die(first)
    for at, before in kills:
        mortal = MortalStore(log, at, before)
        streams = process(mortal, model, agent_)
        reading = await streams.read(stream_id, None, Window())
        if reading is None:
            break
        tasks = (
            asyncio.create_task(read(reading, within=30)),
            asyncio.create_task(mortal.dead.wait()),
        )
        async with asyncio.timeout(30):
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        await die(streams)
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
    last = process(log, model, agent_)
    records = await read(await last.read(stream_id, None, Window()), within=30)
    await die(last)
    assert [record.seq for record in records] == list(range(len(records)))
    return records


def folded(records: Sequence[Record]) -> list[tuple[str, Any]]:
    """The events of the application as a reader folds them: texts joined, the rest as it is."""
    found: list[tuple[str, Any]] = []
    for event in spoken([record.event for record in records]):
        plain = replace(event, within="")
        if not isinstance(plain, Answer | Thinking):
            found.append((plain.kind, plain))
        elif found and found[-1][0] == plain.kind:
            found[-1] = (plain.kind, found[-1][1] + plain.text)
        else:
            found.append((plain.kind, plain.text))
    return found


def of_kind(records: Sequence[Record], kind: type[Event]) -> list[Any]:
    return [each.event for each in records if isinstance(each.event, kind)]


def answer_in(records: Sequence[Record]) -> str:
    return "".join(each.text for each in of_kind(records, Answer))


# The loop


class Counting:
    """An agent with two tools, one of which has a side effect."""

    def __init__(self) -> None:
        self.ran: defaultdict[str, list[int]] = defaultdict(list)

        @agent(resume="replay")
        async def counting(task: Task) -> AsyncGenerator[Event]:
            async def count(what: str) -> int:
                """Count in the world."""
                self.ran[task.step_key].append(task.attempt)
                return len(what)

            def look(where: str) -> dict[str, str]:
                """Look in a place; blocks."""
                return {"seen": where}

            async for event in models.answer(task, [count, look]):
                yield event

        self.agent = counting


async def test_a_model_calls_tools_in_rounds_and_answers_with_their_results(
    log: DynamoDBStore,
) -> None:
    records = await told(log, FAST, Counting().agent, demo_request())

    said = folded(records)
    assert [kind for kind, _ in said] == [
        "answer",
        *["tool_call"] * 3,
        *["tool_result"] * 3,
        "answer",
        "tool_call",
        "tool_result",
        "answer",
    ]
    calls, results = of_kind(records, ToolCall), of_kind(records, ToolResult)
    assert [call.name for call in calls] == ["count", "count", "look", "count"]
    assert [each.id for each in calls] == [each.id for each in results]
    assert len({each.id for each in calls}) == 4
    assert results[2].output == {"seen": calls[2].arguments["where"]}
    assert f"The result of count is: {results[3].output}" in said[-1][1]
    (end,) = of_kind(records, Done)
    assert end.finish_reason == "stop"
    # Three requests of one prompt.
    once = [each async for each in FAST.stream(demo_request(), Partial())][-1]
    assert isinstance(once, Done)
    assert once.input_tokens is not None
    assert end.input_tokens == 3 * once.input_tokens
    steps = [event.name for event in of_kind(records, StepBegun)]
    assert sorted(steps) == ["count"] * 3 + ["look"] + ["model"] * 3


@pytest.mark.parametrize(
    ("moments", "again"),
    [
        pytest.param([False], [], id="behind an append"),
        pytest.param(
            [False, True], [(3, False)], id="at any append, and again", marks=pytest.mark.prove
        ),
    ],
)
async def test_an_answer_with_tools_that_is_killed_anywhere_is_the_same_and_runs_each_tool_once(
    log: DynamoDBStore, moments: list[bool], again: list[tuple[int, bool]]
) -> None:
    """With `before`, the process dies when it has asked for an append that does not happen."""
    undisturbed = await told(log, FAST, Counting().agent, demo_request())
    appends = len(undisturbed)
    room = asyncio.Semaphore(AT_ONCE)

    async def one(at: int, *, before: bool) -> None:
        async with room:
            here = Counting()
            kills = [(at, before), *again]
            records = await killed(log, FAST, here.agent, demo_request(), kills)
            assert folded(records) == folded(undisturbed), (at, before)
            assert records[-1].event == undisturbed[-1].event
            assert not of_kind(records, Reset)
            _check_once(records, here.ran)

    async with asyncio.TaskGroup() as group:
        for at in range(1, appends):
            for before in moments:
                group.create_task(one(at, before=before))


def _check_once(records: Sequence[Record], ran: dict[str, list[int]]) -> None:
    """A tool ran once in an attempt at most, and not behind the record of its end."""
    attempt, ended = 1, dict[str, int]()
    for event in (record.event for record in records):
        attempt = event.attempt if isinstance(event, Claim) else attempt
        if isinstance(event, StepEnded) and event.within.startswith("count"):
            key = f"{records[0].stream_id}:{event.within}"
            assert key not in ended
            ended[key] = attempt
    assert ended.keys() == ran.keys()
    for key, attempts in ran.items():
        assert len(set(attempts)) == len(attempts)
        assert attempts[-1] == ended[key]


# Tools that fail


def look_up(word: str) -> str:
    """Look a word up."""
    raise LookupError(f"no {word} here")


def weather(city: str, days: int = 1) -> dict[str, Any]:
    """The weather."""
    return {"city": city, "days": days}


def now() -> str:
    """The time."""
    return "late"


class Renaming:
    """A model that is offered other tools than those of the request."""

    def __init__(self, model: Provider, tools: tuple[ToolSpec, ...]) -> None:
        self.models = model.models
        self.continuation = model.continuation
        self.preload, self.close = model.preload, model.close
        self._model, self._tools = model, tools

    def stream(self, request: Request, delivered: Partial) -> AsyncGenerator[Event]:
        return self._model.stream(replace(request, tools=self._tools), delivered)


def agent_with(*tools: Callable[..., Any], rounds: int = 10) -> Agent[Any]:
    @agent(resume="replay")
    async def working(task: Task) -> AsyncGenerator[Event]:
        async for event in models.answer(task, tools, rounds):
            yield event

    return working


async def test_a_tool_that_raises_has_failed_and_the_model_is_told(log: DynamoDBStore) -> None:
    records = await told(log, FAST, agent_with(look_up), demo_request("/tool cats"))

    (result,) = of_kind(records, ToolResult)
    assert (result.output, result.error) == (None, "LookupError: no cats here")
    assert "Error: LookupError: no cats here" in answer_in(records)
    assert records[-1].event.kind == "done"


async def test_arguments_that_do_not_fit_are_a_failure_without_a_step(log: DynamoDBStore) -> None:
    def short(word: Annotated[str, Field(max_length=3, pattern="^x*$")]) -> str:
        """Take a short word."""
        return word

    records = await told(log, FAST, agent_with(short), demo_request("/tool cats"))

    (result,) = of_kind(records, ToolResult)
    assert "word: String should match pattern" in result.error
    assert [event.name for event in of_kind(records, StepBegun)] == ["model", "model"]


async def test_a_tool_of_another_name_is_a_failure_that_names_the_tools(
    log: DynamoDBStore,
) -> None:
    @agent(resume="replay")
    async def renamed(task: Task) -> AsyncGenerator[Event]:
        other = replace(task.input, tools=(replace(models.tool(now).spec, name="clock"),))
        provider = Renaming(task.model, other.tools)
        async for event in models.answer(replace(task, model=provider), [now]):
            yield event

    records = await told(log, FAST, renamed, demo_request("clock"))

    (result,) = of_kind(records, ToolResult)
    assert result.error == "There is no tool clock. The tools are: now."


# Limits


async def test_after_the_last_round_the_model_has_to_answer(log: DynamoDBStore) -> None:
    records = await told(log, FAST, agent_with(weather, rounds=1), demo_request("weather\nweather"))

    assert len(of_kind(records, ToolCall)) == 1
    assert "The result of weather is" in answer_in(records)
    assert records[-1].event.kind == "done"


# With the services


@pytest.fixture
async def model(kind: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Service]:
    async with service(kind, monkeypatch) as running:
        yield running


@pytest.mark.parametrize("kind", KINDS)
async def test_a_service_gets_the_results_of_its_calls(model: Service, log: DynamoDBStore) -> None:
    model.answers = [[*model.turn], [model.text("It is fine."), *model.end]]

    records = await told(log, model.provider, agent_with(weather, now), model.request)

    calls, results = of_kind(records, ToolCall), of_kind(records, ToolResult)
    assert [(each.id, each.name, each.arguments) for each in calls] == [
        (each.id, each.name, each.arguments) for each in CALLS
    ]
    assert [each.output for each in results] == [{"city": "Zürich", "days": 2}, "late"]
    assert answer_in(records) == "I look it up.It is fine."
    assert len(model.asked) == 2
    assert "late" in str(model.asked[1])
    assert of_kind(records, Done) in ([Done("stop", 22, 14)], [Done("stop", 22, 44)])


@pytest.mark.prove
@pytest.mark.parametrize("kind", KINDS)
async def test_a_turn_that_is_cut_at_any_frame_is_asked_for_its_rest_and_calls_once(
    model: Service, log: DynamoDBStore
) -> None:
    for count in range(model.whole):
        ran = Ran()

        def now() -> str:
            """The time."""
            ran.append("now")  # noqa: B023 - it runs before the next turn of the loop
            return "late"

        model.asked.clear()
        model.answers = [
            [*model.turn[:count]],
            [frame for frame in model.turn if b"look" not in frame and b"it up" not in frame],
            [model.text("It is fine."), *model.end],
        ]

        records = await told(log, model.provider, agent_with(weather, now), model.request)

        assert records[-1].event.kind == "done"
        assert [each.id for each in of_kind(records, ToolCall)] == ["toolu_1", "toolu_2"]
        assert ran == ["now"]
        assert answer_in(records) in {
            "It is fine.",
            "I look It is fine.",
            "I look it up.It is fine.",
        }
        _, second, third = (body["messages"] for body in model.asked)
        # Thinking may be bound to every turn before it. A prefill becomes a part of its turn.
        assert third[: len(second) - 1] == second[:-1]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_model_that_will_not_stop_calling_is_stopped(
    model: Service, log: DynamoDBStore
) -> None:
    model.answers = [[*model.turn]]

    records = await told(log, model.provider, agent_with(weather, now, rounds=2), model.request)

    end = records[-1].event
    assert isinstance(end, Failed)
    assert (end.code, end.retryable) == ("too_many_rounds", False)
    assert len(of_kind(records, ToolCall)) == 4
    assert len(model.asked) == 3


@pytest.mark.parametrize("kind", KINDS)
async def test_the_longest_answer_is_that_of_all_rounds(model: Service, log: DynamoDBStore) -> None:
    model.answers = [[*model.turn]]
    request = replace(model.request, max_tokens=7 * 22)

    records = await told(log, model.provider, agent_with(weather, now, rounds=90), request)

    limits = model.limits
    spent = limits[0] - limits[1]
    assert spent in {7, 22}
    assert limits == [*range(7 * 22, 0, -spent)]
    end = records[-1].event
    assert isinstance(end, Done)
    assert end.finish_reason == "length"
    assert end.output_tokens == 7 * 22


@pytest.mark.provider("openai")
@pytest.mark.parametrize("kind", ["openai"])
async def test_an_uncounted_turn_is_estimated_for_the_length_and_unknown_for_the_budget(
    model: Service, log: DynamoDBStore
) -> None:
    uncounted = [frame for frame in model.turn if b"usage" not in frame]
    model.answers = [uncounted, [model.text("Fine."), *model.end]]

    records = await told(log, model.provider, agent_with(weather, now), model.request)

    assert records[-1].event == Done("stop", None, None)
    assert 100 - model.limits[1] > estimated("Hm. I look it up.") + estimated("weather now Zürich")


@pytest.mark.provider("openai")
@pytest.mark.parametrize("kind", ["openai"])
async def test_arguments_that_cannot_be_read_are_a_failure_that_the_model_is_told(
    model: Service, log: DynamoDBStore
) -> None:
    broken = [frame.replace(b'ys\\": 2}', b"") for frame in model.turn]
    model.answers = [broken, [model.text("Fine."), *model.end]]

    records = await told(log, model.provider, agent_with(weather, now), model.request)

    first, second = of_kind(records, ToolResult)
    assert first.error.startswith("The arguments are not valid JSON")
    assert second.output == "late"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_model_that_throttles_between_rounds_is_waited_for(
    model: Service, log: DynamoDBStore
) -> None:
    """The rounds before are not repeated."""
    ran = Ran()

    def now() -> str:
        """The time."""
        ran.append("now")
        return "late"

    model.answers = [[*model.turn], [], [], [model.text("Fine."), *model.end]]

    records = await told(log, model.provider, agent_with(weather, now), model.request)

    assert answer_in(records) == "I look it up.Fine."
    assert ran == ["now"]
    assert len(model.asked) == 4


# Agents


async def test_two_answers_of_one_stream_have_calls_of_their_own(log: DynamoDBStore) -> None:
    @agent(resume="replay")
    async def twice(task: Task) -> AsyncGenerator[Event]:
        for _ in range(2):
            async for event in models.answer(task, [now]):
                if not event.terminal:
                    yield event

    records = await told(log, FAST, twice, demo_request("/tool"))

    ids = [call.id for call in of_kind(records, ToolCall)]
    assert ids == ["call00000", "call00000.3"]
    assert [result.id for result in of_kind(records, ToolResult)] == ids


@pytest.mark.parametrize("tools", [[], [now]])
async def test_a_replayed_answer_goes_on_behind_its_text(
    log: DynamoDBStore, tools: list[Callable[..., Any]]
) -> None:
    """Also without tools."""
    request = demo_request("hello")
    undisturbed = await told(log, FAST, agent_with(*tools), request)

    for at in range(1, min(len(undisturbed), 8)):
        records = await killed(log, FAST, agent_with(*tools), request, [(at, False)])

        assert folded(records) == folded(undisturbed)
        assert not of_kind(records, Reset)


async def test_an_agent_that_restarts_keeps_the_tools_that_have_run(log: DynamoDBStore) -> None:
    ran = Ran()

    @agent(resume="restart")
    async def restarting(task: Task) -> AsyncGenerator[Event]:
        def count() -> int:
            """Count."""
            ran.append(task.step_key)
            return len(ran)

        async for event in models.answer(task, [count]):
            yield event

    request = demo_request("/tool")
    undisturbed = await told(log, FAST, restarting, request)
    (result,) = [n for n, each in enumerate(undisturbed) if isinstance(each.event, ToolResult)]
    ran.clear()

    records = await killed(log, FAST, restarting, request, [(result + 1, False)])

    assert len(of_kind(records, Reset)) == 1
    assert ran == [f"{records[0].stream_id}:count:call00000:1"]
    assert folded(records)[-1] == folded(undisturbed)[-1]


async def test_an_agent_may_send_a_request_of_its_own(log: DynamoDBStore) -> None:
    @agent(resume="replay")
    async def own(task: Task) -> AsyncGenerator[Event]:
        request = replace(task.input, system="Be brief.", messages=(Message("user", "/tool"),))
        async for event in models.answer(task, [now], request=request):
            yield event

    records = await told(log, FAST, own, demo_request("hello"))

    assert len(of_kind(records, ToolCall)) == 1


def another() -> Callable[..., Any]:
    def now() -> str:
        """Also called so."""
        return "later"

    return now


@pytest.mark.parametrize(
    ("resume", "arguments", "to_do"),
    [
        ("continue", {"tools": [now]}, r'write @agent\(resume="replay"\) above the agent'),
        ("replay", {"tools": [now, another()]}, "two tools share a name: rename one of now, now"),
        ("replay", {"tools": [now], "rounds": 0}, "set `rounds` to 1 or more"),
        ("replay", {"tools": [lambda: 1]}, "'<lambda>' cannot be the name of a tool"),
        ("replay", {"request": "hello"}, "write models.answer"),
    ],
)
async def test_an_agent_that_cannot_answer_is_told_what_to_change(
    log: DynamoDBStore, resume: Any, arguments: dict[str, Any], to_do: str
) -> None:
    refusals = list[str]()

    @agent(resume=resume)
    async def wrong(task: Task) -> AsyncGenerator[Event]:
        try:
            models.answer(task, **arguments)
        except (ValueError, TypeError) as error:
            refusals.append(str(error))
        yield Answer("so")

    await told(log, FAST, wrong, demo_request())

    (refusal,) = refusals
    assert re.search(to_do, refusal)


async def test_a_tool_in_a_thread_knows_the_key_of_its_call(log: DynamoDBStore) -> None:
    @agent(resume="replay")
    async def keyed(task: Task) -> AsyncGenerator[Event]:
        def order(item: str) -> str:
            """Place an order."""
            return f"{task.step_key} for {item}"

        async for event in models.answer(task, [order]):
            yield event

    records = await told(log, FAST, keyed, demo_request("order tea and order milk"))

    assert [result.output for result in of_kind(records, ToolResult)] == [
        f"{records[0].stream_id}:order:call0000{number}:1 for tea and milk" for number in range(2)
    ]


async def test_a_throttled_answer_beside_another_one_is_tried_again(log: DynamoDBStore) -> None:
    """The other one is still being read when the attempt ends, and may have cost something."""
    throttled = ProviderError("provider_throttled", "Too many.", retryable=True, free=True)
    model = ScriptedProvider(
        [[throttled], [asyncio.Event()], [Answer("a"), Done("stop")], [Answer("b"), Done("stop")]]
    )

    @agent(resume="replay")
    async def twice(task: Task) -> AsyncGenerator[Event]:
        async def one(label: str) -> None:
            with task.branch(label):
                async for _ in models.answer(task):
                    pass

        await asyncio.gather(one("a"), one("b"))
        yield Answer(" are said")

    records = await told(log, model, twice, REQUEST)

    claims = [event.attempt for event in of_kind(records, Claim)]
    assert (claims, sorted(answer_in(records)), model.running) == ([2], sorted("ab are said"), 0)
