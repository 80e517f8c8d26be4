"""The answers after which a careful client asks again, and those that it takes as final."""

import httpx
import pytest

from proof.chaos import client
from proof.chaos.client import Client, NoAnswer

pytestmark = pytest.mark.anyio

PLATFORMS = httpx.Response(502, text="Internal Server Error")
LOG_IS_OUT = httpx.Response(
    503, headers={"Retry-After": "0"}, json={"error": {"code": "log_unavailable"}}
)
COME_BACK = httpx.Response(200, text="retry: 5000\n")


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_PAUSE", 0)


async def ask(method: str, *answers: httpx.Response | Exception) -> tuple[httpx.Response, str]:
    """The last answer, and the functions that were asked."""
    given = iter(answers)
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        following = next(given)
        if isinstance(following, Exception):
            raise following
        return following

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        careful = Client(http, ["http://a", "http://b"], lambda _: None)
        last = await careful.ask(method, "/streams", nth=1, seconds=1)
    return last, "".join(asked)


@pytest.mark.parametrize(
    ("method", "trouble"),
    [
        ("POST", PLATFORMS),
        ("POST", LOG_IS_OUT),
        ("POST", httpx.ReadError("")),
        ("GET", PLATFORMS),
        ("GET", COME_BACK),
    ],
)
async def test_trouble_that_passes_is_asked_about_again_elsewhere(
    method: str, trouble: httpx.Response | Exception
) -> None:
    last, asked = await ask(method, trouble, trouble, httpx.Response(400))

    assert last.status_code == httpx.codes.BAD_REQUEST
    assert asked == "bab"


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("POST", httpx.Response(500, json={"error": {"code": "internal_error"}})),
        ("POST", httpx.Response(502, text="Bad Gateway")),
        ("POST", httpx.Response(503, headers={"Retry-After": "2"}, text="no")),
        ("POST", httpx.Response(503, json={"error": {"code": "log_unavailable"}})),
        ("POST", httpx.Response(429, headers={"Retry-After": "2"})),
        ("GET", LOG_IS_OUT),
        ("GET", httpx.Response(200, text="data: {}\n\n")),
    ],
)
async def test_any_other_answer_is_the_last_word(method: str, answer: httpx.Response) -> None:
    last, asked = await ask(method, answer)

    assert last is answer
    assert asked == "b"


async def test_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_PATIENCE", 0.05)

    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("", request=request)

    async with httpx.AsyncClient(transport=httpx.MockTransport(refuse)) as http:
        with pytest.raises(NoAnswer, match="GET /streams: nobody has answered"):
            await Client(http, ["http://a"], lambda _: None).ask("GET", "/streams", seconds=1)
