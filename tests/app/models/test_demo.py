"""The demo keeps to what was asked for, however often it is interrupted."""

import pytest

from app.events import Answer, Done
from app.models.base import Message, Partial, Request
from app.models.demo import DemoProvider

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("said", range(0, 130, 13))
async def test_a_demo_that_goes_on_says_no_more_than_was_asked_for(said: int) -> None:
    """Its thinking is not counted: every test and experiment would need room for it."""
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
