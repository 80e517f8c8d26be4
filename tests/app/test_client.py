"""The browser client in Chromium, against a server that plays the faults of networks and servers.

Every answer of the server is scripted to the byte. EventSource and fetch are the browser's.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest
from playwright.async_api import Error, Page

from tests.app.scripted_server import (
    Answer,
    Server,
    answer,
    cut,
    frame,
    late,
    silence,
    sse,
)
from tests.chromium import chromium

pytestmark = [pytest.mark.anyio, pytest.mark.chromium]

CLIENT = Path(__file__).parents[2] / "src/app/web/client.js"
FOLDING = json.loads(Path(__file__).with_name("folding.json").read_text())
DEADLINE = 10.0

# Reads stream `s` with short waits, and records the events that the client dispatches.
HARNESS = """
import * as client from "/client.js";
const quick = {
  backoffMs: 20, backoffCapMs: 40, stalledMs: 60_000, silentMs: 60_000, unansweredMs: 60_000,
};
const kinds = ["start", "claim", "thinking", "answer", "heartbeat", "handoff", "done", "failure",
  "cancelled"];
Object.assign(window, client, { quick, events: [], every: [], states: [], sources: [] });
window.folded = (events, texts) => {
  const parts = [];
  for (const [kind, data] of events) fold(parts, kind, data, new Set(texts));
  return parts;
};
class Source extends EventSource {
  constructor(url) {
    super(url);
    sources.push(this);
  }
}
window.read = (options) => {
  window.stream = new LLMStream("s", { ...quick, EventSource: Source, ...options });
  for (const kind of kinds) {
    stream.addEventListener(kind, (event) => events.push([kind, event.data, event.lastEventId]));
  }
  stream.addEventListener("event", ({ detail }) => every.push(detail));
  stream.addEventListener("state", ({ detail }) => {
    states.push(detail.state);
    window.failure = detail.failure;
  });
};
window.create = (body, options) => createStream(body, { ...quick, ...options }).catch(
  ({ name, status, code, message, retryAfter }) => ({ name, status, code, message, retryAfter }),
);
window.ready = true;
"""


PAGE = {
    "/": answer(200, b"<!doctype html><script type=module src=/harness.js></script>", "text/html"),
    "/harness.js": answer(200, HARNESS.encode(), "text/javascript"),
    "/client.js": answer(200, CLIENT.read_bytes(), "text/javascript"),
    "/favicon.ico": answer(204),
}
EVENTS = "/streams/s/events"
KINDS = "start, claim, answer;text, error;terminal, done;terminal"
SNAPSHOT = "/streams/s"
OTHERS = ["s1", "s2", "s3", "s4", "s5"]
AN_HOUR_PASSES = "{ const now = Date.now(); Date.now = () => now + 3_600_000; }"


def words(first: int, last: int) -> bytes:
    return b"".join(frame(seq, "answer", {"text": f"{seq} "}) for seq in range(first, last + 1))


def tool(seq: int) -> bytes:
    """An event of a kind that the client does not list."""
    return frame(seq, "tool", {"n": 1})


def done(seq: int) -> bytes:
    usage = {"input_tokens": 1, "output_tokens": seq}
    return frame(seq, "done", {"finish_reason": "stop", "usage": usage})


def cancelled(seq: int) -> bytes:
    return frame(seq, "cancelled", {})


def snapshot(
    last: int,
    status: str = "streaming",
    error: object = None,
    token: str | None = None,
    kinds: str | None = None,
    *,
    marked: bool = False,
) -> Answer:
    newest = f"s:{last}:end" if marked else f"s:{last}"
    body = {"id": "s", "status": status, "last_event_id": newest}
    return answer(200, body | {"error": error, "token": token}, kinds=kinds)


def refusal(status: int, code: str, retry_after: int | None = None) -> Answer:
    body = {"error": {"code": code, "message": "No."}}
    return answer(status, body, retry_after=retry_after)


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def page(anyio_backend: str) -> AsyncIterator[Page]:
    assert anyio_backend == "asyncio"
    async with chromium() as browser:
        yield await browser.new_page()


@dataclass(frozen=True)
class Bench:
    """A page with the client, and its server."""

    page: Page
    server: Server

    async def run(self, script: str) -> Any:
        with anyio.fail_after(DEADLINE):
            return await self.page.evaluate(script)

    async def until(self, condition: str) -> None:
        await self.page.wait_for_function(condition, timeout=DEADLINE * 1000)

    async def read_to(self, state: str, options: str = "{}") -> None:
        await self.run(f"read({options})")
        await self.until(f"stream.state === '{state}'")

    async def show(self, *, shown: bool) -> None:
        """Show or hide the page. A headless browser shows all its pages."""
        now = f"{{ configurable: true, value: {str(not shown).lower()} }}"
        await self.run(f"Object.defineProperty(document, 'hidden', {now}), null")
        await self.run("document.dispatchEvent(new Event('visibilitychange'))")

    async def text(self) -> str:
        kept = "events.filter(([kind]) => kind === 'answer')"
        return str(await self.run(f"{kept}.map(([, data]) => data.text).join('')"))

    def cursors(self) -> list[str]:
        """The cursor of each connection: the header takes precedence, as on the server."""
        return [
            request.headers.get("last-event-id") or request.query.get("last_event_id", "")
            for request in self.server.asked(EVENTS)
        ]


async def kinds_of(bench: Bench) -> list[str]:
    """The kinds of all events that the page was told of, in order."""
    kinds: list[str] = await bench.run("every.map(({ kind }) => kind)")
    return kinds


@pytest.fixture
async def bench(page: Page) -> AsyncIterator[Bench]:
    server = Server(PAGE)
    listener = await asyncio.start_server(server.serve, "127.0.0.1")
    await page.goto(f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}")
    bench = Bench(page, server)
    errors: list[str] = []

    def failed(error: Error) -> None:
        errors.append(str(error))

    page.on("pageerror", failed)
    await bench.until("window.ready")
    yield bench
    await page.goto("about:blank")
    page.remove_listener("pageerror", failed)
    assert errors == []
    listener.close()
    await listener.wait_closed()
    assert server.unexpected == []


async def test_every_event_comes_once_and_in_order_with_its_data_parsed(bench: Bench) -> None:
    start = frame(0, "start", {"stream_id": "s", "model": "demo"})
    bench.server.script(EVENTS, sse(start, frame(1, "thinking", {"text": "…\n"}), done(2)))
    await bench.read_to("finished")
    assert await bench.run("events") == [
        ["start", {"stream_id": "s", "model": "demo"}, "s:0"],
        ["thinking", {"text": "…\n"}, "s:1"],
        [
            "done",
            {"finish_reason": "stop", "usage": {"input_tokens": 1, "output_tokens": 2}},
            "s:2",
        ],
    ]
    assert await bench.run("states") == ["live", "finished"]


@pytest.mark.parametrize(
    ("kind", "state"), [("done", "finished"), ("error", "failed"), ("cancelled", "cancelled")]
)
async def test_a_terminal_event_closes_the_connection(bench: Bench, kind: str, state: str) -> None:
    bench.server.script(EVENTS, sse(words(0, 0), frame(1, kind, {}), hang=True))
    await bench.read_to(state)
    assert await bench.run("sources.map((source) => source.readyState)") == [2]


async def test_the_servers_error_event_is_a_failure_and_no_transport_error(bench: Bench) -> None:
    failure = {"code": "overloaded", "message": "Try again.", "retryable": True}
    bench.server.script(EVENTS, sse(frame(0, "error", failure)))
    await bench.read_to("failed")
    assert await bench.run("events") == [["failure", failure, "s:0"]]
    assert await bench.run("failure") == failure


async def test_a_cut_at_any_byte_of_a_frame_loses_and_repeats_nothing(bench: Bench) -> None:
    size = len(frame(1, "answer", {"text": "1é "}))
    frames = [frame(seq, "answer", {"text": f"{seq}é "}) for seq in range(size + 1)]
    for at in range(size):
        bench.server.script(EVENTS, sse(frames[at], frames[at + 1][:at]))
    bench.server.script(EVENTS, sse(frames[size], done(size + 1)))
    await bench.read_to("finished")
    assert await bench.text() == "".join(f"{seq}é " for seq in range(size + 1))
    assert bench.cursors() == ["", *(f"s:{seq}" for seq in range(size))]


async def test_events_seen_before_or_of_another_stream_are_ignored(bench: Bench) -> None:
    foreign = frame(4, "answer", {"text": "foreign"}, stream="other")
    bench.server.script(EVENTS, sse(words(0, 3)), sse(foreign, words(0, 5), done(6)))
    await bench.read_to("finished")
    assert await bench.text() == "0 1 2 3 4 5 "


async def test_a_hole_is_never_shown_but_read_again_from_before_it(bench: Bench) -> None:
    bench.server.script(EVENTS, sse(words(0, 1), words(3, 4)), sse(words(2, 4), done(5)))
    bench.server.script(SNAPSHOT, snapshot(5, "done"))
    await bench.read_to("finished")
    assert await bench.text() == "0 1 2 3 4 "
    assert bench.cursors() == ["", "s:1"]


async def test_every_hole_is_read_again_where_the_server_tells_all_its_kinds(bench: Bench) -> None:
    """The second hole cannot be an event of an unlisted kind."""
    gap = words(0, 0) + words(2, 2)
    bench.server.script(EVENTS, sse(gap), sse(words(2, 2), words(4, 4)), sse(words(3, 4), done(5)))
    bench.server.script(SNAPSHOT, *[snapshot(5, "done", kinds=KINDS)] * 2)
    await bench.read_to("finished")
    assert await bench.text() == "0 2 3 4 "
    assert bench.cursors() == ["", "s:0", "s:2"]


# What the events add up to


@pytest.mark.parametrize("case", FOLDING, ids=lambda case: case["rule"])
async def test_events_add_up_as_they_do_on_the_server(bench: Bench, case: dict[str, Any]) -> None:
    given = [case["events"], ["thinking", "answer", "aside"]]
    assert await bench.page.evaluate("given => folded(...given)", given) == case["parts"]


async def test_a_stream_has_the_parts_of_its_events_when_it_tells_of_them(bench: Bench) -> None:
    call = {"id": "1", "name": "search", "arguments": {}}
    result = {"id": "1", "output": 3, "error": None}
    events = [
        words(0, 1),
        frame(2, "tool_call", call),
        frame(3, "heartbeat", {}),
        frame(4, "tool_result", result),
        done(5),
    ]
    bench.server.script(EVENTS, sse(*events))
    watch = "window.told = [], stream.addEventListener('event', ({ detail }) => told.push("
    copies = (
        "structuredClone([detail.part, stream.parts.indexOf(detail.part), stream.parts.length])"
    )
    await bench.run(f"read(), {watch}{copies})), null")
    await bench.until("stream.state === 'finished'")
    waiting = {**call, "kind": "tool_call", "state": "running", "result": None}
    ended = {**waiting, "state": "done", "result": {"output": 3, "error": None}}
    assert await bench.run("told") == [
        [{"kind": "answer", "text": "0 "}, 0, 1],
        [{"kind": "answer", "text": "0 1 "}, 0, 1],
        [waiting, 1, 2],
        [None, -1, 2],
        [ended, 1, 2],
        [None, -1, 2],
    ]
    assert await bench.run("stream.parts") == [{"kind": "answer", "text": "0 1 "}, ended]


async def test_what_starts_over_is_counted_and_what_comes_twice_is_not(bench: Bench) -> None:
    resets = frame(2, "reset", {}), frame(3, "reset", {"step": "a"}), frame(4, "reset", {})
    bench.server.script(EVENTS, sse(words(0, 1), *resets), sse(*resets, words(5, 6), done(7)))
    await bench.read_to("finished")
    assert await bench.run("stream.parts") == [{"kind": "answer", "text": "5 6 "}]
    assert await bench.run("stream.restarts") == 2


async def test_a_kind_that_the_server_calls_text_is_joined(bench: Bench) -> None:
    bench.server.script("/streams", answer(201, {"id": "s"}, kinds=f"{KINDS}, aside;text, tool"))
    asides = [frame(seq, "aside", {"text": f"{seq} "}) for seq in range(2)]
    bench.server.script(EVENTS, sse(*asides, tool(2), frame(3, "verdict", {}), done(4)))
    await bench.run("create({prompt: 'Hi'})")
    await bench.read_to("finished", "{kinds: {verdict: null}}")
    assert await bench.run("stream.parts") == [
        {"kind": "aside", "text": "0 1 "},
        {"kind": "tool", "n": 1},
        {"kind": "verdict"},
    ]


# Kinds of events that the page does not list


async def test_an_event_of_a_kind_from_the_future_does_not_stop_an_old_page(bench: Bench) -> None:
    future = frame(2, "tool", {"name": "search"})
    rest = future + words(3, 4) + done(5)
    bench.server.script(EVENTS, sse(words(0, 1), rest), sse(rest))
    bench.server.script(SNAPSHOT, snapshot(5, "done"))
    await bench.read_to("finished")
    assert await bench.text() == "0 1 3 4 "


async def test_a_server_that_does_not_tell_its_kinds_is_asked_about_one_hole_only(
    bench: Bench,
) -> None:
    """The events behind each hole move the cursor, which a broken connection resumes from."""
    tools = [tool(1), words(2, 2), tool(3), tool(4), words(5, 5), tool(6), words(7, 7)]
    bench.server.script(EVENTS, sse(words(0, 0), *tools), sse(*tools), sse(tool(8), done(9)))
    bench.server.script(SNAPSHOT, snapshot(9, "done"))
    await bench.read_to("finished")
    assert await bench.text() == "0 2 5 7 "
    assert bench.cursors() == ["", "s:0", "s:7"]


async def test_a_kind_that_the_server_tells_is_passed_on_without_reading_again(
    bench: Bench,
) -> None:
    bench.server.script("/streams", answer(201, {"id": "s"}, kinds=f"{KINDS}, tool"))
    bench.server.script(EVENTS, sse(words(0, 0), tool(1), tool(2), words(3, 3), done(4)))
    await bench.run("create({prompt: 'Hi'})")
    listen = "stream.addEventListener('tool', ({ data }) => events.push(['tool', data]))"
    await bench.run(f"read(), {listen}")
    await bench.until("stream.state === 'finished'")
    assert await kinds_of(bench) == ["answer", "tool", "tool", "answer", "done"]
    assert await bench.run("events.filter(([kind]) => kind === 'tool')") == [["tool", {"n": 1}]] * 2
    assert bench.cursors() == [""]


async def test_a_kind_that_comes_with_a_deployment_is_asked_for_once_and_then_passed_on(
    bench: Bench,
) -> None:
    """The page has read the stream since before the deployment, so it did not listen."""
    rest = tool(1), tool(2), words(3, 3), tool(4)
    bench.server.script(EVENTS, sse(words(0, 0), *rest), sse(*rest, hang=True))
    bench.server.script(SNAPSHOT, snapshot(4, kinds=f"{KINDS}, tool"))
    await bench.run("read()")
    await bench.until("every.length === 5")
    assert len(bench.server.asked(SNAPSHOT)) == 1
    assert await kinds_of(bench) == ["answer", "tool", "tool", "answer", "tool"]
    assert bench.cursors() == ["", "s:0"]
    bench.server.script(EVENTS, sse(words(0, 0), *rest, done(5)))
    bench.server.script(SNAPSHOT, snapshot(5, "done"))  # for the new reader, until the old one left
    await bench.run("stream.close(), (every.length = 0), read()")
    await bench.until("stream.state === 'finished'")
    assert await kinds_of(bench) == ["answer", "tool", "tool", "answer", "tool", "done"]
    assert bench.cursors() == ["", "s:0", ""]


async def test_a_kind_that_the_server_calls_terminal_finishes_a_stream(bench: Bench) -> None:
    end = frame(1, "verdict", {"text": "Guilty."})
    bench.server.script("/streams", answer(201, {"id": "s"}, kinds=f"{KINDS}, verdict;terminal"))
    bench.server.script(EVENTS, sse(words(0, 0), end, hang=True))
    await bench.run("create({prompt: 'Hi'})")
    await bench.read_to("finished")
    assert await kinds_of(bench) == ["answer", "verdict"]
    assert await bench.run("sources.map((source) => source.readyState)") == [2]


async def test_a_terminal_kind_that_an_old_page_did_not_hear_of_is_read_in_the_end(
    bench: Bench,
) -> None:
    """EventSource has moved its own cursor past the event, so the server has nothing left."""
    end = frame(1, "verdict", {"text": "Guilty."})
    bench.server.script(EVENTS, sse(words(0, 0), end), answer(204), sse(end))
    bench.server.script(SNAPSHOT, snapshot(1, "done", kinds=f"{KINDS}, verdict;terminal"))
    await bench.read_to("finished")
    assert await kinds_of(bench) == ["answer", "verdict"]
    assert bench.cursors() == ["", "s:1", "s:0"]


async def test_a_page_may_name_kinds_itself(bench: Bench) -> None:
    bench.server.script(EVENTS, sse(tool(0), frame(1, "verdict", {})))
    await bench.read_to("lost", "{kinds: {tool: null, verdict: 'lost'}}")
    assert await kinds_of(bench) == ["tool", "verdict"]
    assert bench.cursors() == [""]


@pytest.mark.parametrize("kind", ["state", "open", "message", "failure", "event", "constructor"])
async def test_a_kind_may_have_any_name(bench: Bench, kind: str) -> None:
    """Also one that this module or EventSource uses for an event of its own."""
    bench.server.script(EVENTS, sse(frame(0, kind, {"n": 1}), done(1)))
    await bench.read_to("finished", f"{{kinds: {{{kind}: null}}}}")
    assert await kinds_of(bench) == [kind, "done"]
    assert await bench.run("states") == ["live", "finished"]
    assert bench.cursors() == [""]


async def test_a_stream_that_was_read_to_its_end_is_finished_without_reading(bench: Bench) -> None:
    bench.server.script(EVENTS, answer(204))
    bench.server.script(SNAPSHOT, snapshot(7, "done"))
    await bench.read_to("finished", "{lastEventId: 's:7'}")
    assert bench.cursors() == ["s:7"]


async def test_the_last_event_has_an_id_that_says_so(bench: Bench) -> None:
    end = done(2).replace(b"id: s:2\n", b"id: s:2:end\n")
    bench.server.script(EVENTS, sse(words(0, 0)), sse(words(1, 1), end))
    await bench.read_to("finished")
    assert await bench.run("stream.lastEventId") == "s:2:end"
    assert bench.cursors() == ["", "s:0"]


async def test_a_reader_that_has_all_without_knowing_that_it_is_the_end_is_finished(
    bench: Bench,
) -> None:
    """Its cursor is of a version that did not mark the last one: the answer moves it, then 204."""
    bench.server.script(EVENTS, sse(b"id: s:7:end\n\n"), answer(204))
    bench.server.script(SNAPSHOT, snapshot(7, "done", marked=True))
    await bench.read_to("finished", "{lastEventId: 's:7'}")
    assert bench.cursors() == ["s:7", "s:7:end"]


async def test_a_stream_that_had_failed_still_says_why(bench: Bench) -> None:
    failure = {"code": "overloaded", "message": "Try again.", "retryable": True}
    bench.server.script(EVENTS, answer(204))
    bench.server.script(SNAPSHOT, snapshot(7, "error", failure))
    await bench.read_to("failed", "{lastEventId: 's:7'}")
    assert await bench.run("failure") == failure


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(answer(429), id="429"),
        pytest.param(answer(500), id="500"),
        pytest.param(answer(200, b"", "text/html"), id="no event stream"),
        pytest.param(cut, id="no answer"),
    ],
)
async def test_a_temporary_refusal_is_outlived(bench: Bench, refusal: Answer) -> None:
    bench.server.script(
        EVENTS, sse(words(0, 2)), refusal, refusal, refusal, sse(words(3, 4), done(5))
    )
    bench.server.script(SNAPSHOT, *[snapshot(4)] * 3)
    await bench.read_to("finished")
    assert await bench.text() == "0 1 2 3 4 "
    assert bench.cursors()[-1] == "s:2"
    assert await bench.run("states") == ["live", "reconnecting", "live", "finished"]


async def test_answers_that_bring_nothing_are_not_asked_for_as_fast_as_they_come(
    bench: Bench,
) -> None:
    bench.server.script(EVENTS, sse(), sse(), sse(), sse(words(0, 0), done(1)))
    bench.server.script(SNAPSHOT, snapshot(1, "done"))
    await bench.read_to("finished")
    assert len(bench.server.asked(SNAPSHOT)) == 1


async def test_while_the_whole_server_is_away_the_client_asks_less_and_less(bench: Bench) -> None:
    bench.server.script(EVENTS, answer(503), sse(words(0, 0), done(1)))
    bench.server.script(SNAPSHOT, answer(503), cut, answer(429), snapshot(1, "done"))
    began = time.monotonic()
    await bench.read_to("finished", "{backoffMs: 50, backoffCapMs: 60_000}")
    assert await bench.text() == "0 "
    assert time.monotonic() - began > (0.05 + 0.1 + 0.2 + 0.4) / 2, "each wait doubles"


async def test_a_stream_the_server_does_not_have_is_lost_and_asked_for_no_more(
    bench: Bench,
) -> None:
    gone = {"error": {"code": "stream_not_found", "message": "It has expired."}}
    bench.server.script(EVENTS, answer(404, gone))
    bench.server.script(SNAPSHOT, answer(404, gone))
    await bench.read_to("lost")
    assert await bench.run("[failure.code, failure.message, failure.retryable]") == [
        "stream_not_found",
        "It has expired.",
        False,
    ]
    assert await bench.run("sources.map((source) => source.readyState)") == [2]


async def test_a_connection_that_falls_silent_is_reported_and_then_replaced(bench: Bench) -> None:
    bench.server.script(EVENTS, sse(words(0, 1), hang=True), sse(words(2, 3), done(4)))
    await bench.read_to("finished", "{stalledMs: 100, silentMs: 200}")
    assert await bench.text() == "0 1 2 3 "
    assert bench.cursors() == ["", "s:1"]
    states = ["live", "stalled", "reconnecting", "live", "finished"]
    assert await bench.run("states") == states


async def test_a_connection_that_is_never_answered_is_replaced(bench: Bench) -> None:
    bench.server.script(EVENTS, silence, sse(words(0, 1), done(2)))
    await bench.read_to("finished", "{unansweredMs: 200}")
    assert await bench.text() == "0 1 "


async def test_silence_is_counted_from_the_last_sign_of_life(bench: Bench) -> None:
    slept = asyncio.Queue[None]()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await slept.get()
        await sse()(reader, writer)
        await slept.get()
        writer.write(words(0, 0))
        await silence(reader, writer)

    bench.server.script(EVENTS, slow)
    await bench.run("read()")
    await bench.until("sources.length === 1")
    for sign_of_life in ("sources[0]?.readyState === 1", "events.length === 1"):
        await bench.run(AN_HOUR_PASSES)
        slept.put_nowait(None)
        await bench.until(sign_of_life)
        await bench.run("document.dispatchEvent(new Event('visibilitychange'))")
        assert await bench.run("sources.length") == 1


async def test_a_page_that_wakes_up_replaces_a_silent_connection_at_once(bench: Bench) -> None:
    bench.server.script(EVENTS, sse(words(0, 1), hang=True), sse(words(2, 2), done(3)))
    await bench.run("read()")
    await bench.until("events.length === 2")
    await bench.run(AN_HOUR_PASSES)
    await bench.run("document.dispatchEvent(new Event('visibilitychange'))")
    await bench.until("stream.state === 'finished'")
    assert bench.cursors() == ["", "s:1"]


async def test_a_network_that_comes_back_ends_the_wait(bench: Bench) -> None:
    bench.server.script(EVENTS, answer(503), sse(words(0, 1), done(2)))
    bench.server.script(SNAPSHOT, snapshot(2, "done"))
    await bench.run("read({backoffMs: 3_600_000, backoffCapMs: 3_600_000})")
    await bench.until("stream.state === 'reconnecting'")
    await bench.page.context.set_offline(offline=True)
    await bench.page.context.set_offline(offline=False)
    await bench.until("stream.state === 'finished'")


async def test_a_take_over_is_reported_until_the_new_writer_writes(bench: Bench) -> None:
    claims = frame(0, "claim", {"attempt": 1}), frame(1, "claim", {"attempt": 2})
    bench.server.script(EVENTS, sse(*claims, words(2, 2), done(3)))
    await bench.read_to("finished")
    assert await bench.run("states") == ["live", "taken-over", "live", "finished"]


async def test_cancelling_is_repeated_until_the_server_answers(bench: Bench) -> None:
    bench.server.script(EVENTS, sse(words(0, 0), hang=True), sse(cancelled(1)))
    bench.server.script("/streams/s/cancel", cut, answer(503), answer(200, {"status": "cancelled"}))
    await bench.run("read()")
    await bench.until("events.length === 1")
    assert await bench.run("stream.cancel()") == {"status": "cancelled"}
    assert [request.method for request in bench.server.asked("/streams/s/cancel")] == ["POST"] * 3
    await bench.until("stream.state === 'cancelled'")
    assert bench.cursors() == ["", "s:0"]


async def test_cancelling_needs_no_connection_but_the_readers_own(bench: Bench) -> None:
    """Other requests hold the other five connections that HTTP/1.1 allows."""
    bench.server.script("/held", *[silence] * 5)
    bench.server.script(EVENTS, sse(words(0, 0), hang=True), sse(cancelled(1)))
    bench.server.script("/streams/s/cancel", answer(200, {"status": "cancelled"}))
    await bench.run("window.held = [1, 2, 3, 4, 5].map((n) => fetch(`/held?${n}`)), null")
    await bench.run("read()")
    await bench.until("events.length === 1")
    assert await bench.run("stream.cancel()") == {"status": "cancelled"}
    await bench.until("stream.state === 'cancelled'")
    assert bench.cursors() == ["", "s:0"]
    assert await bench.run("states") == ["live", "cancelled"]


async def read_five_others(bench: Bench) -> None:
    """Read five other streams, which hold all connections that readers may have."""
    for other in OTHERS:
        said = frame(0, "answer", {"text": "0 "}, stream=other)
        bench.server.script(f"/streams/{other}/events", sse(said, hang=True))
    await bench.page.evaluate(
        "ids => { window.others = ids.map((id) => new LLMStream(id, quick)) }", OTHERS
    )
    await bench.until("others.every((other) => other.state === 'live')")


async def test_of_six_readers_one_waits_and_says_so_until_another_has_ended(bench: Bench) -> None:
    bench.server.script(SNAPSHOT, snapshot(0))
    await read_five_others(bench)
    await bench.read_to("crowded")
    assert len(bench.server.requests) == 5 + 1
    bench.server.script(EVENTS, sse(words(0, 1), done(2)))
    await bench.run("others[3].close()")
    await bench.until("stream.state === 'finished'")
    assert await bench.run("states") == ["crowded", "connecting", "live", "finished"]
    await bench.run("others.forEach((other) => other.close())")


async def test_a_reader_that_waits_for_a_connection_can_cancel_and_sees_the_end(
    bench: Bench,
) -> None:
    bench.server.script(SNAPSHOT, snapshot(0))
    await read_five_others(bench)
    await bench.read_to("crowded")
    bench.server.script("/streams/s/cancel", answer(200, {"status": "cancelled"}))
    bench.server.script(SNAPSHOT, snapshot(1, "cancelled"))
    bench.server.script(EVENTS, sse(words(0, 0), cancelled(1)))
    await bench.run("stream.cancel()")
    await bench.until("stream.state === 'cancelled'")
    assert await bench.text() == "0 "
    await bench.run("others.forEach((other) => other.close())")


async def test_an_answer_that_has_ended_is_read_however_many_others_are_read(
    bench: Bench,
) -> None:
    bench.server.script(EVENTS, sse(words(0, 1), done(2)))
    bench.server.script(SNAPSHOT, snapshot(2, "done"))
    await read_five_others(bench)
    await bench.read_to("finished")
    assert await bench.text() == "0 1 "
    await bench.run("others.forEach((other) => other.close())")


async def test_a_hidden_page_without_news_lets_go_until_it_is_shown(bench: Bench) -> None:
    """A heartbeat does not count as news."""
    beats = b"".join(frame(seq, "heartbeat", {}) for seq in range(1, 3))
    bench.server.script(EVENTS, sse(words(0, 0), beats, hang=True), sse(words(3, 4), done(5)))
    await bench.run("read({hiddenMs: 200})")
    await bench.until("events.length === 3")
    await bench.show(shown=False)
    await bench.until("stream.state === 'paused'")
    assert await bench.run("sources.map((source) => source.readyState)") == [2]
    await bench.run("dispatchEvent(new Event('online'))")
    await bench.run("dispatchEvent(new Event('pageshow'))")
    assert await bench.run("sources.length") == 1
    await bench.show(shown=True)
    await bench.until("stream.state === 'finished'")
    assert bench.cursors() == ["", "s:2"]
    assert await bench.run("states") == ["live", "paused", "connecting", "live", "finished"]


async def test_a_hidden_page_with_news_reads_on(bench: Bench) -> None:
    more = asyncio.Queue[bytes]()

    async def told(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await sse(words(0, 0))(reader, writer)
        while said := await more.get():
            writer.write(said)

    bench.server.script(EVENTS, told)
    await bench.run("read({hiddenMs: 60_000})")
    await bench.until("events.length === 1")
    await bench.show(shown=False)
    for seq in (1, 2):
        await bench.run("{ const now = Date.now(); Date.now = () => now + 50_000; }")
        more.put_nowait(words(seq, seq))
        await bench.until(f"events.length === {seq + 1}")
    more.put_nowait(done(3))
    await bench.until("stream.state === 'finished'")
    more.put_nowait(b"")


async def test_responses_that_are_held_back_until_they_end_are_no_interruptions(
    bench: Bench,
) -> None:
    """As through `sam local` and HTTP APIs, even if one of the responses brings no event."""
    pieces = [sse(words(seq, seq)) for seq in range(3)]
    bench.server.script(EVENTS, *map(late, [*pieces, sse(), sse(words(3, 3), done(4))]))
    await bench.read_to("finished", "{heldBackMs: 300}")
    assert await bench.text() == "0 1 2 3 "
    assert await bench.run("states") == ["live", "in-steps", "finished"]


async def test_a_response_that_streams_again_is_live_and_its_break_an_interruption(
    bench: Bench,
) -> None:
    bench.server.script(EVENTS, *map(late, [sse(words(0, 0)), sse(words(1, 1))]))
    bench.server.script(EVENTS, sse(words(2, 2)), sse(words(3, 3), done(4)))
    await bench.read_to("finished", "{heldBackMs: 300}")
    states = ["live", "in-steps", "live", "reconnecting", "live", "finished"]
    assert await bench.run("states") == states


async def test_a_closed_reader_dispatches_nothing_more_and_stays_closed(bench: Bench) -> None:
    bench.server.script(EVENTS, sse(words(0, 1)))
    await bench.run("read(), stream.addEventListener('answer', () => stream.close())")
    await bench.until("sources[0]?.readyState === 2")
    assert await bench.text() == "0 "
    assert await bench.run("states") == []
    await bench.run("dispatchEvent(new Event('online'))")
    await bench.run("dispatchEvent(new Event('pageshow'))")
    assert await bench.run("sources.length") == 1


async def test_a_reader_closed_because_it_lost_the_connection_does_not_reconnect(
    bench: Bench,
) -> None:
    bench.server.script(EVENTS, sse(words(0, 0), words(2, 2)))
    close = "({ detail }) => detail.state === 'reconnecting' && stream.close()"
    await bench.run(f"read(), stream.addEventListener('state', {close})")
    await bench.until("sources[0]?.readyState === 2")
    assert await bench.run("[stream.state, sources.length]") == ["reconnecting", 1]


async def test_a_creation_whose_answer_was_lost_is_repeated_with_its_key(bench: Bench) -> None:
    created = {"id": "s", "status": "waiting", "model": "demo"}
    truncated = b'HTTP/1.1 201 x\r\nContent-Length: 99\r\n\r\n{"id"'

    async def half(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(truncated)

    bench.server.script("/streams", cut, half, answer(429), answer(502), answer(201, created))
    assert await bench.run("create({prompt: 'Hi'})") == created
    requests = bench.server.asked("/streams")
    assert [json.loads(request.body) for request in requests] == [{"prompt": "Hi"}] * 5
    (key,) = {request.headers["idempotency-key"] for request in requests}
    assert 16 <= len(key) <= 128


async def test_a_creation_that_is_never_answered_is_repeated(bench: Bench) -> None:
    bench.server.script("/streams", silence, answer(201, {"id": "s"}))
    assert await bench.run("create({prompt: 'Hi'}, {timeoutMs: 200})") == {"id": "s"}


async def test_a_refused_creation_says_why_and_is_not_repeated(bench: Bench) -> None:
    body = {"error": {"code": "prompt_too_large", "message": "The limit is 32,000 characters."}}
    bench.server.script("/streams", answer(413, body))
    assert await bench.run("create({prompt: 'Hi'})") == {
        "name": "StreamError",
        "status": 413,
        "retryAfter": 0,
        **body["error"],
    }


async def test_a_creation_gives_up_after_its_attempts(bench: Bench) -> None:
    bench.server.script("/streams", answer(502, b"<html>", "text/html"), answer(502))
    failure = await bench.run("create({prompt: 'Hi'}, {attempts: 2})")
    assert (failure["status"], failure["code"]) == (502, "refused")


@pytest.mark.parametrize(
    "wait", [pytest.param(silence, id="for an answer"), pytest.param(answer(503), id="to repeat")]
)
async def test_a_creation_can_be_aborted_while_it_waits(bench: Bench, wait: Answer) -> None:
    bench.server.script("/streams", wait)
    waits = "{backoffMs: 3_600_000, backoffCapMs: 3_600_000, signal: AbortSignal.timeout(200)}"
    failure = await bench.run(f"create({{prompt: 'Hi'}}, {waits})")
    assert failure["name"] == "TimeoutError"


# Where the API requires credentials


async def test_an_access_token_goes_into_a_header_and_never_into_an_address(bench: Bench) -> None:
    bench.server.script("/streams", answer(201, {"id": "s", "token": "t"}))
    bench.server.script(SNAPSHOT, snapshot(0, token="t"))
    bench.server.script("/streams/s/cancel", answer(200, {}))
    bench.server.script(EVENTS, sse(words(0, 0), hang=True), sse(cancelled(1)))
    await bench.run("create({prompt: 'Hi'}, {bearer: 'b'})")
    await bench.run("readStream('s', {bearer: 'b', token: 't'})")
    await bench.run("read({bearer: 'b', token: 't'})")
    await bench.until("events.length === 1")
    await bench.run("stream.cancel()")
    await bench.until("stream.state === 'cancelled'")
    shown = {request.target.partition("?")[0]: request.shown for request in bench.server.requests}
    assert shown == {
        **dict.fromkeys(("/streams", SNAPSHOT, "/streams/s/cancel"), ("Bearer b", None)),
        EVENTS: (None, "t"),
    }


async def test_a_streams_token_alone_is_enough_to_read_look_and_cancel(bench: Bench) -> None:
    bench.server.script(EVENTS, answer(503), sse(words(0, 0), hang=True), sse(cancelled(1)))
    bench.server.script(SNAPSHOT, snapshot(0, token="t"))
    bench.server.script("/streams/s/cancel", answer(200, {}))
    await bench.run("read({token: 't'})")
    await bench.until("events.length === 1")
    await bench.run("stream.cancel()")
    await bench.until("stream.state === 'cancelled'")
    assert [request.shown for request in bench.server.requests] == [(None, "t")] * 5


async def test_an_owner_who_has_no_token_of_the_stream_gets_one_first(bench: Bench) -> None:
    bench.server.script(SNAPSHOT, answer(503), snapshot(1, token="t"))
    bench.server.script(EVENTS, sse(words(0, 0), done(1)))
    await bench.read_to("finished", "{bearer: 'b'}")
    (request,) = bench.server.asked(EVENTS)
    assert request.shown == (None, "t")
    assert await bench.run("states") == ["live", "finished"]


async def test_an_owner_needs_no_token_where_the_server_is_open(bench: Bench) -> None:
    bench.server.script(SNAPSHOT, snapshot(1))
    bench.server.script(EVENTS, sse(words(0, 0), done(1)))
    await bench.read_to("finished", "{bearer: 'b'}")
    (request,) = bench.server.asked(EVENTS)
    assert request.query == {}


async def test_a_token_that_has_expired_is_renewed_for_its_owner(bench: Bench) -> None:
    bench.server.script(
        EVENTS, sse(words(0, 1)), refusal(401, "token_expired"), sse(words(2, 2), done(3))
    )
    bench.server.script(SNAPSHOT, snapshot(3, token="new"))
    await bench.read_to("finished", "{bearer: 'b', token: 'old'}")
    assert await bench.text() == "0 1 2 "
    assert bench.cursors() == ["", "s:1", "s:1"]
    assert [request.shown[1] for request in bench.server.asked(EVENTS)] == ["old", "old", "new"]


@pytest.mark.parametrize("code", ["token_expired", "unauthorized"])
async def test_a_client_without_access_reports_why_and_asks_no_more(
    bench: Bench, code: str
) -> None:
    bench.server.script(EVENTS, refusal(401, code))
    bench.server.script(SNAPSHOT, refusal(401, code))
    await bench.read_to("lost", "{token: 't'}")
    assert await bench.run("[failure.status, failure.code, failure.message]") == [401, code, "No."]
    assert await bench.run("sources.map((source) => source.readyState)") == [2]


async def test_an_error_that_is_not_in_the_log_does_not_end_a_stream(bench: Bench) -> None:
    """A refusal of `GET /sse`, for example, has no id."""
    busy = b'event: error\ndata: {"code":"rate_limited","retryable":true}\n\n'
    bench.server.script(EVENTS, sse(words(0, 0), busy), sse(words(1, 1), done(2)))
    await bench.read_to("finished")
    assert await bench.text() == "0 1 "


async def test_a_server_that_says_when_to_come_back_is_asked_no_sooner(bench: Bench) -> None:
    bench.server.script(
        "/streams", refusal(429, "rate_limited", retry_after=1), answer(201, {"id": "s"})
    )
    began = time.monotonic()
    assert await bench.run("create({prompt: 'Hi'}, {backoffCapMs: 1_000})") == {"id": "s"}
    assert time.monotonic() - began >= 1


async def test_a_server_that_asks_for_a_longer_wait_than_the_cap_is_not_asked_again(
    bench: Bench,
) -> None:
    bench.server.script("/streams", refusal(429, "budget_spent", retry_after=7200))
    assert await bench.run("create({prompt: 'Hi'})") == {
        "name": "StreamError",
        "status": 429,
        "code": "budget_spent",
        "message": "No.",
        "retryAfter": 7200,
    }


async def test_an_access_token_that_cannot_be_sent_is_an_error_at_once(bench: Bench) -> None:
    failure = await bench.run("create({prompt: 'Hi'}, {bearer: 'b\u2026'})")
    assert failure["name"] == "TypeError"
