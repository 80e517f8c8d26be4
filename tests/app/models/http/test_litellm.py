"""The wires against LiteLLM's proxy, which is not ours, and whose models are mocks.

Its `/v1/messages` is asked for a model that is served by its own `/v1/chat/completions`, so that
it makes a stream of Anthropic's events of one of OpenAI's chunks.
"""

import json
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest

from app.events import Answer, Done
from app.models.base import Partial, Provider
from app.models.turns import Round, ToolUse
from local.ports import free_port
from tests.app.models.behind import ANSWER, TEXT, Behind, behind
from tests.app.models.services import CALLS, RESULTS, TOOLS
from tests.app.models.wires import KEY, REQUEST, Wire, all_wires, asked
from tests.peers import wait_for
from tests.plugin import ROOT

# It imports the clients of some hundred services first.
_START_SECONDS = 300

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.peers,
    pytest.mark.timeout(_START_SECONDS + 30),
    pytest.mark.parametrize("wire", all_wires(), ids=lambda wire: wire.name),
]


def model(name: str, **params: str) -> dict[str, Any]:
    return {
        "model_name": name,
        "litellm_params": {"model": "openai/any", "api_key": KEY, **params},
    }


def config(url: str, tools: str) -> dict[str, Any]:
    return {
        "model_list": [
            model("answers", mock_response=ANSWER),
            # By this name it asks for chat completions; as OpenAI's it would ask for responses.
            model("translates", model="hosted_vllm/answers", api_base=f"{url}/v1"),
            model("calls", model="hosted_vllm/calls", api_base=f"{tools}/v1"),
            model("throttles", mock_response="litellm.RateLimitError"),
            model("overflows", mock_response="litellm.ContextWindowExceededError"),
            model("breaks", mock_response="litellm.InternalServerError"),
        ],
        "general_settings": {"master_key": KEY},
        "router_settings": {"num_retries": 0},
    }


@pytest.fixture(scope="module")
def tools() -> Iterator[Behind]:
    """The server behind the proxy that calls tools."""
    with behind() as server:
        yield server


@pytest.fixture(scope="module")
def litellm(tmp_path_factory: pytest.TempPathFactory, tools: Behind) -> Iterator[str]:
    """The URL of a LiteLLM proxy that uses the loopback network only."""
    port = free_port()
    url, folder = f"http://127.0.0.1:{port}", tmp_path_factory.mktemp("litellm")
    (folder / "config.yaml").write_text(json.dumps(config(url, tools.url), ensure_ascii=False))
    executable = str(ROOT / ".venv-peers/bin/litellm")
    command = [executable, "--config", "config.yaml", "--telemetry", "False"]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            env={**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
            cwd=folder,
            stdout=log,
            stderr=log,
        ) as process,
    ):
        try:
            wait_for(f"{url}/health/liveliness", process, folder / "log", seconds=_START_SECONDS)
            yield url
        finally:
            process.terminate()


@pytest.fixture
async def provider(wire: Wire, litellm: str) -> AsyncIterator[Provider]:
    provider = wire.provider(f"{litellm}/v1" if wire.name == "openai" else litellm)
    yield provider
    await provider.close()


@pytest.mark.parametrize("said", ["", "half an answer and then"])
async def test_it_is_understood_and_understands(wire: Wire, provider: Provider, said: str) -> None:
    request = replace(
        REQUEST,
        model="answers" if wire.name == "openai" else "translates",
        system="Be brief.",
        temperature=0.5,
        stop=("END",),
    )

    deltas, code = await asked(provider, request, Partial(answer=said))

    assert code is None
    *texts, finish = deltas
    assert "".join(each.text for each in texts if isinstance(each, Answer)) == ANSWER
    assert len(texts) > 3, "it comes in pieces"
    assert isinstance(finish, Done)
    assert finish.finish_reason == "stop"
    assert finish.input_tokens
    assert finish.output_tokens


@pytest.mark.usefixtures("wire")
async def test_calls_of_tools_come_through_and_their_results_go_back(
    provider: Provider, tools: Behind
) -> None:
    request = replace(REQUEST, model="calls", tools=TOOLS)

    events, code = await asked(provider, request)

    *spoken, turn = events
    assert code is None
    assert isinstance(turn, ToolUse)
    assert [(call.name, call.arguments) for call in turn.calls] == [
        (call.name, call.arguments) for call in CALLS
    ]
    text = "".join(each.text for each in spoken if isinstance(each, Answer))
    assert text == TEXT
    results = tuple(
        replace(result, id=call.id) for result, call in zip(RESULTS, turn.calls, strict=True)
    )
    round_ = Round(calls=turn.calls, results=results, content=turn.content)

    events, code = await asked(provider, replace(request, rounds=(round_,)))

    assert code is None
    assert "".join(each.text for each in events if isinstance(each, Answer)) == ANSWER
    told = [each for each in tools.asked[-1]["messages"] if each["role"] == "tool"]
    assert [each["tool_call_id"] for each in told] == [call.id for call in turn.calls]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("throttles", "provider_throttled"),
        ("overflows", "context_too_long"),
        ("breaks", "provider_failed"),
        ("nobody", "unknown_model"),
    ],
)
@pytest.mark.usefixtures("wire")
async def test_its_refusals_are_understood(provider: Provider, name: str, code: str) -> None:
    assert await asked(provider, replace(REQUEST, model=name)) == ([], code)
