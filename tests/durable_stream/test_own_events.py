"""An application with events of its own: the engine asks them for their rules, not their class."""

import asyncio
import dataclasses
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import pytest

from durable_stream import (
    AllHooks,
    Claim,
    Engine,
    Event,
    Failed,
    Heartbeat,
    History,
    Hooks,
    Outcome,
    ProducerFailed,
    Record,
    Registry,
    Resume,
    RetryPolicy,
    Start,
    Steps,
    Streams,
    Task,
    Text,
    Timing,
    Window,
)
from durable_stream.dynamodb import DynamoDBStore
from durable_stream.events import MAX_EVENT, MAX_TEXT, members
from tests.durable_stream.test_streams import die, read, read_until

pytestmark = pytest.mark.anyio

TIMING = Timing(heartbeat=0.1, lease=0.5, listening=0.2, claim_jitter=0.05, flush_interval=0.01)
NOW = Window()


class Move(Event):
    """A robot moved: it made progress, and must not move twice unmarked."""

    kind = "move"
    to: str


class Battery(Event):
    """A reading that says nothing of the work."""

    kind = "battery"
    progress = False
    percent: int


class Parked(Event):
    """The robot has parked."""

    kind = "parked"
    terminal = True


class Report(Event):
    """The robot has parked, and tells of its day."""

    kind = "report"
    terminal = True
    day: str


Step = Event | Exception | asyncio.Event


@dataclass
class Robot:
    """A producer that goes through the steps of each attempt."""

    attempts: Sequence[Sequence[Step]]
    tasks: list[Task] = field(default_factory=list)

    def resume(self, _start: Start) -> Resume:
        return "continue"

    def continued(self, task: Task) -> str:
        return f"after {len(task.said)} events"

    async def events(self, task: Task, _steps: Steps) -> AsyncGenerator[Event]:
        self.tasks.append(task)
        for step in self.attempts[len(self.tasks) - 1]:
            if isinstance(step, Exception):
                raise step
            if isinstance(step, asyncio.Event):
                await step.wait()
            else:
                yield step


class Process(Protocol):
    def __call__(self, robot: Robot, *hooks: Hooks) -> Streams: ...


@pytest.fixture
def process(log: DynamoDBStore) -> Process:
    store = DynamoDBStore(log._table, Registry([Move, Battery, Parked, Report]))

    def make(robot: Robot, *hooks: Hooks) -> Streams:
        policy, listening = RetryPolicy(idle_attempts=3), AllHooks(hooks)
        return Streams(
            Engine(store=store, producer=robot, hooks=listening, timing=TIMING, policy=policy)
        )

    return make


def jammed() -> ProducerFailed:
    return ProducerFailed("jammed", "The robot is jammed.", retryable=True)


def events(records: Sequence[Record]) -> list[Event]:
    """The events but for heartbeats, whose number depends on the machine's speed."""
    return [record.event for record in records if not isinstance(record.event, Heartbeat)]


async def test_an_event_is_logged_once_an_attempt_and_each_attempt_stands_behind_its_claim(
    process: Process,
) -> None:
    """A failure that can be retried, then the death of the process."""
    first = process(
        Robot([[Move("door"), jammed()], [Move("door"), Move("shelf"), asyncio.Event()]])
    )
    reading = await first.create_and_read(Start("fetch"), None, NOW)
    seen = await read_until(reading, Claim)
    async with asyncio.timeout(10):
        async for batch in reading.batches():
            seen += batch
            if Move("shelf") in events(batch):
                break
    await die(first)
    robot = Robot([[Move("home"), Parked()]])

    records = await read(await process(robot).read(reading.stream_id, None, NOW))

    assert events(records) == [
        Start("fetch"),
        Move("door"),
        Claim(2, "after 1 events"),
        Move("door"),
        Move("shelf"),
        Claim(3, "after 3 events"),
        Move("home"),
        Parked(),
    ]
    (task,) = robot.tasks
    assert task.said == (Move("door"), Move("door"), Move("shelf"))
    assert (task.attempt, task.stream_id) == (3, reading.stream_id)


async def test_attempts_that_make_progress_are_never_given_up_as_idle(process: Process) -> None:
    stream_id = ""
    for attempt in range(5):
        streams = process(Robot([[Move(str(attempt)), asyncio.Event()]]))
        stream_id = stream_id or (await streams.create(Start("fetch"), None)).stream_id
        reading = await streams.read(stream_id, None, NOW)
        assert reading is not None
        await _until(reading.batches(), Move(str(attempt)))
        await die(streams)

    records = await read(await process(Robot([[Parked()]])).read(stream_id, None, NOW))

    assert events(records)[-1] == Parked()
    assert [e.attempt for e in events(records) if isinstance(e, Claim)] == [1, 2, 3, 4, 5, 6]


async def test_attempts_without_progress_are_given_up_whatever_else_they_log(
    process: Process,
) -> None:
    stream_id = ""
    for attempt in range(3):
        streams = process(Robot([[Battery(attempt), asyncio.Event()]]))
        stream_id = stream_id or (await streams.create(Start("fetch"), None)).stream_id
        reading = await streams.read(stream_id, None, NOW)
        assert reading is not None
        await _until(reading.batches(), Battery(attempt))
        await die(streams)

    end = (await read(await process(Robot([])).read(stream_id, None, NOW)))[-1].event

    assert isinstance(end, Failed)
    assert end.code == "given_up"


async def _until(batches: AsyncGenerator[Sequence[Record]], wanted: Event) -> None:
    async with asyncio.timeout(10):
        async for batch in batches:
            if wanted in events(batch):
                return


async def test_an_event_that_is_no_progress_is_not_logged_twice_without_a_claim(
    process: Process,
) -> None:
    streams = process(Robot([[Battery(9), jammed()], [Battery(8), Parked()]]))

    records = await read(await streams.create_and_read(Start("fetch"), None, NOW))

    claim = Claim(2, "after 1 events")
    assert events(records) == [Start("fetch"), Battery(9), claim, Battery(8), Parked()]


class Note(Text):
    """Text of an application's own."""

    kind = "note"


def test_text_of_one_class_is_joined_and_cut_to_what_a_record_holds() -> None:
    assert Note.merged([Note("a"), Note("b")]) == [Note("ab")]
    assert [len(n.text) for n in Note.merged([Note("x" * (MAX_TEXT + 1))])] == [MAX_TEXT, 1]
    assert Note.merged([Note("")]) == []


def test_an_event_is_a_frozen_dataclass_without_a_decorator() -> None:
    assert Move("door") == Move(to="door")
    assert members(Move("door")) == {"to": "door"}
    with pytest.raises(dataclasses.FrozenInstanceError):
        Move("door").to = "shelf"  # type: ignore[misc]


def test_two_events_of_one_kind_are_a_mistake() -> None:
    class Again(Event):
        kind = "move"

    with pytest.raises(ValueError, match="two events are called 'move'"):
        Registry([Move, Again])


def test_an_application_may_add_members_to_the_start_and_to_no_other_kind_of_the_engine() -> None:
    class Named(Start):
        name: str = ""

    class Fake(Event):
        kind = "claim"

    assert Registry([Named]).decode("start", '{"input":"x","name":"y"}') == Named("x", name="y")
    with pytest.raises(ValueError, match="two events are called 'claim'"):
        Registry([Fake])


class Said(Text):
    """Text of one of several speakers."""

    kind = "said"
    by: str = ""


def test_text_is_joined_only_with_text_of_equal_other_members() -> None:
    run = [Said("a", by="x"), Said("b", by="x"), Said("c", by="y"), Said("d", by="x")]

    assert Said.merged(run) == [Said("ab", by="x"), Said("c", by="y"), Said("d", by="x")]


def test_text_that_is_terminal_is_a_mistake() -> None:
    """It may become several records, and only a stream's last record may be terminal."""

    class Verdict(Text):
        kind = "verdict"
        terminal = True

    with pytest.raises(ValueError, match="text and terminal"):
        Registry([Verdict])


@pytest.mark.parametrize("event", [Move("x" * MAX_EVENT), Report("x" * MAX_EVENT)])
async def test_an_event_that_no_record_can_hold_ends_its_stream_as_broken(
    process: Process, event: Event
) -> None:
    """Another attempt would only come to the same end."""
    robot = Robot([[Move("door"), event]])

    records = await read(await process(robot).create_and_read(Start("fetch"), None, NOW))

    *before, end = events(records)
    assert before == [Start("fetch"), Move("door")]
    assert isinstance(end, Failed)
    assert end.code == "broken"
    assert len(robot.tasks) == 1


async def test_the_largest_event_that_is_accepted_fits_into_a_record(process: Process) -> None:
    largest = Move("x" * (MAX_EVENT - len('{"to":""}')))
    robot = Robot([[largest, Parked()]])

    records = await read(await process(robot).create_and_read(Start("fetch"), None, NOW))

    assert events(records) == [Start("fetch"), largest, Parked()]


class Deaf(Hooks):
    """A listener that fails at each thing it hears of a writer."""

    def attempting(self, _task: Task) -> None:
        raise RuntimeError("attempting")


class Failing(Hooks):
    """A listener that fails at the end."""

    async def ended(self, *_args: object) -> None:
        raise RuntimeError("ended")


@dataclass
class Listening(Hooks):
    """A listener that keeps the ends it is told of."""

    ends: list[Event] = field(default_factory=list)

    async def ended(self, _before: History, end: Event, _outcome: Outcome | None) -> None:
        self.ends.append(end)


async def test_a_hook_that_fails_at_an_attempt_leaves_no_stream_without_an_end(
    process: Process,
) -> None:
    streams = process(Robot([[Move("door"), Parked()]] * 3), Deaf())

    records = await read(await streams.create_and_read(Start("fetch"), None, NOW))

    assert isinstance(records[-1].event, Failed)


async def test_a_hook_that_fails_at_the_end_keeps_no_other_from_hearing_it(
    process: Process,
) -> None:
    listening = Listening()
    streams = process(Robot([[Parked()]]), Failing(), listening)

    await read(await streams.create_and_read(Start("fetch"), None, NOW))
    await streams.close()

    assert listening.ends == [Parked()]
