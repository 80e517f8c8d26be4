"""An agent that starts over: all readers, early and late, and the page end with the same."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.event_source import Event
from tests.flows.chat_page import asked, profile, reads, shows, stream_of
from tests.flows.conftest import Conversation, Function, Gate, Start
from tests.flows.heard import assert_each_once, text
from tests.flows.reader import Reader

pytestmark = [pytest.mark.anyio, pytest.mark.chromium]

KILLS = 3


@pytest.fixture
def restarting(start: Start, task_root: Path) -> Start:
    """The function whose agent restarts."""
    here = Path(__file__).with_name("restarting.py")
    (task_root / here.name).unlink(missing_ok=True)
    (task_root / here.name).symlink_to(here)

    @asynccontextmanager
    async def started(env: dict[str, str]) -> AsyncIterator[Function]:
        async with start({"LEASE": "1", **env}, handler="restarting.handler") as function:
            yield function

    return started


def since_the_last_reset(events: Sequence[Event]) -> str:
    """The answer as a reader folds it."""
    kinds = [event.name for event in events]
    last = len(kinds) - kinds[::-1].index("reset") if "reset" in kinds else 0
    return text(events[last:])


def saying(text: str) -> Callable[[Sequence[Event]], bool]:
    return lambda events: since_the_last_reset(events) == text


async def test_readers_early_and_late_and_the_page_end_with_the_same_after_three_kills(
    restarting: Start, gate: tuple[Gate, dict[str, str]]
) -> None:
    model, env = gate
    async with restarting(env) as function, profile() as browser:
        page = await browser.open(function)
        conversation: Conversation = await asked(page, model)
        stream = stream_of(page)
        events_path = f"/streams/{stream}/events"
        early = Reader(function, events_path)
        for attempt in range(1, KILLS + 1):
            await conversation.say(f"said by {attempt} ")
            await reads(page, f"{attempt}: said by {attempt} ")
            await early.until(saying(f"{attempt}: said by {attempt} "))
            for sandbox in await function.serving(events_path):
                await function.do("kill", sandbox)
            conversation = await model.next()
            assert conversation.continue_from == ""
        late = Reader(function, events_path)
        await conversation.say("said by the last")
        await conversation.finish()
        whole = f"{KILLS + 1}: said by the last"
        await shows(page, "finished")
        await reads(page, whole)
        for reader in (early, late):
            events = await reader.end()
            assert_each_once(events)
            assert since_the_last_reset(events) == whole
        snapshot = (await function.http.get(f"/streams/{stream}")).json()
        assert snapshot["answer"] == whole
