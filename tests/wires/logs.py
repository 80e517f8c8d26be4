"""Logs for property tests of the wires, made by the engine's rules.

Where a `Claim` or a `Reset` may stand follows attempts.py, run.py and stream.py of durable_stream.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from hypothesis import strategies as st

from app.events import (
    Answer,
    Data,
    Done,
    Progress,
    Source,
    Start,
    Thinking,
    ToolCall,
    ToolResult,
)
from app.models.base import Message, Request
from durable_stream import (
    Cancelled,
    Claim,
    Event,
    Failed,
    Handoff,
    Heartbeat,
    Record,
    Reset,
    StepBegun,
    StepEnded,
    Text,
)
from durable_stream.recorded import RecordedSteps
from durable_stream.task import of_producer, spoken

STREAM_ID = "LogsOfTestsAreAllOfThisOneStream"
MESSAGES = (
    Message("user", "Where is it warm?"),
    Message("assistant", "In Seville."),
    Message("user", "And when?"),
)
START = Start(
    Request(messages=MESSAGES, model="some-model", max_tokens=100).encode(),
    owner="someone",
    model="some-model",
    agent="chat",
)
# Of two steps, the one is within the other; another is in a branch.
STEPS = ("plan:0", "plan:0/look:0", "plan:1", "left/plan:0")

_FIRST_MS = 1_800_000_000_000
_IDS = ("1", "2", "3")


class Note(Event):
    """An event of a kind that no wire knows."""

    kind = "note"
    title: str
    value: object = None


class Aside(Text):
    """Text of a kind that no wire knows."""

    kind = "aside"


texts = st.text(st.characters(), min_size=1, max_size=6) | st.sampled_from(
    ["\ud83d", "\ude00", "\U0001f600", "a\ud83d", "\ude00b", '"\\', "\n\n", " ", "</p>\r\n"]
)
numbers = st.integers(-3, 10**6) | st.floats(-2, 2, allow_nan=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)
_ids = st.sampled_from(_IDS)
_objects = st.dictionaries(texts, values, max_size=2)
_labels = st.sampled_from(("Reading", "Counting"))

spoken_events: st.SearchStrategy[Event] = st.one_of(
    st.builds(Thinking, texts),
    st.builds(Answer, texts),
    st.builds(Answer, texts),
    st.builds(ToolCall, _ids, st.sampled_from(("search", "add")), _objects),
    st.builds(ToolResult, _ids, values),
    st.builds(ToolResult, _ids, st.none(), texts),
    st.builds(Progress, _labels, numbers, st.none() | numbers),
    st.builds(Data, st.sampled_from(("weather", "1")), values, st.sampled_from(("", *_IDS))),
    st.builds(Source, texts, st.sampled_from(("https://one.example/", "https://two.example/?a=b"))),
    st.builds(Note, texts, values),
    st.builds(Aside, texts),
)
failures = st.builds(
    Failed,
    st.sampled_from(("given_up", "broken", "provider_error")),
    st.sampled_from(("Send it again.", 'The "model" failed.')),
    st.booleans(),
    st.booleans(),
)
tokens = st.none() | st.integers(0, 99)
dones = st.builds(Done, st.sampled_from(("stop", "length")), tokens, tokens)


@st.composite
def logs(
    draw: st.DrawFn, *, most: int = 25, complete: bool | None = None, of: Start = START
) -> list[Record]:
    """The records of one stream, from its start, which is `of`.

    Beyond `most` records no new work begins. `complete` says if the last record is terminal; None
    leaves that to chance.
    """
    log = _Log(draw, of, draw(st.sampled_from(("", "w1"))))
    length = draw(st.integers(1, most))
    while len(log.records) < length:
        log.grow()
    if draw(st.booleans()) if complete is None else complete:
        log.end()
    return log.records


@st.composite
def batches(draw: st.DrawFn, records: Sequence[Record]) -> list[Sequence[Record]]:
    """The records cut into batches, some of which are empty, as a reading yields them."""
    cuts = sorted(draw(st.lists(st.integers(0, len(records)), max_size=5)))
    return [records[a:b] for a, b in zip([0, *cuts], [*cuts, len(records)], strict=True)]


def of_events(*events: Event, start: Start = START) -> list[Record]:
    """The records of a log by hand: these events behind a start that a writer has made."""
    log = [start, *events]
    return [_record(seq, event, "w1") for seq, event in enumerate(log)]


def events(records: Sequence[Record]) -> tuple[Event, ...]:
    """The events that `History.log` has of these records."""
    return of_producer([record.event for record in records])


def _record(seq: int, event: Event, writer: str) -> Record:
    return Record(
        stream_id=STREAM_ID,
        seq=seq,
        event=event,
        writer=writer,
        nonce=f"nonce-{seq}",
        at=_FIRST_MS + seq * 40,
        expires_at=_FIRST_MS // 1000 + 86_400,
    )


@dataclass
class _Log:
    """A log that grows as an engine might have written it."""

    draw: st.DrawFn
    start: Start
    writer: str
    records: list[Record] = field(default_factory=list)
    _alive: bool = False
    _attempt: int = 0
    _writers: int = 1
    # The records that the attempt has found in the log, and the steps that it has asked for.
    _recorded: RecordedSteps = field(default_factory=lambda: RecordedSteps(()))
    _restarts: bool = False
    _asked: set[str] = field(default_factory=set)
    _running: set[str] = field(default_factory=set)
    # The events of an earlier run of a step, while this run may still differ from it.
    _before: dict[str, Sequence[Event]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._put(self.start)
        self._alive = bool(self.writer)
        self._attempt = int(self._alive)

    def grow(self) -> None:
        if not self._alive:
            self._claim()
            return
        ways: list[Callable[[], None]] = [self._say] * 4 + [self._ask_for_step] * 3
        if self._running:
            ways += [self._say_in_step] * 6 + [self._end_step]
        if self.draw(st.integers(0, 4)) == 0:
            ways = [self._heartbeat, self._hand_over, self._die, self._next_attempt]
        self.draw(st.sampled_from(ways))()

    def end(self) -> None:
        if not self._alive and self.draw(st.booleans()):
            self._claim()
        # A client may cancel at any time; the other ends are a writer's.
        last = self.draw(dones | failures | st.builds(Cancelled))
        self._put(last if self._alive else Cancelled())

    # Of a writer

    def _claim(self) -> None:
        """Another writer takes over, and makes an attempt."""
        self._writers += 1
        self.writer = f"w{self._writers}"
        self._next_attempt()

    def _next_attempt(self) -> None:
        self._attempt += 1
        how = self.draw(st.sampled_from(("restarted", "replayed", "continued", "prefill")))
        self._put(Claim(self._attempt, how))
        self._alive = True
        self._asked.clear()
        self._running.clear()
        self._before.clear()
        self._restarts = how == "restarted"
        if self._restarts and spoken(self._events):
            self._put(Reset())
        self._recorded = RecordedSteps(of_producer(self._events))

    def _heartbeat(self) -> None:
        self._put(Heartbeat())

    def _hand_over(self) -> None:
        self._put(Handoff())
        self._die()

    def _die(self) -> None:
        self._alive = False

    # Of a producer

    def _say(self) -> None:
        branch = self.draw(st.sampled_from(("", "", "", "left")))
        self._put(replace(self.draw(spoken_events), within=branch))

    def _ask_for_step(self) -> None:
        # Most often one that an earlier attempt has not finished: such a step may start over.
        unfinished = sorted({*self._recorded.begun} - {*self._recorded.ended} - self._asked)
        key = self.draw(st.sampled_from([*unfinished * 8, *STEPS]))
        if key in self._asked:
            return
        self._asked.add(key)
        if key in self._recorded.ended:
            for event in self._recorded.events_at_end(key) if self._restarts else ():
                self._put(event)
            return
        if key not in self._recorded.begun:
            self._put(StepBegun(key.rpartition("/")[2][:-2], "0123456789abcdef", within=key))
        self._running.add(key)
        self._before[key] = self._recorded.events(key)

    def _say_in_step(self) -> None:
        key = self.draw(st.sampled_from(sorted(self._running)))
        before = self._before.pop(key, ())
        if len(before) and self.draw(st.booleans()):
            # From some event on, the step differs from its earlier run.
            self._put(Reset(within=key))
            for event in before[: self.draw(st.integers(0, len(before) - 1))]:
                self._put(event)
        self._put(replace(self.draw(spoken_events), within=key))

    def _end_step(self) -> None:
        key = self.draw(st.sampled_from(sorted(self._running)))
        before = self._before.pop(key, ())
        if len(before) and self.draw(st.booleans()):
            self._put(Reset(within=key))  # It has said less than in its earlier run.
        self._running.remove(key)
        value, failure = self.draw(st.sampled_from((("1", ""), ("", '["E", "e"]'))))
        self._put(StepEnded(value, failure, within=key))

    @property
    def _events(self) -> list[Event]:
        return [record.event for record in self.records]

    def _put(self, event: Event) -> None:
        self.records.append(_record(len(self.records), event, self.writer))
