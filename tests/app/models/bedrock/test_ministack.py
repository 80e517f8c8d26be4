"""The provider against MiniStack's ConverseStream, which is not ours."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace

import pytest

from app.events import Done
from app.models.base import Message, Partial, Request
from app.models.bedrock import BedrockProvider
from app.models.deadlines import Deadlines
from app.models.turns import Round, ToolUse
from tests.app.models.bedrock.asking import asked, text_of
from tests.app.models.behind import ANSWER, TEXT, Behind, behind
from tests.app.models.services import CALLS, RESULTS, TOOLS
from tests.ministack import ministack
from tests.store import CREDENTIALS

pytestmark = [pytest.mark.anyio, pytest.mark.peers]


@pytest.fixture(scope="module")
def tools() -> Iterator[Behind]:
    """A model behind MiniStack that calls tools."""
    with behind() as server:
        yield server


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, tools: Behind) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("ministack")
    # Where that server refuses, MiniStack answers by itself.
    environ = {"SERVICES": "bedrock-runtime", "MINISTACK_BEDROCK_PROXY_URL": tools.url}
    with ministack(folder, environ) as url:
        yield url


@pytest.fixture
def provider(service: str, monkeypatch: pytest.MonkeyPatch) -> BedrockProvider:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", service)
    return BedrockProvider(("any",), Deadlines())


def reply(kind: str, model: str, text: str) -> str:
    """Its answer to a request with these lines as its texts, system first."""
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"[ministack mock {kind} {model}] reply for prompt#{digest}"


@pytest.mark.parametrize(
    ("kind", "model"),
    [
        ("nova", "amazon.nova-lite-v1:0"),
        ("anthropic", "us.anthropic.claude-opus-4-6-v1"),
        (
            "generic",
            "arn:aws:bedrock:us-east-1:000000000000:application-inference-profile/a1b2c3",
        ),
    ],
    ids=["model", "inference profile", "ARN"],
)
async def test_it_is_understood_and_understands(
    provider: BedrockProvider, kind: str, model: str
) -> None:
    request = Request(
        messages=(Message("user", "größer?"), Message("assistant", "no"), Message("user", "why")),
        model=model,
        max_tokens=99,
        temperature=0.5,
        system="Be brief.",
        stop=("END",),
    )

    deltas, code = await asked(provider, request)

    assert code is None
    expected = reply(kind, model, "Be brief.\ngrößer?\nno\nwhy")
    assert text_of(deltas) == expected
    assert len(deltas) > 3, "it comes in pieces"
    assert deltas[-1] == Done("stop", len("Be brief.größer?\nno\nwhy") // 4, len(expected) // 4)
    await provider.close()


async def test_a_prefill_arrives_as_the_models_own_turn(provider: BedrockProvider) -> None:
    model = "anthropic.claude-3-haiku-20240307-v1:0"
    request = Request(messages=(Message("user", "hi"),), model=model, max_tokens=9)

    deltas, code = await asked(provider, request, Partial("", "Well, "))

    assert code is None
    assert text_of(deltas) == reply("anthropic", model, "\nhi\nWell,")
    await provider.close()


async def test_calls_of_tools_come_through_and_their_results_go_back(
    provider: BedrockProvider, tools: Behind
) -> None:
    request = Request(
        messages=(Message("user", "hi"),), model="amazon.nova-lite-v1:0", max_tokens=99, tools=TOOLS
    )

    events, code = await asked(provider, request)

    turn = events[-1]
    assert code is None
    assert isinstance(turn, ToolUse)
    assert turn.calls == CALLS
    assert text_of(events) == TEXT
    round_ = Round(calls=turn.calls, results=RESULTS, content=turn.content)

    events, code = await asked(provider, replace(request, rounds=(round_,)))

    assert code is None
    assert text_of(events) == ANSWER
    told = [each for each in tools.asked[-1]["messages"] if each["role"] == "tool"]
    assert [each["tool_call_id"] for each in told] == [call.id for call in CALLS]
    await provider.close()


async def test_its_refusal_is_understood(provider: BedrockProvider) -> None:
    stranger = "arn:aws:bedrock:us-east-1:999999999999:inference-profile/us.amazon.nova-lite-v1:0"
    request = Request(messages=(Message("user", "hi"),), model=stranger, max_tokens=9)

    assert await asked(provider, request) == ([], "provider_rejected")
    await provider.close()
