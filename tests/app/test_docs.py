"""Every agent in docs/agents.md runs as it is written."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from app.agents import Agents
from app.application import create_app
from app.models.demo import DemoProvider
from app.settings import Settings
from durable_stream.dynamodb import DynamoDBStore
from tests.app.serving import served

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SNIPPET = re.compile(r"```python\n(.*?)```\n\n```json\n(.*?)\n```", re.DOTALL)
SNIPPETS = SNIPPET.findall((DOCS / "agents.md").read_text())


# The reader of README imagines these.
AROUND_README = """
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from app import models
from app.agents import agent
from app.events import Source
from app.task import Task
from durable_stream import Event


@dataclass
class Place:
    url: str


def locate(text: str) -> Place:
    return Place("https://map.example")


def weather(city: str) -> str:
    "Tell the weather in a city."
    return f"It rains in {city}."


"""
README = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


def agents_of(code: str) -> tuple[Any, ...]:
    module: dict[str, Any] = {"__name__": "snippet"}
    exec(compile(code, "docs/agents.md", "exec"), module)  # noqa: S102 - our own page
    agents: tuple[Any, ...] = module["AGENTS"]
    return agents


def test_every_python_block_is_one_that_runs() -> None:
    assert len(SNIPPETS) == (DOCS / "agents.md").read_text().count("```python") > 0


def test_readme_shows_an_agent() -> None:
    assert README is not None


@pytest.mark.parametrize(
    ("code", "body"),
    [*SNIPPETS, (AROUND_README + (README[1] if README else ""), '{"prompt": "/tool Ulm?"}')],
    ids=lambda text: re.findall(r"AGENTS = \((\w+)|$", text)[0],
)
async def test_a_snippet_answers_the_request_below_it(
    log: DynamoDBStore, code: str, body: str
) -> None:
    agents = agents_of(code)
    app = create_app(
        Settings(table_name=log._table.name),
        DemoProvider(tokens_per_second=500, first_token_seconds=0),
        agents=agents,
    )
    async with served(app) as client:
        answer = await client.post("/streams?stream=true", json=json.loads(body))

    assert answer.status_code == 200, answer.text
    assert "event: done\n" in answer.text
    assert "event: answer\n" in answer.text
    assert "event: error\n" not in answer.text
    assert all(agent.description for agent in Agents(agents).by_name.values())
