"""Agents by name: their inputs, their declared way of resuming, and their versions."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date
from typing import Any

import httpx
import pytest
from httpx_sse import EventSource
from pydantic import BaseModel, Field

from app.agents import Agent, Agents, AnyAgent, agent
from app.application import create_app
from app.events import Answer, Start
from app.models.base import Message, Request
from app.models.demo import DemoProvider
from app.producer import AgentProducer
from app.settings import Settings
from app.task import Task
from durable_stream import Event, ProducerFailed, Steps
from durable_stream import Task as EngineTask
from durable_stream.buffer import EventBuffer
from durable_stream.dynamodb import DynamoDBStore
from tests.app.serving import served
from tests.store import FaultyStore

pytestmark = pytest.mark.anyio


class Forecast(BaseModel):
    """The input of an agent of a cloner's own."""

    city: str = Field(min_length=1, max_length=20)
    day: date


async def echo(task: Task) -> AsyncGenerator[Event]:
    """Repeat the prompt.

    The rest of the docstring is no description.
    """
    yield Answer(task.input.messages[-1].content)


@agent(input=Forecast, resume="replay")
async def weather(task: Task[Forecast]) -> AsyncGenerator[Event]:
    """Forecast the weather."""

    async def rain(city: str) -> list[date]:
        assert city == task.input.city
        return [task.input.day]

    (day,) = await task.step("rain", rain, task.input.city)
    yield Answer(f"Rain in {task.input.city} on day {day.day}.")


class Topic(BaseModel):
    prompt: str


@agent(input=Topic, name="poet")
async def rhyme(task: Task[Topic]) -> AsyncGenerator[Event]:
    """Write a poem."""
    yield Answer(f"{task.input.prompt} and {task.input.prompt}")


@asynccontextmanager
async def serving(
    log: DynamoDBStore, agents: Sequence[AnyAgent] = (echo, weather, rhyme)
) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(Settings(table_name=log._table.name), DemoProvider(), agents=agents)
    async with served(app) as client:
        yield client


def said(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    events = EventSource(answer).iter_sse()
    return "".join(json.loads(e.data)["text"] for e in events if e.event == "answer")


async def ask(client: httpx.AsyncClient, **body: Any) -> httpx.Response:
    return await client.post("/streams?stream=true", json=body)


async def test_a_request_names_its_agent_and_the_first_one_answers_the_others(
    log: DynamoDBStore,
) -> None:
    async with serving(log) as client:
        assert said(await ask(client, prompt="Hello")) == "Hello"
        assert said(await ask(client, agent="echo", prompt="Hello")) == "Hello"
        forecast = await ask(client, agent="weather", city="Oslo", day="2026-11-30")
        assert said(forecast) == "Rain in Oslo on day 30."
        created = (await client.post("/streams", json={"agent": "poet", "prompt": "sun"})).json()
        assert created["agent"] == "poet"
        assert said(await client.get(created["events_url"])) == "sun and sun"


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"agent": "weather", "city": "", "day": "2026-11-30"}, "city"),
        ({"agent": "weather", "city": "Oslo"}, "day"),
        ({"agent": "weather", "prompt": "Oslo?"}, "city"),
        ({"agent": "echo", "city": "Oslo"}, "city"),
        ({"agent": "nobody", "prompt": "Hello"}, "echo, weather, poet"),
        ({"agent": "poet", "prompt": "\ud83d"}, ""),
    ],
)
async def test_bad_input_is_refused_before_anything_happens(
    log: DynamoDBStore, store: FaultyStore, body: dict[str, Any], named: str
) -> None:
    async with serving(log) as client:
        answer = await client.post(
            "/streams", content=json.dumps(body), headers={"content-type": "application/json"}
        )

    assert answer.status_code == 422
    assert answer.json()["error"]["code"] in {"invalid_request", "unknown_agent"}
    assert named in answer.json()["error"]["message"]
    assert not store.calls


async def test_an_event_source_reaches_an_agent_that_takes_a_prompt(log: DynamoDBStore) -> None:
    async with serving(log) as client:
        poem = await client.get("/sse", params={"agent": "poet", "prompt": "moon"})
        assert said(poem) == "moon and moon"
        more = await client.get("/sse", params={"agent": "weather", "prompt": "moon"})
        assert (more.status_code, "POST /streams" in more.text) == (422, True)
        nobody = await client.get("/sse", params={"agent": "nobody", "prompt": "moon"})
        assert nobody.json()["error"]["code"] == "unknown_agent"


async def test_agents_are_listed_with_what_they_do_and_the_form_of_their_input(
    log: DynamoDBStore,
) -> None:
    async with serving(log) as client:
        health = (await client.get("/healthz")).json()
        document = (await client.get("/openapi.json")).json()

    assert health["agents"] == [
        {"name": "echo", "description": "Repeat the prompt."},
        {"name": "weather", "description": "Forecast the weather."},
        {"name": "poet", "description": "Write a poem."},
    ]
    content = document["paths"]["/streams"]["post"]["requestBody"]["content"]
    forms = [
        each["$ref"].rpartition("/")[2] for each in content["application/json"]["schema"]["oneOf"]
    ]
    assert sorted(forms) == ["CreatePoetStream", "CreateStream", "CreateWeatherStream"]
    weather = document["components"]["schemas"]["CreateWeatherStream"]
    assert weather["properties"]["agent"]["const"] == "weather"
    assert weather["required"] == ["city", "day", "agent"]


async def test_one_key_with_another_agent_is_another_request(log: DynamoDBStore) -> None:
    headers = {"Idempotency-Key": "0123456789abcdef"}
    async with serving(log, [rhyme, agent(input=Topic, name="bard")(rhyme.function)]) as client:
        body = {"prompt": "sun"}
        first = await client.post("/streams", json=body, headers=headers)
        again = await client.post("/streams", json=body, headers=headers)
        other = await client.post("/streams", json={**body, "agent": "bard"}, headers=headers)

    assert first.json()["id"] == again.json()["id"]
    assert other.json()["error"]["code"] == "idempotency_key_reused"


async def test_an_application_may_have_no_agent_that_takes_a_prompt(log: DynamoDBStore) -> None:
    async with serving(log, [weather]) as client:
        assert said(await ask(client, city="Rome", day="2026-12-24")) == "Rain in Rome on day 24."
        assert (await ask(client, prompt="Hello")).status_code == 422


def test_two_agents_of_one_name_and_none_at_all_are_mistakes() -> None:
    with pytest.raises(ValueError, match="two agents are called 'echo'"):
        Agents([echo, echo])
    with pytest.raises(ValueError, match="AGENTS is empty"):
        Agents([])


async def not_a_generator(_: Task) -> None: ...


@pytest.mark.parametrize(
    ("options", "function", "told"),
    [
        ({"resume": "Restart"}, echo, "use one of restart, continue, replay, never"),
        ({"name": "two words"}, echo, "cannot name an agent"),
        ({}, not_a_generator, "not an async generator"),
    ],
)
def test_an_agent_that_cannot_work_is_a_mistake_when_it_is_made(
    options: dict[str, Any], function: Any, told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        agent(**options)(function)


class Aliased(BaseModel):
    city: str = Field(alias="town")


@agent(input=Aliased)
async def aliased(task: Task[Aliased]) -> AsyncGenerator[Event]:
    yield Answer(task.input.city)


async def test_an_input_with_aliases_comes_back_as_it_was(log: DynamoDBStore) -> None:
    async with serving(log, [aliased]) as client:
        assert said(await ask(client, town="Oslo")) == "Oslo"


def test_an_input_may_not_have_a_member_of_the_name_agent() -> None:
    class Secret(BaseModel):
        agent: str

    with pytest.raises(ValueError, match="rename"):
        agent(input=Secret)(echo)


# Resuming


def producer(*agents: AnyAgent) -> AgentProducer:
    return AgentProducer(Agents(agents), DemoProvider())


def started(**members: Any) -> Start:
    request = Request(messages=(Message("user", "Hi"),), model="demo", max_tokens=10)
    return Start(request.encode(), "", "demo", **members)


def test_an_agent_without_a_word_about_it_restarts() -> None:
    assert producer(echo).resume(started(agent="echo")) == "restart"


def versioned(version: str, **options: Any) -> Agent[Any]:
    return agent(resume="replay", version=version, **options)(echo)


def test_a_stream_of_another_version_restarts_or_ends_as_the_agent_says() -> None:
    start = started(agent="echo", version="1")

    assert producer(versioned("1")).resume(start) == "replay"
    assert producer(versioned("2")).resume(start) == "restart"
    assert producer(versioned("2", on_change="never")).resume(start) == "never"
    assert producer(agent(resume="never", version="2")(echo)).resume(start) == "never"


async def test_a_stream_whose_agent_is_gone_ends_and_says_so() -> None:
    start = started(agent="gone")
    steps = Steps("s", (), (), EventBuffer())
    here = producer(echo)

    with pytest.raises(ProducerFailed) as failed:
        await anext(here.events(EngineTask(stream_id="s", attempt=1, start=start), steps))
    assert failed.value.code == "unknown_agent"


@pytest.mark.parametrize(
    ("way", "said", "continued"),
    [
        ({"resume": "continue"}, (Answer("Hi"),), "prefill"),
        ({"resume": "continue"}, (), "restarted"),
        ({"resume": "restart"}, (Answer("Hi"),), "restarted"),
        ({"resume": "replay"}, (Answer("Hi"),), "replayed"),
        ({"resume": "continue", "input": Topic}, (Answer("Hi"),), "continued"),
    ],
)
def test_the_claim_tells_how_the_agent_comes_back(
    way: dict[str, Any], said: tuple[Event, ...], continued: str
) -> None:
    task = EngineTask(stream_id="s", attempt=2, start=started(agent="echo"), log=said)

    assert producer(agent(**way)(echo)).continued(task) == continued
