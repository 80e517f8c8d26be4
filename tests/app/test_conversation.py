"""The tree of turns that the page keeps, in Chromium and without the page."""

from base64 import b64encode
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser

from tests.chromium import chromium

pytestmark = [pytest.mark.anyio, pytest.mark.chromium]

SOURCE = (Path(__file__).parents[2] / "src/app/web/conversation.js").read_bytes()
MODULE = f"data:text/javascript;base64,{b64encode(SOURCE).decode()}"
# Two versions of the first turn; two of the turn that follows the first of these.
SCRIPT = """async ([module, given]) => {
  const { Conversation, turnsOf } = await import(module);
  const turn = (id, previous) => ({ id, previous, prompt: `${id}?`, at: 1 });
  const tree = new Conversation([turn("a", ""), turn("b", "a"), turn("c", ""), turn("d", "a")]);
  const ids = (turns) => turns.map(({ id }) => id);
  return EXPRESSION;
}"""

Evaluate = Callable[..., Awaitable[Any]]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def browser(anyio_backend: str) -> Any:
    assert anyio_backend == "asyncio"
    async with chromium() as browser:
        yield browser


@pytest.fixture
async def js(browser: Browser) -> Any:
    page = await browser.new_page()

    async def evaluate(expression: str, given: object = None) -> Any:
        return await page.evaluate(SCRIPT.replace("EXPRESSION", expression), [MODULE, given])

    yield evaluate
    await page.close()


def said(*messages: str) -> list[dict[str, str]]:
    """Prompts end with a question mark, and answers do not."""
    roles = ["user" if each.endswith("?") else "assistant" for each in messages]
    return [{"role": r, "content": c} for r, c in zip(roles, messages, strict=True)]


async def told(js: Evaluate, *messages: str, follows: tuple[str, ...] = ()) -> list[list[str]]:
    """The turns of the snapshot of stream `z`, each as its id, its prompt and its answer."""
    snapshot = {"id": "z", "follows": follows, "messages": said(*messages)}
    turns = "turnsOf(given).map(({ id, prompt, answer }) => [id, prompt, answer])"
    result: list[list[str]] = await js(turns, snapshot)
    return result


async def test_a_path_leads_from_the_first_turn_to_the_one_that_is_named(js: Evaluate) -> None:
    assert await js('ids(tree.path("d"))') == ["a", "d"]


async def test_an_id_that_is_unknown_has_no_path_and_no_version(js: Evaluate) -> None:
    assert await js('[tree.path("x"), tree.following("x"), tree.newest("x"), tree.has("x")]') == [
        *([], [], "x", False),
    ]


async def test_a_path_ends_where_the_turn_before_is_unknown_or_comes_again(js: Evaluate) -> None:
    assert await js('ids(new Conversation([turn("b", "a")]).path("b"))') == ["b"]
    assert await js('ids(new Conversation([turn("a", "b"), turn("b", "a")]).path("b"))') == [
        *("a", "b"),
    ]


async def test_turns_that_follow_the_same_one_are_versions_in_the_order_they_came(
    js: Evaluate,
) -> None:
    versions = "[...tree.versions()].map(([previous, turns]) => [previous, ids(turns)])"
    assert await js(versions) == [["", ["a", "c"]], ["a", ["b", "d"]]]
    assert await js('ids(tree.following("a"))') == ["b", "d"]


async def test_the_newest_versions_lead_to_the_last_turn(js: Evaluate) -> None:
    assert await js('["", "a", "b"].map((id) => tree.newest(id))') == ["c", "d", "b"]


async def test_newest_ends_also_in_a_circle(js: Evaluate) -> None:
    assert await js('new Conversation([turn("a", "b"), turn("b", "a")]).newest("a")') == "a"


async def test_a_turn_that_is_known_stays_as_it_is(js: Evaluate) -> None:
    again = '{ id: "a", previous: "b", prompt: "other?", at: 2 }'
    assert await js(f'[tree.add({again}), tree.path("a"), tree.at]') == [
        *(False, [{"id": "a", "previous": "", "prompt": "a?", "at": 1}], 1),
    ]


async def test_it_learns_the_streams_of_a_snapshot_and_tells_if_one_is_new(js: Evaluate) -> None:
    given = [{"id": "a", "prompt": "a?"}, {"id": "e", "prompt": "e?"}]
    assert await js('[tree.learn(given), tree.learn(given), ids(tree.path("e"))]', given) == [
        *(True, False, ["a", "e"]),
    ]


async def test_it_does_not_learn_a_turn_that_is_no_stream(js: Evaluate) -> None:
    """The first stream behind it is the first turn."""
    given = [{"id": "", "prompt": "before?"}, {"id": "e", "prompt": "e?"}]
    learnt = "((it) => [it.learn(given), it.turns.map(({ id, previous }) => [id, previous])])"
    assert await js(f"{learnt}(new Conversation())", given) == [True, [["e", ""]]]


async def test_the_title_is_the_first_prompt_in_one_line_and_not_too_long(js: Evaluate) -> None:
    title = 'new Conversation([{ ...turn("a", ""), prompt: given }]).title'
    assert await js(title, " two\n\nlines ") == "two lines"
    assert await js(title, "x" * 81) == "x" * 80 + "…"


async def test_each_stream_has_a_prompt_and_all_but_the_last_an_answer(js: Evaluate) -> None:
    assert await told(js, "one?", "one", "two?", follows=("a",)) == [
        *(["a", "one?", "one"], ["z", "two?", ""]),
    ]


async def test_a_stream_that_has_said_nothing_has_no_answer(js: Evaluate) -> None:
    assert await told(js, "one?", "two?", "two", "three?", follows=("a", "b")) == [
        *(["a", "one?", ""], ["b", "two?", "two"], ["z", "three?", ""]),
    ]


async def test_messages_sent_along_are_turns_without_a_stream(js: Evaluate) -> None:
    assert await told(js, "zero", "one?", "one", "two?", "two", "three?", follows=("a",)) == [
        *(["", "", "zero"], ["", "one?", "one"], ["a", "two?", "two"], ["z", "three?", ""]),
    ]


async def test_streams_whose_messages_are_not_told_are_turns_all_the_same(js: Evaluate) -> None:
    assert await told(js, follows=("a",)) == [["a", "", ""], ["z", "", ""]]


async def test_two_answers_in_a_row_are_paragraphs_of_one(js: Evaluate) -> None:
    """The API takes such messages."""
    assert await told(js, "one?", "one", "uno", "two?", follows=("a",)) == [
        *(["a", "one?", "one\n\nuno"], ["z", "two?", ""]),
    ]
