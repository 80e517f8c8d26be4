"""Tabs of one browser that show the same stream in Chromium: one of them reads, for all.

The server is the test's own. It sends the events that a test decides, and counts connections.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest
from playwright.async_api import Browser, BrowserContext, Page
from playwright.async_api import TimeoutError as TimedOut

from tests.app.scripted_server import Server, answer, frame, late, silence, sse
from tests.app.test_client import DEADLINE, EVENTS, KINDS, OTHERS, PAGE, SNAPSHOT, refusal, snapshot
from tests.bare_page import bare_pages
from tests.chromium import chromium

pytestmark = [pytest.mark.anyio, pytest.mark.chromium]

AT_ONCE = 1.5
MANY = 40
# The messages that a page receives from other tabs. `deaf` lists events that it does not receive.
HEARING = """{
  window.heard = [];
  window.deaf = [];
  const listen = BroadcastChannel.prototype.addEventListener;
  BroadcastChannel.prototype.addEventListener = function (type, listener) {
    listen.call(this, type, (event) => {
      heard.push(event.data);
      const lost = event.data.events?.some(({ lastEventId }) => deaf.includes(lastEventId));
      if (lost && !event.data.to) return;
      listener(event);
    });
  };
}"""


@dataclass
class Feed:
    """A stream whose events a test decides. Each connection resumes after its cursor."""

    server: Server
    stream: str = "s"
    most: int = 0
    status: str = "streaming"
    _frames: list[bytes] = field(default_factory=list)
    _open: list[asyncio.Event] = field(default_factory=list)
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.server.script(self.path, *[self._serve] * MANY)
        self.server.usual[f"/streams/{self.stream}"] = self._show

    @property
    def path(self) -> str:
        return f"/streams/{self.stream}/events"

    def say(self, *texts: str) -> None:
        for text in texts:
            self.send("answer", text=text)

    def send(self, kind: str, **data: Any) -> None:
        self._frames.append(frame(len(self._frames), kind, data, self.stream))
        if kind in ("done", "error", "cancelled"):
            self.status = kind
        for news in self._open:
            news.set()

    def drop(self) -> None:
        """Break all connections."""
        for writer in self._writers:
            writer.transport.abort()

    def end(self) -> None:
        self.send("done", finish_reason="stop", usage=None)

    @property
    def cursors(self) -> list[str]:
        """The cursor of each connection so far."""
        return [
            request.headers.get("last-event-id") or request.query.get("last_event_id", "")
            for request in self.server.asked(self.path)
        ]

    async def _show(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await snapshot(len(self._frames) - 1, self.status)(reader, writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        cursor = self.cursors[-1]
        sent = int(cursor.split(":")[1]) + 1 if cursor else 0
        news = asyncio.Event()
        self._open.append(news)
        self._writers.append(writer)
        self.most = max(self.most, len(self._open))
        left = asyncio.create_task(reader.read())
        left.add_done_callback(lambda _: news.set())
        try:
            await sse()(reader, writer)
            while not left.done():
                news.clear()
                writer.write(b"".join(self._frames[sent:]))
                sent = len(self._frames)
                await news.wait()
        finally:
            left.cancel()
            self._open.remove(news)


@dataclass
class Tab:
    """A page with the client."""

    page: Page

    async def run(self, script: str) -> Any:
        with anyio.fail_after(DEADLINE):
            return await self.page.evaluate(script)

    async def until(self, condition: str, seconds: float = DEADLINE) -> None:
        await self.page.wait_for_function(condition, timeout=seconds * 1000)

    async def read(self, options: str = "{}") -> None:
        await self.run(f"read({options})")

    async def shows(self, text: str, seconds: float = DEADLINE) -> None:
        """Return when the tab has received exactly these words, each once and in order."""
        said = "events.filter(([kind]) => kind === 'answer').map(([, data]) => data.text).join('')"
        try:
            await self.until(f"{said} === '{text}'", seconds)
        except TimedOut:
            there = await self.run(said), await self.run("[stream.state, states, heard]")
            raise AssertionError(f"the tab shows {there}, and not {text!r}") from None

    async def enters(self, state: str, seconds: float = DEADLINE) -> None:
        await self.until(f"stream.state === '{state}'", seconds)

    async def show(self, *, shown: bool) -> None:
        """Show or hide the page. A headless browser shows all its pages."""
        now = f"{{ configurable: true, value: {str(not shown).lower()} }}"
        await self.run(f"Object.defineProperty(document, 'hidden', {now}), null")
        await self.run("document.dispatchEvent(new Event('visibilitychange'))")


@dataclass
class Bench:
    """A browser, and the server of its pages."""

    server: Server
    feed: Feed
    context: BrowserContext
    address: str

    async def tab(self, options: str | None = "{}") -> Tab:
        """A new page, which reads the stream."""
        tab = Tab(await self.context.new_page())
        await tab.page.goto(self.address)
        await tab.until("window.ready")
        await tab.run(HEARING)
        if options is not None:
            await tab.read(options)
        return tab

    async def leader(self, options: str = "{}") -> Tab:
        """A new page that reads the stream for the others."""
        tab = await self.tab(options)
        await tab.until("sources[0]?.readyState === 1")
        return tab


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def browser(anyio_backend: str) -> AsyncIterator[Browser]:
    assert anyio_backend == "asyncio"
    async with chromium(keeps_pages=True) as browser:
        yield browser


@pytest.fixture
async def bench(browser: Browser) -> AsyncIterator[Bench]:
    async with _bench(browser) as bench:
        yield bench


@asynccontextmanager
async def _bench(browser: Browser) -> AsyncIterator[Bench]:
    server = Server({**PAGE, "/other": answer(200, b"<!doctype html>Other", "text/html")})
    errors: list[str] = []
    async with await asyncio.start_server(server.serve, "127.0.0.1") as listener:
        context = await browser.new_context()
        context.on("weberror", lambda error: errors.append(str(error.error)))
        address = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        yield Bench(server, Feed(server), context, address)
        await context.close()
    assert errors == []
    assert server.unexpected == []


async def test_seven_tabs_are_live_over_one_connection(bench: Bench) -> None:
    tabs = [await bench.tab() for _ in range(7)]
    bench.feed.say("one ", "two ")
    for tab in tabs:
        await tab.shows("one two ")
        assert await tab.run("states") == ["live"]
    bench.feed.say("three ")
    bench.feed.end()
    for tab in tabs:
        await tab.enters("finished")
        await tab.shows("one two three ")
    assert bench.feed.cursors == [""]


async def test_a_tab_that_comes_later_gets_all_that_was_said_before(bench: Bench) -> None:
    first = await bench.leader()
    bench.feed.say("one ", "two ")
    await first.shows("one two ")
    later = await bench.tab()
    await later.shows("one two ")
    await later.enters("live")
    assert await later.run("stream.parts") == [{"kind": "answer", "text": "one two "}]
    assert bench.feed.cursors == [""]


async def test_a_tab_that_comes_late_gets_a_long_answer_in_slices(bench: Bench) -> None:
    """The last slice tells how the leading tab reads."""
    leader = await bench.leader()
    words = [f"{number} " for number in range(1_200)]
    bench.feed.say(*words)
    await leader.shows("".join(words))
    later = await bench.tab()
    await later.shows("".join(words))
    await later.enters("live")
    slices = "heard.filter(({ to }) => to).map(({ events, now }) => [events.length, now?.state])"
    assert await later.run(slices) == [[500, None], [500, None], [200, "live"]]
    assert bench.feed.cursors == [""]


async def closed(leader: Tab) -> None:
    await leader.page.close()


async def stopped_reading(leader: Tab) -> None:
    await leader.run("stream.close()")


async def crashed(leader: Tab) -> None:
    async with anyio.create_task_group() as group:
        async with leader.page.expect_event("crash"):
            group.start_soon(_crash, leader)
        group.cancel_scope.cancel()


async def _crash(leader: Tab) -> None:
    session = await leader.page.context.new_cdp_session(leader.page)
    await session.send("Page.crash")  # which is never answered


async def left(leader: Tab) -> None:
    await leader.page.goto(leader.page.url + "other")


async def paused(leader: Tab) -> None:
    await leader.show(shown=False)
    await leader.enters("paused")


@pytest.mark.parametrize("gone", [closed, stopped_reading, crashed, left, paused])
async def test_another_tab_reads_on_at_its_last_event_when_the_leading_one_is_gone(
    bench: Bench, gone: Any
) -> None:
    leader = await bench.leader("{hiddenMs: 100}")
    follower = await bench.tab()
    bench.feed.say("one ", "two ")
    await follower.shows("one two ")
    began = time.monotonic()
    await gone(leader)
    bench.feed.say("three ")
    await follower.shows("one two three ", AT_ONCE)
    assert time.monotonic() - began < 2 * AT_ONCE
    assert bench.feed.cursors == ["", "s:1"]
    assert set(await follower.run("states")) <= {"live", "connecting"}


async def test_a_page_that_comes_back_from_the_back_button_has_missed_nothing(
    bench: Bench,
) -> None:
    leader = await bench.leader()
    follower = await bench.tab()
    bench.feed.say("one ")
    await follower.shows("one ")
    await left(leader)
    bench.feed.say("two ")
    await follower.shows("one two ")
    await leader.page.go_back(wait_until="commit")
    assert await leader.run("sources.length") == 1, "the page is the one from before"
    await leader.shows("one two ")
    bench.feed.say("three ")
    await leader.shows("one two three ")
    await leader.enters("live")
    assert bench.feed.cursors == ["", "s:0"]


async def test_a_page_that_freezes_gives_up_the_lead_and_has_missed_nothing_later(
    bench: Bench, browser: Browser
) -> None:
    pages = await bare_pages(browser)
    leader, follower = await pages.open(bench.address), await pages.open(bench.address)
    said = "stream.parts[0]?.text"
    for page in (leader, follower):
        await page.until("window.ready")
        await page.evaluate("read()")
        bench.feed.say("one ")
        await page.until(f"{said}?.startsWith('one ')")
    await leader.freeze()
    bench.feed.say("two ")
    await follower.until(f"{said} === 'one one two '", AT_ONCE)
    assert bench.feed.cursors == ["", "s:1"]
    assert await leader.evaluate(f"[{said}, sources[0].readyState]") == ["one one ", 2]
    await leader.resume()
    bench.feed.say("three ")
    for page in (leader, follower):
        await page.until(f"{said} === 'one one two three '")
        await page.until("stream.state === 'live'")
    assert bench.feed.cursors == ["", "s:1"]
    for page in (leader, follower):
        await page.close()


async def test_a_leading_tab_that_hangs_loses_the_lead_and_follows_later(bench: Bench) -> None:
    leader = await bench.leader()
    follower = await bench.tab("{stalledMs: 200, leaderMs: 300}")
    bench.feed.say("one ")
    await follower.shows("one ")
    await leader.run(
        "void setTimeout(() => { for (const end = Date.now() + 3000; Date.now() < end;); })"
    )
    await follower.until("sources[0]?.readyState === 1", 2.5)
    bench.feed.say("two ")
    await follower.shows("one two ")
    await leader.shows("one two ")
    await leader.until("sources[0].readyState === 2")
    assert bench.feed.cursors == ["", "s:0"]
    assert (await follower.run("states"))[:4] == ["live", "stalled", "reconnecting", "live"]


async def test_a_leading_tab_without_news_keeps_the_lead_while_it_answers(bench: Bench) -> None:
    await bench.leader()
    follower = await bench.tab("{stalledMs: 50, leaderMs: 1_000}")
    bench.feed.say("one ")
    await follower.shows("one ")
    await follower.until("heard.filter(({ to }) => to).length > 5")
    assert bench.feed.cursors == [""]


async def test_a_visible_tab_does_not_rely_on_a_hidden_one_in_trouble(bench: Bench) -> None:
    """The browser slows the timers of hidden pages down; the wait here is without end."""
    bench.server.scripts[EVENTS].insert(1, answer(503))
    bench.server.script(SNAPSHOT, *[snapshot(0)] * 2)
    leader = await bench.leader("{backoffMs: 3_600_000, backoffCapMs: 3_600_000}")
    follower = await bench.tab()
    bench.feed.say("one ")
    await follower.shows("one ")
    await leader.show(shown=False)
    bench.feed.drop()
    bench.feed.say("two ")
    for tab in (follower, leader):
        await tab.shows("one two ")


async def test_a_tab_that_misses_a_message_asks_for_what_it_lacks(bench: Bench) -> None:
    await bench.leader()
    follower = await bench.tab()
    await follower.until("heard.length > 0")
    await follower.run("deaf.push('s:1', 's:2'), null")
    for at, word in enumerate(("zero ", "one ", "two ", "three ")):
        bench.feed.say(word)
        await follower.until(
            f"heard.some(({{ events = [] }}) => events.some("
            f"({{ lastEventId }}) => lastEventId === 's:{at}'))"
        )
    await follower.shows("zero one two three ")
    assert bench.feed.cursors == [""]


async def test_a_tab_that_needs_more_than_the_leading_one_has_takes_the_lead(
    bench: Bench,
) -> None:
    bench.feed.say("zero ", "one ", "two ")
    leader = await bench.leader("{lastEventId: 's:1'}")
    await leader.shows("two ")
    follower = await bench.tab()
    await follower.shows("zero one two ")
    bench.feed.say("three ")
    await leader.shows("two three ")
    await follower.shows("zero one two three ")
    assert bench.feed.cursors == ["s:1", ""]


async def test_a_tab_that_knows_more_kinds_than_the_leading_one_reads_them(bench: Bench) -> None:
    """The leading tab finds a hole, and the server tells none of its kinds."""
    bench.server.script(SNAPSHOT, *[snapshot(2)] * 2)
    leader = await bench.leader()
    follower = await bench.tab("{kinds: {tool: null}}")
    bench.feed.say("zero ")
    bench.feed.send("tool", n=1)
    bench.feed.say("two ")
    await follower.until("every.length === 3")
    assert await follower.run("every.map(({ kind }) => kind)") == ["answer", "tool", "answer"]
    await leader.shows("zero two ")


async def test_tabs_share_what_the_server_tells_of_its_kinds(bench: Bench) -> None:
    bench.server.script("/streams", answer(201, {"id": "s"}, kinds=f"{KINDS}, aside;text"))
    leader = await bench.tab(None)
    await leader.run("create({prompt: 'Hi'})")
    await leader.read()
    follower = await bench.tab()
    await follower.until("heard.length > 0")
    bench.feed.send("aside", text="0 ")
    bench.feed.send("aside", text="1 ")
    await follower.until("every.length === 2")
    assert await follower.run("stream.parts") == [{"kind": "aside", "text": "0 1 "}]
    assert bench.feed.cursors == [""]


async def test_stop_in_one_tab_stops_all(bench: Bench) -> None:
    bench.server.script("/streams/s/cancel", answer(200, {"status": "cancelled"}))
    leader = await bench.leader()
    followers = [await bench.tab() for _ in range(2)]
    bench.feed.say("one ")
    await followers[0].shows("one ")
    await followers[0].run("stream.cancel()")
    bench.feed.send("cancelled")
    for tab in (leader, *followers):
        await tab.enters("cancelled", AT_ONCE)
    assert bench.feed.cursors == [""]


async def test_stop_in_the_leading_tab_stops_all(bench: Bench) -> None:
    bench.server.script("/streams/s/cancel", answer(200, {"status": "cancelled"}))
    leader = await bench.leader()
    follower = await bench.tab()
    bench.feed.say("one ")
    await follower.shows("one ")
    await leader.run("stream.cancel()")
    bench.feed.send("cancelled")
    for tab in (leader, follower):
        await tab.enters("cancelled", AT_ONCE)
        assert await tab.run("states") == ["live", "cancelled"]


async def test_a_leading_tab_whose_stop_hangs_loses_the_lead_and_follows_later(
    bench: Bench,
) -> None:
    bench.server.script("/streams/s/cancel", silence)
    leader = await bench.leader("{timeoutMs: 3_000, attempts: 1}")
    follower = await bench.tab("{stalledMs: 200, leaderMs: 300}")
    bench.feed.say("one ")
    await follower.shows("one ")
    await leader.run("void stream.cancel().catch(({ code }) => { window.code = code; })")
    await follower.until("sources[0]?.readyState === 1", AT_ONCE)
    bench.feed.say("two ")
    await follower.shows("one two ")
    assert await leader.run("window.code") is None
    await leader.until("window.code === 'no_answer'")
    bench.feed.say("three ")
    for tab in (leader, follower):
        await tab.shows("one two three ")
    assert bench.feed.cursors == ["", "s:0"]


async def test_different_streams_have_a_connection_each(bench: Bench) -> None:
    other = Feed(bench.server, "s1")
    tabs = [await bench.tab(), await bench.tab()]
    for tab in tabs:
        await tab.run(
            "{ window.words = []; window.other = new LLMStream('s1', quick);"
            "  other.addEventListener('answer', ({ data }) => words.push(data.text)); }"
        )
    bench.feed.say("one ")
    other.say("uno ")
    for tab in tabs:
        await tab.shows("one ")
        await tab.until("words.join('') === 'uno '")
    assert (bench.feed.cursors, other.cursors) == ([""], [""])


async def test_tabs_of_a_stream_that_has_ended_read_it_one_after_another(bench: Bench) -> None:
    bench.feed.say("one ")
    bench.feed.end()
    tabs = [await bench.tab() for _ in range(3)]
    for tab in tabs:
        await tab.enters("finished")
        await tab.shows("one ")
    assert bench.feed.most == 1


async def crowd(bench: Bench) -> Tab:
    """A tab that reads five other streams, which hold all connections that readers may have."""
    tab = await bench.tab(None)
    for other in OTHERS:
        Feed(bench.server, other).say("one ")
    await tab.page.evaluate(
        "ids => { window.others = ids.map((id) => new LLMStream(id, quick)) }", OTHERS
    )
    await tab.until("others.every((other) => other.state === 'live')")
    return tab


async def test_tabs_say_together_that_their_stream_waits_for_a_connection(bench: Bench) -> None:
    bench.server.script(SNAPSHOT, snapshot(0))
    others = await crowd(bench)
    tabs = [await bench.tab(), await bench.tab()]
    for tab in tabs:
        await tab.enters("crowded")
    bench.feed.say("one ")
    await others.run("others[0].close()")
    for tab in tabs:
        await tab.shows("one ")
        assert await tab.run("states") == ["crowded", "connecting", "live"]
    assert bench.feed.cursors == [""]


SLOW_LIST = """{
  const query = navigator.locks.query.bind(navigator.locks);
  window.mayList = new Promise((resolve) => { window.list = resolve; });
  window.asked = 0;
  navigator.locks.query = () => ((asked += 1), mayList.then(query));
  null;
}"""


async def list_locks(tab: Tab) -> None:
    """Let the page list the locks, and return when it has acted on the list."""
    await tab.run("list(), navigator.locks.query().then(() => new Promise(setTimeout))")


async def test_a_reader_that_is_closed_while_it_looks_for_a_connection_does_not_wait_for_one(
    bench: Bench,
) -> None:
    await crowd(bench)
    tab = await bench.tab(None)
    await tab.run(SLOW_LIST)
    await tab.read()
    await tab.until("asked > 0")
    await tab.run("stream.close()")
    await list_locks(tab)
    assert await tab.run("[stream.state, states]") == ["connecting", []]
    assert bench.server.asked(SNAPSHOT) == []


async def test_a_reader_that_has_ended_while_it_looks_for_a_connection_stays_so(
    bench: Bench,
) -> None:
    others = await crowd(bench)
    tab = await bench.tab(None)
    await tab.run(SLOW_LIST)
    await tab.read()
    await tab.until("asked > 0")
    await others.run("others[0].close()")
    bench.feed.say("one ")
    bench.feed.end()
    await tab.enters("finished")
    await list_locks(tab)
    assert await tab.run("states") == ["live", "finished"]


async def test_stop_in_one_tab_ends_a_stream_that_waits_for_a_connection(bench: Bench) -> None:
    bench.server.script(SNAPSHOT, snapshot(0))
    await crowd(bench)
    tabs = [await bench.tab(), await bench.tab()]
    for tab in tabs:
        await tab.enters("crowded")
    bench.feed.say("one ")
    bench.feed.send("cancelled")
    bench.server.script("/streams/s/cancel", answer(200, {"status": "cancelled"}))
    bench.server.script(SNAPSHOT, snapshot(1, "cancelled"))
    await tabs[1].run("stream.cancel()")
    for tab in tabs:
        await tab.enters("cancelled")
        await tab.shows("one ")


async def test_each_tab_is_in_the_state_of_the_connection(bench: Bench) -> None:
    """Live, taken over, stalled, reconnecting."""
    bench.server.scripts[EVENTS].insert(1, silence)
    options = "{stalledMs: 500, silentMs: 2000}"
    leader, follower = await bench.tab(None), await bench.tab(None)
    await leader.read(options)
    await leader.until("sources[0]?.readyState === 1")
    await follower.read(options)
    with anyio.fail_after(DEADLINE):
        while "live" not in await follower.run("states"):
            bench.feed.say("one ")  # A stream that is silent meanwhile would be opened again.
    bench.feed.send("claim", attempt=2, continued="prefill")
    for tab in (leader, follower):
        await tab.enters("reconnecting")
        states = await tab.run("states")
        assert states[0] == "live"
        assert states[-3:] == ["taken-over", "stalled", "reconnecting"]


async def test_a_tab_that_comes_later_says_that_a_proxy_holds_responses_back(
    bench: Bench,
) -> None:
    pieces = [sse(frame(seq, "answer", {"text": f"{seq} "})) for seq in range(2)]
    bench.server.scripts[EVENTS].clear()
    bench.server.script(EVENTS, *map(late, pieces), silence)
    leader = await bench.tab("{heldBackMs: 300}")
    await leader.enters("in-steps")
    later = await bench.tab()
    await later.shows("0 1 ")
    assert await later.run("states") == ["in-steps"]


async def test_a_reader_keeps_events_for_other_tabs_until_it_has_ended(bench: Bench) -> None:
    tab = await bench.tab(None)
    await tab.run("""{
      const { postMessage } = BroadcastChannel.prototype;
      BroadcastChannel.prototype.postMessage = function (message) {
        if (message.events) window.kept ??= new WeakRef(message.events[0]);
        postMessage.call(this, message);
      };
      null;
    }""")
    await tab.read("{hiddenMs: 100}")
    bench.feed.say("one ")
    await tab.shows("one ")
    await paused(tab)
    assert await _is_kept(tab)
    await tab.show(shown=True)
    bench.feed.end()
    await tab.enters("finished")
    assert not await _is_kept(tab)


async def _is_kept(tab: Tab) -> Any:
    session = await tab.page.context.new_cdp_session(tab.page)
    await session.send("HeapProfiler.collectGarbage")
    return await tab.run("kept.deref() !== undefined")


# Who shares


async def test_a_page_may_read_by_itself(bench: Bench) -> None:
    tabs = [await bench.tab("{shared: false}") for _ in range(2)]
    bench.feed.say("one ")
    for tab in tabs:
        await tab.shows("one ")
    assert bench.feed.cursors == ["", ""]


@pytest.mark.parametrize("missing", ["BroadcastChannel", "navigator.locks"])
async def test_a_page_without_the_means_to_share_reads_by_itself(
    bench: Bench, missing: str
) -> None:
    owner, _, name = missing.rpartition(".")
    tabs = [await bench.tab(None) for _ in range(2)]
    for tab in tabs:
        await tab.run(
            f"Object.defineProperty({owner or 'window'}, '{name}', {{ value: undefined }}), null"
        )
        await tab.read()
    bench.feed.say("one ")
    for tab in tabs:
        await tab.shows("one ")
    assert bench.feed.cursors == ["", ""]


async def test_a_page_that_may_not_use_locks_reads_by_itself(bench: Bench) -> None:
    """As in some frames. The fixture fails on a rejection that nothing handles."""
    tabs = [await bench.tab(None) for _ in range(2)]
    for tab in tabs:
        await tab.run(
            "navigator.locks.request = navigator.locks.query = () =>"
            " Promise.reject(new DOMException('No.', 'SecurityError')), null"
        )
        await tab.read()
    bench.feed.say("one ")
    for tab in tabs:
        await tab.shows("one ")
        await tab.show(shown=False)
        await tab.show(shown=True)
    bench.feed.say("two ")
    for tab in tabs:
        await tab.shows("one two ")
    assert bench.feed.cursors == ["", ""]


async def test_a_page_that_may_not_list_locks_waits_for_a_connection(bench: Bench) -> None:
    others = await crowd(bench)
    tab = await bench.tab(None)
    for each in (others, tab):
        await each.run(
            "navigator.locks.query = () =>"
            " Promise.reject(new DOMException('No.', 'SecurityError')), null"
        )
    await tab.read()
    await tab.enters("crowded")
    await others.show(shown=False)
    await others.run("others[0].close()")
    bench.feed.say("one ")
    await tab.shows("one ")


@pytest.mark.parametrize("shown", ["{token: 'bad'}", "{bearer: 'bad'}", "{}"])
async def test_a_tab_that_the_server_refuses_hears_nothing(bench: Bench, shown: str) -> None:
    """A tab without credentials too: the server may be closed to it."""
    leader = await bench.leader("{token: 'good'}")
    bench.feed.say("one ")
    await leader.shows("one ")
    bench.server.script(SNAPSHOT, refusal(401, "unauthorized"))
    stranger = await bench.tab(shown)
    await stranger.enters("lost")
    assert await stranger.run("[events, heard]") == [[], []]


async def test_a_tab_that_the_server_accepts_asks_it_once(bench: Bench) -> None:
    leader = await bench.leader()
    bench.feed.say("one ")
    await leader.shows("one ")
    followers = [await bench.tab(), await bench.tab()]
    for tab in followers:
        await tab.shows("one ")
    assert len(bench.server.asked(SNAPSHOT)) == 2
    await followers[0].run("stream.close()")
    await leader.run("stream.close()")
    bench.feed.say("two ")
    await followers[1].shows("one two ")
    await leader.read("{lastEventId: 's:0'}")
    await leader.shows("one two ")
    assert len(bench.server.asked(SNAPSHOT)) == 3
    assert bench.feed.cursors == ["", "s:0"]


async def test_a_tab_hears_the_others_once_the_server_has_accepted_its_own_credentials(
    bench: Bench,
) -> None:
    """No message has a token."""
    bench.server.script(SNAPSHOT, answer(503), snapshot(0, token="mine"))
    leader = await bench.leader("{token: 'secret'}")
    bench.feed.say("one ")
    follower = await bench.tab("{token: 'secret too'}")
    await follower.shows("one ")
    assert bench.feed.cursors == [""]
    for tab in (leader, follower):
        assert "secret" not in await tab.run("JSON.stringify(heard)")
        names = "navigator.locks.query().then(({ held }) => held.map(({ name }) => name))"
        assert "secret" not in str(await tab.run(names))
