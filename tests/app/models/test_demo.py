"""The demo respects `max_tokens`, however often it is interrupted."""

import pytest

from app.events import Answer, Done
from app.models.base import Message, Partial, Request
from app.models.demo import DemoProvider

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("said", range(0, 130, 13))
async def test_a_continued_demo_is_no_longer_than_max_tokens(said: int) -> None:
    """Thinking does not count: otherwise every test would have to allow for it."""
    demo = DemoProvider(tokens_per_second=1e6, tokens=500, first_token_seconds=0)
    request = Request(messages=(Message("user", "hi"),), model="demo", max_tokens=20)
    whole = "".join(demo.script(request).answer[:20])
    before = whole[:said]

    deltas = [delta async for delta in demo.stream(request, Partial(answer=before))]

    rest = "".join(delta.text for delta in deltas if isinstance(delta, Answer))
    assert before + rest == whole
    finish = deltas[-1]
    assert isinstance(finish, Done)
    assert finish.finish_reason == "length"
