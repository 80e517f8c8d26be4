"""Steps: recorded once, whenever the process dies, and never mixed up."""

import asyncio
import sys
import threading
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable

import pytest

from durable_stream import (
    Claim,
    Event,
    Failed,
    Handoff,
    Heartbeat,
    ProducerFailed,
    Record,
    Reset,
    Resume,
    Start,
    StepBegun,
    StepEnded,
    StepFailed,
    Steps,
    Task,
)
from durable_stream.dynamodb import DynamoDBStore
from durable_stream.events import MAX_EVENT
from durable_stream.step_keys import idempotency_key
from tests.durable_stream.test_streams import die, read, read_until
from tests.durable_stream.working import (
    EVENTS,
    NOW,
    Finished,
    Line,
    Note,
    Work,
    events,
    killed,
    process,
    told,
)

pytestmark = pytest.mark.anyio

AT_ONCE = 6


async def each_kill(
    log: DynamoDBStore,
    work: Callable[[], Work],
    check: Callable[[list[Record], Work], None],
    how: Resume = "replay",
) -> None:
    """Kill a stream of this work at each of its appends, before it and after it; check each."""
    undisturbed = await killed(log, work(), [], how)
    room = asyncio.Semaphore(AT_ONCE)

    async def one(at: int, *, before: bool) -> None:
        async with room:
            here = work()
            check(await killed(log, here, [(at, before)], how), here)

    appends = len(events(undisturbed))
    async with asyncio.TaskGroup() as group:
        for at in range(2, appends + 1):  # The first is the start, which the client puts.
            group.create_task(one(at, before=True))
            group.create_task(one(at, before=False))


class Ledger:
    """The world outside: it notes the attempts in which each step was at work, by its key."""

    def __init__(self) -> None:
        self.done: defaultdict[str, list[int]] = defaultdict(list)

    def do(self, task: Task, steps: Steps) -> None:
        self.done[steps.key].append(task.attempt)


class Trip:
    """Work with steps, text between them, and text and notes within them."""

    def __init__(self) -> None:
        self.ledger = Ledger()

    async def __call__(self, task: Task, steps: Steps) -> AsyncGenerator[Event]:
        async def book(what: str) -> dict[str, str]:
            await steps.emit(Note(f"booking {what}"))
            self.ledger.do(task, steps)
            for word in ("on ", "the ", f"{what} "):
                await steps.emit(Line(word))
            return {"booked": what}

        yield Line("I book ")
        yield Line("a trip: ")
        train = await steps.step("book", book, "train")
        yield Line(f"{train['booked']}, ")
        hotel = await steps.step("book", book, "hotel")
        yield Note(hotel["booked"])
        yield Line(f"{hotel['booked']}.")


TRIP = [
    ("", "line", "I book a trip: "),
    ("book:1", "note", "booking train"),
    ("book:1", "line", "on the train "),
    ("", "line", "train, "),
    ("book:2", "note", "booking hotel"),
    ("book:2", "line", "on the hotel "),
    ("", "note", "hotel"),
    ("", "line", "hotel."),
]


def once(records: list[Record], ledger: Ledger) -> None:
    """A step ran once in an attempt at most, and never behind the record of its end."""
    attempt = 0
    ended: dict[str, int] = {}
    for event in events(records):
        attempt = event.attempt if isinstance(event, Claim) else attempt
        if isinstance(event, StepEnded):
            key = idempotency_key(records[0].stream_id, event.within)
            assert key not in ended
            ended[key] = attempt
    assert ended.keys() == ledger.done.keys()
    for key, attempts in ledger.done.items():
        assert len(set(attempts)) == len(attempts)
        assert attempts[-1] == ended[key]


async def test_a_replayed_agent_that_is_killed_anywhere_says_and_does_everything_once(
    log: DynamoDBStore,
) -> None:
    def check(records: list[Record], trip: Work) -> None:
        assert isinstance(trip, Trip)
        assert told(records) == TRIP
        assert isinstance(records[-1].event, Finished)
        once(records, trip.ledger)

    await each_kill(log, Trip, check)


async def test_a_replayed_agent_may_die_again_and_again(log: DynamoDBStore) -> None:
    trip = Trip()

    records = await killed(log, trip, [(4, False), (3, True), (2, False), (3, False), (2, True)])

    assert told(records) == TRIP
    once(records, trip.ledger)


async def test_a_restarted_agent_starts_over_for_all_readers_and_repeats_no_finished_step(
    log: DynamoDBStore,
) -> None:
    def check(records: list[Record], trip: Work) -> None:
        assert isinstance(trip, Trip)
        assert told(records) == TRIP
        once(records, trip.ledger)

    await each_kill(log, Trip, check, "restart")


class Branches:
    """Two branches at once with three steps each, whose values tell the branches apart."""

    def __init__(self) -> None:
        self.ledger = Ledger()

    async def __call__(self, task: Task, steps: Steps) -> AsyncGenerator[Event]:
        async def value(of: str) -> str:
            await asyncio.sleep(0)
            self.ledger.do(task, steps)
            return of

        async def branch(city: str) -> list[str]:
            with steps.branch(city):
                values = [await steps.step("find", value, city)]
                values.append(await steps.step("fetch", value, f"{city} {values[0]}"))
                return [*values, await steps.step("find", value, f"{city} again")]

        for values in await asyncio.gather(branch("paris"), branch("rome")):
            yield Line(f"{values} ")


async def test_steps_of_branches_never_get_each_others_values(log: DynamoDBStore) -> None:
    def check(records: list[Record], branches: Work) -> None:
        assert isinstance(branches, Branches)
        paris = ["paris", "paris paris", "paris again"]
        rome = ["rome", "rome rome", "rome again"]
        assert told(records) == [("", "line", f"{paris} {rome} ")]
        once(records, branches.ledger)

    await each_kill(log, Branches, check)


class Nested:
    """A step within a step, and one tool that is called twice at once under one id."""

    def __init__(self) -> None:
        self.ledger = Ledger()

    async def __call__(self, task: Task, steps: Steps) -> AsyncGenerator[Event]:
        async def inner(number: int) -> int:
            self.ledger.do(task, steps)
            await steps.emit(Line(f"({number})"))
            return number

        async def outer(number: int) -> list[int]:
            self.ledger.do(task, steps)
            return [await steps.step("inner", inner, number * 10 + each) for each in (1, 2)]

        both = await asyncio.gather(
            steps.step("tool", outer, 1, key="0"), steps.step("tool", outer, 2, key="0")
        )
        yield Line(str(both))


async def test_steps_within_steps_and_calls_of_one_id_keep_their_values(
    log: DynamoDBStore,
) -> None:
    def check(records: list[Record], nested: Work) -> None:
        assert isinstance(nested, Nested)
        assert sorted(told(records)) == [
            ("", "line", "[[11, 12], [21, 22]]"),
            ("tool:0:1/inner:1", "line", "(11)"),
            ("tool:0:1/inner:2", "line", "(12)"),
            ("tool:0:2/inner:1", "line", "(21)"),
            ("tool:0:2/inner:2", "line", "(22)"),
        ]
        once(records, nested.ledger)

    await each_kill(log, Nested, check)


# Values and exceptions


async def test_a_value_is_read_from_json_the_first_time_too(log: DynamoDBStore) -> None:
    async def work(_task: Task, steps: Steps) -> AsyncGenerator[Event]:
        yield Line(repr(await steps.step("pair", lambda: (1, 2))))

    assert told(await killed(log, work, [])) == [("", "line", "[1, 2]")]


class Breaking:
    """A step whose function raises, and an agent that can bear it."""

    def __init__(self) -> None:
        self.ledger = Ledger()

    async def __call__(self, task: Task, steps: Steps) -> AsyncGenerator[Event]:
        def divide(by: int) -> float:
            self.ledger.do(task, steps)
            return 1 / by

        try:
            await steps.step("divide", divide, 0)
        except StepFailed as error:
            yield Line(f"{error.type}: {error.text}")


async def test_an_exception_is_recorded_and_raised_alike_in_each_attempt(
    log: DynamoDBStore,
) -> None:
    def check(records: list[Record], breaking: Work) -> None:
        assert isinstance(breaking, Breaking)
        assert told(records) == [("", "line", "ZeroDivisionError: division by zero")]
        once(records, breaking.ledger)

    await each_kill(log, Breaking, check)


async def refused(log: DynamoDBStore, work: Work, how: Resume = "replay") -> Failed:
    end = (await killed(log, work, [], how))[-1].event
    assert isinstance(end, Failed)
    return end


@pytest.mark.parametrize(
    ("value", "told"),
    [(object(), "of the type object"), ("x" * MAX_EVENT, "store the value elsewhere")],
)
async def test_a_value_that_no_record_can_hold_is_an_error_that_names_the_step(
    log: DynamoDBStore, value: object, told: str
) -> None:
    async def work(_task: Task, steps: Steps) -> AsyncGenerator[Event]:
        yield Line(str(await steps.step("big", lambda: value)))

    end = await refused(log, work)

    assert end.code == "step_invalid"
    assert "'big'" in end.message
    assert told in end.message


@pytest.mark.parametrize("name", ["", "a/b", "a:b", "x" * 65])
async def test_a_name_that_would_make_keys_ambiguous_is_an_error(
    log: DynamoDBStore, name: str
) -> None:
    async def work(_task: Task, steps: Steps) -> AsyncGenerator[Event]:
        yield Line(await steps.step(name, lambda: "never"))

    assert (await refused(log, work)).code == "step_invalid"


async def test_an_argument_that_is_not_json_is_an_error(log: DynamoDBStore) -> None:
    async def work(_task: Task, steps: Steps) -> AsyncGenerator[Event]:
        yield Line(await steps.step("look", str, object()))

    end = await refused(log, work)

    assert (end.code, "in a closure" in end.message) == ("step_invalid", True)


async def test_tasks_at_one_place_may_give_their_steps_keys(log: DynamoDBStore) -> None:
    class Keyed:
        async def __call__(self, _task: Task, steps: Steps) -> AsyncGenerator[Event]:
            async def at(city: str) -> str:
                first: str = await steps.step("look", str, city, key=city)
                return f"{first} {await steps.step('listen', str, city, key=city)}"

            yield Line(str(await asyncio.gather(at("paris"), at("rome"))))

    def check(records: list[Record], _: Work) -> None:
        assert told(records) == [("", "line", "['paris paris', 'rome rome']")]

    await each_kill(log, Keyed, check)


@pytest.mark.parametrize("names", [("look", "look"), ("look", "listen")])
async def test_two_tasks_with_steps_at_one_place_are_an_error_before_any_kill(
    log: DynamoDBStore, names: tuple[str, str]
) -> None:
    async def work(_task: Task, steps: Steps) -> AsyncGenerator[Event]:
        async def at(name: str) -> str:
            return await steps.step(name, str, "there")  # type: ignore[no-any-return]

        yield Line(str(await asyncio.gather(*map(at, names))))

    end = await refused(log, work)

    assert (end.code, "branch()" in end.message) == ("step_ambiguous", True)


async def test_steps_from_a_thread_are_an_error_that_says_so(log: DynamoDBStore) -> None:
    async def work(_task: Task, steps: Steps) -> AsyncGenerator[Event]:
        def inside() -> None:
            _ = steps.step("inner", str)

        try:
            await steps.step("outer", inside)
        except StepFailed as error:
            yield Line(f"{error.type}: {error.text}")

    ((_, _, text),) = told(await killed(log, work, []))

    assert text.startswith("RuntimeError: a step was used from another thread")


# Keys


async def test_a_step_has_one_key_in_all_attempts_that_is_safe_as_an_idempotency_key(
    log: DynamoDBStore,
) -> None:
    seen: list[str] = []

    async def work(task: Task, steps: Steps) -> AsyncGenerator[Event]:
        async def note() -> None:
            seen.append(steps.key)
            if len(seen) == 1:
                await asyncio.Event().wait()

        with steps.branch("a-long-label-of-a-branch"):
            await steps.step("a.long.name.of.a.step", note, key="any key: at all")
        yield Line(str(steps.key == task.stream_id))

    streams = process(DynamoDBStore(log._table, EVENTS), work)
    reading = await streams.create_and_read(Start("go"), None, NOW)
    await read_until(reading, Heartbeat)
    await die(streams)
    again = process(DynamoDBStore(log._table, EVENTS), work)
    records = await read(await again.read(reading.stream_id, None, NOW))

    assert told(records) == [("", "line", "True")]
    assert len(seen) == 2
    assert seen[0] == seen[1]
    assert seen[0].startswith(f"{reading.stream_id}:")
    assert len(seen[0]) <= 64


# Divergence


class Changing:
    """Work that differs in its second attempt."""

    def __init__(self, first: Work, then: Work) -> None:
        self._works = [first, then]

    async def __call__(self, task: Task, steps: Steps) -> AsyncGenerator[Event]:
        work = self._works[0 if task.attempt == 1 else 1]
        async for event in work(task, steps):
            yield event


def plan(*parts: str) -> Work:
    """Work by its parts: `step=argument` is a step, any other a line."""

    async def work(_task: Task, steps: Steps) -> AsyncGenerator[Event]:
        for part in parts:
            name, is_step, argument = part.partition("=")
            if is_step:
                await steps.step(name, str, argument)
            else:
                yield Line(part)

    return work


@pytest.mark.parametrize(
    ("then", "detail"),
    [
        (("one ", "a=1", "two ", "b=3"), "the step 'b' came with other arguments"),
        (("one ", "a=1", "TWO ", "b=2"), "after the step 'a' it yielded another event"),
        (("ONE ", "a=1", "two ", "b=2"), "before its first step it yielded another event"),
        (("one ", "b=2"), "it ended before the step 'a'"),
        (("one ", "a=1", "c=1", "two ", "b=2"), "it came to the step 'c' before the step 'b'"),
        (("one ", "a=1", "two "), "it ended before the step 'b'"),
        (("one ", "a=1"), "it ended before the step 'b'"),
        (("one ", "a=1", "two more ", "b=2"), "it yielded an event before the step 'b'"),
        (("one ", "a=1", "two ", "more ", "b=2"), "it yielded an event before the step 'b'"),
    ],
)
async def test_a_run_that_differs_from_the_log_ends_the_stream_and_says_where(
    log: DynamoDBStore, then: tuple[str, ...], detail: str
) -> None:
    first = plan("one ", "a=1", "two ", "b=2", "three ")
    # start, claim, one, a, a's end, two, b, b's end; then it dies.
    records = await killed(log, Changing(first, plan(*then)), [(8, False)])

    end = records[-1].event
    assert isinstance(end, Failed)
    assert (end.code, end.retryable) == ("diverged", False)
    assert detail in end.message
    assert told(records) == [("", "line", "one two ")]


async def test_a_deployment_may_change_all_that_comes_behind_the_log(log: DynamoDBStore) -> None:
    first = plan("one ", "a=1", "two ", "b=2")
    then = plan("one ", "a=1", "two and ", "c=3", "more ")

    records = await killed(log, Changing(first, then), [(6, False)])

    assert told(records) == [("", "line", "one two and more ")]
    assert isinstance(records[-1].event, Finished)


async def test_an_unfinished_step_that_says_something_else_resets_its_own_events(
    log: DynamoDBStore,
) -> None:
    class Moody:
        async def __call__(self, task: Task, steps: Steps) -> AsyncGenerator[Event]:
            async def say() -> int:
                await steps.emit(Line("I say "))
                await steps.logged()
                await steps.emit(Line(f"attempt {task.attempt}"))
                await steps.logged()
                if task.attempt == 1:
                    await asyncio.Event().wait()
                return task.attempt

            yield Line("before ")
            await steps.step("say", say)
            yield Line("after")

    records = await killed(log, Moody(), [(6, False)])

    assert told(records) == [
        ("", "line", "before "),
        ("say:1", "line", "I say attempt 2"),
        ("", "line", "after"),
    ]
    assert [e.within for e in events(records) if isinstance(e, Reset)] == ["say:1"]


async def test_a_step_may_continue_what_an_interrupted_run_has_said(log: DynamoDBStore) -> None:
    words = ["one ", "two ", "three ", "four "]

    async def work(_task: Task, steps: Steps) -> AsyncGenerator[Event]:
        async def say() -> int:
            so_far = "".join(e.text for e in steps.continuing() if isinstance(e, Line))
            for word in words[len(so_far.split()) :]:
                await steps.emit(Line(word))
                await steps.logged()
            return len(so_far.split())

        yield Note(f"{await steps.step('say', say)} were said")

    records = await killed(log, work, [(5, False)])

    assert told(records) == [
        ("say:1", "line", "one two three four "),
        ("", "note", "2 were said"),
    ]


# Ways of coming back


async def test_an_agent_that_must_not_run_twice_ends_as_interrupted(log: DynamoDBStore) -> None:
    ledger = Counter[str]()

    async def work(_task: Task, _steps: Steps) -> AsyncGenerator[Event]:
        ledger["work"] += 1
        yield Line("once ")
        await asyncio.Event().wait()

    records = await killed(log, work, [(3, False)], "never")

    end = records[-1].event
    assert isinstance(end, Failed)
    assert (end.code, end.retryable) == ("interrupted", False)
    assert told(records) == [("", "line", "once ")]
    assert ledger == {"work": 1}


async def test_a_step_that_must_not_run_twice_ends_the_stream_as_interrupted(
    log: DynamoDBStore,
) -> None:
    ledger = Counter[str]()

    async def work(_task: Task, steps: Steps) -> AsyncGenerator[Event]:
        async def pay() -> str:
            ledger["paid"] += 1
            await asyncio.Event().wait()
            return "never"

        yield Line("paying ")
        await steps.step("pay", pay, once=True)

    streams = process(DynamoDBStore(log._table, EVENTS), work)
    reading = await streams.create_and_read(Start("go"), None, NOW)
    await read_until(reading, Heartbeat)
    await die(streams)
    again = process(DynamoDBStore(log._table, EVENTS), work)
    records = await read(await again.read(reading.stream_id, None, NOW))

    end = records[-1].event
    assert isinstance(end, Failed)
    assert (end.code, "'pay'" in end.message) == ("interrupted", True)
    assert ledger == {"paid": 1}


async def test_readers_of_a_restarted_agent_who_come_early_and_late_end_with_the_same(
    log: DynamoDBStore,
) -> None:
    async def work(task: Task, _steps: Steps) -> AsyncGenerator[Event]:
        yield Line(f"attempt {task.attempt}: ")
        yield Line("all of it")

    records = await killed(log, work, [(3, False), (3, False), (3, False)], "restart")

    assert told(records) == [("", "line", "attempt 4: all of it")]
    assert sum(isinstance(event, Reset) for event in events(records)) == 3


# Long work


async def test_a_blocking_step_stops_no_heartbeat_and_holds_up_no_hand_over(
    log: DynamoDBStore,
) -> None:
    let_go = threading.Event()
    ledger = Counter[str]()

    async def work(task: Task, steps: Steps) -> AsyncGenerator[Event]:
        def blocking() -> int:
            ledger[str(task.attempt)] += 1
            if task.attempt == 1:
                let_go.wait(30)
            return task.attempt

        yield Line(f"attempt {await steps.step('block', blocking)}")

    store = DynamoDBStore(log._table, EVENTS)
    streams = process(store, work)
    try:
        reading = await streams.create_and_read(Start("go"), None, NOW)
        records = await read_until(reading, Heartbeat)
        async with asyncio.timeout(5):
            await streams.close()
        records = await read(await process(store, work).read(reading.stream_id, None, NOW))
    finally:
        let_go.set()

    assert told(records) == [("", "line", "attempt 2")]
    assert any(isinstance(record.event, Handoff) for record in records)
    assert ledger == {"1": 1, "2": 1}


async def grouped(*work: Awaitable[object]) -> list[object]:
    """As asyncio.gather, by a TaskGroup."""

    async def one(each: Awaitable[object]) -> object:
        return await each

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(each)) for each in work]
    return [task.result() for task in tasks]


@pytest.mark.parametrize("together", [asyncio.gather, grouped])
async def test_an_attempt_that_fails_stops_its_other_steps_before_the_next_begins(
    log: DynamoDBStore, together: Callable[..., Awaitable[list[object]]]
) -> None:
    """Otherwise a step of the old attempt could write among those of the new one."""
    running: Counter[str] = Counter()
    most: Counter[str] = Counter()

    async def work(task: Task, steps: Steps) -> AsyncGenerator[Event]:
        async def long() -> str:
            running["long"] += 1
            most["long"] = max(most["long"], running["long"])
            try:
                if task.attempt == 1:
                    await asyncio.Event().wait()
                return "done"
            finally:
                running["long"] -= 1

        async def failing() -> str:
            if task.attempt == 1:
                raise ProducerFailed("jammed", "It is jammed.", retryable=True)
            return "mended"

        yield Line(str(await together(steps.step("long", long), steps.step("fail", failing))))

    records = await killed(log, work, [])

    assert told(records) == [("", "line", "['done', 'mended']")]
    assert most == {"long": 1}
    assert [e.attempt for e in events(records) if isinstance(e, Claim)] == [1, 2]


async def test_a_step_costs_two_appends_and_no_step_costs_none(log: DynamoDBStore) -> None:
    stepped = events(await killed(log, plan("a=1", "b=2"), []))
    plain = events(await killed(log, plan("one"), []))

    kinds = [type(event) for event in stepped]
    assert kinds == [Start, Claim, StepBegun, StepEnded, StepBegun, StepEnded, Finished]
    assert [type(event) for event in plain] == [Start, Claim, Line, Finished]


async def test_a_reader_is_not_told_the_value_of_a_step(log: DynamoDBStore) -> None:
    records = await killed(log, plan("a=secret"), [])

    public = [
        event.public() for event in events(records) if isinstance(event, StepBegun | StepEnded)
    ]
    assert public == [{"name": "a"}, {"failed": False}]


class BranchInStep:
    """Branches within a step, whose steps and events belong to the outer step."""

    def __init__(self) -> None:
        self.ledger = Ledger()

    async def __call__(self, task: Task, steps: Steps) -> AsyncGenerator[Event]:
        async def find(city: str) -> str:
            self.ledger.do(task, steps)
            return city

        async def outer() -> list[str]:
            self.ledger.do(task, steps)

            async def branch(city: str) -> str:
                with steps.branch(city):
                    return await steps.step("find", find, city)  # type: ignore[no-any-return]

            cities = [await branch("paris"), await branch("rome")]
            with steps.branch("rome"):
                await steps.emit(Line("in a branch "))
            return cities

        yield Line("first ")
        yield Line(str(await steps.step("outer", outer)))


@pytest.mark.parametrize("how", ["replay", "restart"])
async def test_a_branch_within_a_step_is_a_part_of_the_step(
    log: DynamoDBStore, how: Resume
) -> None:
    def check(records: list[Record], work: Work) -> None:
        assert isinstance(work, BranchInStep)
        assert told(records) == [
            ("", "line", "first "),
            ("outer:1", "line", "in a branch "),
            ("", "line", "['paris', 'rome']"),
        ]
        once(records, work.ledger)

    await each_kill(log, BranchInStep, check, how)


# Starting over


class Orders:
    """Work that comes to its steps in another order when it starts over, and to another one."""

    def __init__(self) -> None:
        self.orders: list[tuple[str, str]] = []

    async def __call__(self, task: Task, steps: Steps) -> AsyncGenerator[Event]:
        async def order(item: str) -> str:
            self.orders.append((steps.key, item))
            return item

        items = ["x", "y"] if task.attempt == 1 else ["y", "x", "z"]
        yield Line(str([await steps.step("order", order, item) for item in items]))


async def test_work_that_starts_over_in_another_order_repeats_no_step_and_mixes_up_no_key(
    log: DynamoDBStore,
) -> None:
    work = Orders()

    # start, claim, x, its end, y, its end, the line; then it dies.
    records = await killed(log, work, [(7, False)], "restart")

    assert told(records) == [("", "line", "['y', 'x', 'z']")]
    assert [item for _, item in work.orders] == ["x", "y", "z"]
    assert len({key for key, _ in work.orders}) == 3


async def test_a_step_with_other_arguments_gets_nothing_of_the_steps_within_the_old_one(
    log: DynamoDBStore,
) -> None:
    async def work(task: Task, steps: Steps) -> AsyncGenerator[Event]:
        async def outer(city: str) -> str:
            found: str = await steps.step("inner", lambda: city)
            await steps.emit(Line(f"{city} "))
            await steps.logged()
            if task.attempt == 1:
                await asyncio.Event().wait()
            return found

        yield Note(await steps.step("outer", outer, "paris" if task.attempt == 1 else "rome"))

    # start, claim, outer, inner, inner's end, the line; then it dies.
    records = await killed(log, work, [(6, False)], "restart")

    assert told(records) == [("outer:2", "line", "rome "), ("", "note", "rome")]


class Layers:
    """A step with events before and behind those of a step within it."""

    async def __call__(self, _task: Task, steps: Steps) -> AsyncGenerator[Event]:
        async def inner() -> None:
            await steps.emit(Note("b"))

        async def outer() -> None:
            await steps.emit(Note("a"))
            await steps.step("inner", inner)
            await steps.emit(Note("c"))

        await steps.step("outer", outer)
        yield Note("d")


async def test_recalled_events_keep_the_order_in_which_readers_had_them(
    log: DynamoDBStore,
) -> None:
    whole = [
        ("outer:1", "note", "a"),
        ("outer:1/inner:1", "note", "b"),
        ("outer:1", "note", "c"),
        ("", "note", "d"),
    ]
    for first in range(3, 11):
        records = await killed(log, Layers(), [(first, False), (4, False)], "restart")
        assert told(records) == whole


async def test_work_that_starts_over_again_and_again_is_given_up(log: DynamoDBStore) -> None:
    """Its text is no progress, because it does not stay."""

    async def work(_task: Task, _steps: Steps) -> AsyncGenerator[Event]:
        yield Line("again ")
        await asyncio.Event().wait()

    records = await killed(log, work, [(3, False)] * 24, "restart")

    end = records[-1].event
    assert isinstance(end, Failed)
    assert end.code == "given_up"


async def test_a_step_that_must_not_run_twice_is_not_replaced_by_one_with_other_arguments(
    log: DynamoDBStore,
) -> None:
    paid: list[int] = []

    async def work(task: Task, steps: Steps) -> AsyncGenerator[Event]:
        async def pay(euros: int) -> None:
            paid.append(euros)
            await asyncio.Event().wait()

        yield Line("paying ")
        await steps.step("pay", pay, task.attempt, once=True)

    streams = process(DynamoDBStore(log._table, EVENTS), work, "restart")
    reading = await streams.create_and_read(Start("go"), None, NOW)
    await read_until(reading, Heartbeat)
    await die(streams)
    again = process(DynamoDBStore(log._table, EVENTS), work, "restart")
    records = await read(await again.read(reading.stream_id, None, NOW))

    end = records[-1].event
    assert isinstance(end, Failed)
    assert (end.code, paid) == ("interrupted", [1])


# The ends of attempts


async def test_a_step_in_a_finally_block_holds_up_no_hand_over(log: DynamoDBStore) -> None:
    async def work(task: Task, steps: Steps) -> AsyncGenerator[Event]:
        try:
            yield Line(f"{task.attempt} ")
            if task.attempt == 1:
                await asyncio.Event().wait()
        finally:
            if task.attempt == 1:
                await steps.logged()
                await steps.step("undo", str, "never")

    store = DynamoDBStore(log._table, EVENTS)
    streams = process(store, work, "continue")
    reading = await streams.create_and_read(Start("go"), None, NOW)
    await read_until(reading, Heartbeat)
    async with asyncio.timeout(5):
        await streams.close()
    records = await read(await process(store, work, "continue").read(reading.stream_id, None, NOW))

    assert told(records) == [("", "line", "1 2 ")]
    assert not any(isinstance(record.event, StepBegun) for record in records)


async def test_a_refusal_that_the_agent_catches_ends_the_stream_all_the_same(
    log: DynamoDBStore,
) -> None:
    async def work(_task: Task, steps: Steps) -> AsyncGenerator[Event]:
        try:
            await steps.step("bad", object)
        except Exception:  # noqa: BLE001 - as people write around tools
            yield Line("never mind")

    end = await refused(log, work)

    assert (end.code, "'bad'" in end.message) == ("step_invalid", True)


async def test_an_agent_that_awaits_a_cancelled_task_ends_as_broken(log: DynamoDBStore) -> None:
    async def work(_task: Task, _steps: Steps) -> AsyncGenerator[Event]:
        yield Line("before ")
        task = asyncio.create_task(asyncio.Event().wait())
        task.cancel()
        await task

    assert (await refused(log, work)).code == "broken"


async def test_a_failure_in_a_group_within_a_step_is_the_attempts_and_is_not_recorded(
    log: DynamoDBStore,
) -> None:
    async def work(task: Task, steps: Steps) -> AsyncGenerator[Event]:
        async def failing() -> int:
            if task.attempt == 1:
                raise ProducerFailed("jammed", "It is jammed.", retryable=True)
            return task.attempt

        async def outer() -> int:
            async with asyncio.TaskGroup() as group:
                inner = group.create_task(failing())
            return inner.result()

        yield Line(str(await steps.step("outer", outer)))

    assert told(await killed(log, work, [])) == [("", "line", "2")]


async def test_free_failures_beside_costly_work_are_attempts_that_the_log_counts(
    log: DynamoDBStore,
) -> None:
    costly = Counter[int]()

    async def work(task: Task, steps: Steps) -> AsyncGenerator[Event]:
        async def cost() -> None:
            costly[task.attempt] += 1
            await asyncio.Event().wait()

        async def throttled() -> None:
            await asyncio.sleep(0)
            raise ProducerFailed("throttled", "Too many.", retryable=True, free=True)

        yield Line(str(await asyncio.gather(steps.step("a", cost), steps.step("b", throttled))))

    records = await killed(log, work, [])

    claims = [event.attempt for event in events(records) if isinstance(event, Claim)]
    end = records[-1].event
    assert isinstance(end, Failed)
    assert (end.code, end.free, claims) == ("throttled", False, [1, 2, 3])
    assert costly == {1: 1, 2: 1, 3: 1}


async def test_an_end_that_waits_for_room_when_its_attempt_is_over_is_not_logged(
    log: DynamoDBStore,
) -> None:
    """Else the next attempt would run the step behind the record of its end."""
    ran: list[int] = []

    async def work(task: Task, steps: Steps) -> AsyncGenerator[Event]:
        full = asyncio.Event()

        async def fill() -> str:
            for _ in range(3):
                await steps.emit(Note("x" * 300_000))
            full.set()
            await asyncio.Event().wait()
            return "never"

        async def big() -> str:
            ran.append(task.attempt)
            if task.attempt == 1:
                await full.wait()
            return "y" * 100_000

        async def fail() -> str:
            await asyncio.sleep(0)
            if task.attempt == 1:
                await full.wait()
                for _ in range(3):
                    await asyncio.sleep(0)
                raise ProducerFailed("jammed", "It is jammed.", retryable=True)
            return "mended"

        asked = [steps.step("big", big), steps.step("fail", fail)]
        if task.attempt == 1:
            asked.append(steps.step("fill", fill))
        yield Line(str([len(value) for value in await asyncio.gather(*asked)]))

    records = await killed(log, work, [], "continue")

    ends = [event.within for event in events(records) if isinstance(event, StepEnded)]
    assert ends.count("big:1") == 1
    assert told(records)[-1] == ("", "line", "[100000, 6]")


async def test_an_event_that_was_said_in_a_step_and_is_yielded_is_outside_of_it(
    log: DynamoDBStore,
) -> None:
    async def work(_task: Task, _steps: Steps) -> AsyncGenerator[Event]:
        yield Note("copied", within="say:1")
        yield Line("end")

    for at in range(2, 6):
        records = await killed(log, work, [(at, False)])
        assert told(records) == [("", "note", "copied"), ("", "line", "end")]


async def test_a_step_cannot_end_the_stream(log: DynamoDBStore) -> None:
    async def work(_task: Task, steps: Steps) -> AsyncGenerator[Event]:
        async def end() -> None:
            await steps.emit(Finished())

        try:
            await steps.step("end", end)
        except StepFailed as error:
            yield Line(error.type)

    assert told(await killed(log, work, [])) == [("", "line", "ValueError")]


# The places of steps


async def test_a_branch_in_which_an_attempt_failed_is_left_when_the_next_begins(
    log: DynamoDBStore,
) -> None:
    booked: list[int] = []

    async def work(task: Task, steps: Steps) -> AsyncGenerator[Event]:
        async def book() -> str:
            booked.append(task.attempt)
            return "booked "

        async def helper() -> AsyncGenerator[Event]:
            with steps.branch("oslo"):
                yield Note("in a branch")

        yield Line(await steps.step("book", book))
        async for event in helper():
            yield event
            if task.attempt == 1:
                raise ProducerFailed("jammed", "It is jammed.", retryable=True)

    records = await killed(log, work, [])

    assert told(records) == [("", "line", "booked "), ("", "note", "in a branch")]
    assert booked == [1]


async def test_a_step_without_a_key_is_another_than_one_with_a_key(log: DynamoDBStore) -> None:
    async def work(task: Task, steps: Steps) -> AsyncGenerator[Event]:
        async def keyed() -> str:
            return await steps.step("ask", lambda: "paris", key="p")  # type: ignore[no-any-return]

        async def unkeyed() -> str:
            return await steps.step("ask", lambda: "rome")  # type: ignore[no-any-return]

        asked = [keyed, unkeyed] if task.attempt == 1 else [unkeyed, keyed]
        yield Line(" ".join(sorted([f"{each.__name__}={await each()}" for each in asked])))

    # start, claim, both steps with their ends; then it dies.
    records = await killed(log, work, [(6, False)], "restart")

    assert told(records) == [("", "line", "keyed=paris unkeyed=rome")]


class Started:
    """Steps that are awaited in another order than asked for, and one in the background."""

    async def __call__(self, _task: Task, steps: Steps) -> AsyncGenerator[Event]:
        one, two = steps.step("one", str, "1"), steps.step("two", str, "2")
        yield Line(f"{await two} {await one} ")
        background = asyncio.create_task(steps.step("three", str, "3"))
        yield Line("working ")
        yield Line(await background)


async def test_the_order_in_which_steps_are_asked_for_counts_and_not_that_of_awaiting(
    log: DynamoDBStore,
) -> None:
    def check(records: list[Record], _: Work) -> None:
        assert told(records) == [("", "line", "2 1 working 3")]

    await each_kill(log, Started, check)


async def test_an_agent_that_continues_gets_the_value_of_each_step_by_its_arguments(
    log: DynamoDBStore,
) -> None:
    ran: list[int] = []

    async def work(task: Task, steps: Steps) -> AsyncGenerator[Event]:
        async def double(number: int) -> int:
            ran.append(number)
            return 2 * number

        for number in range(sum(isinstance(e, Note) for e in task.said), 3):
            yield Note(str(await steps.step("double", double, number)))

    # start, claim, a step with its end, a note, a step with its end; then it dies.
    records = await killed(log, work, [(7, False)], "continue")

    assert told(records) == [("", "note", "0"), ("", "note", "2"), ("", "note", "4")]
    assert ran == [0, 1, 2]


async def test_a_step_that_says_something_else_each_time_is_given_up(log: DynamoDBStore) -> None:
    async def work(task: Task, steps: Steps) -> AsyncGenerator[Event]:
        async def say() -> None:
            await steps.emit(Line(f"attempt {task.attempt}"))
            await asyncio.Event().wait()

        yield Note(str(await steps.step("say", say)))

    records = await killed(log, work, [(4, False), *[(3, False)] * 24])

    end = records[-1].event
    assert isinstance(end, Failed)
    assert end.code == "given_up"


async def test_events_of_a_task_beside_those_that_are_yielded_need_a_branch(
    log: DynamoDBStore,
) -> None:
    """Else a replay could take their order for another one."""

    async def work(_task: Task, steps: Steps) -> AsyncGenerator[Event]:
        async def beside() -> None:
            await steps.emit(Note("beside"))
            await asyncio.Event().wait()

        task = asyncio.create_task(beside())
        await asyncio.sleep(0)
        yield Line("one ")
        task.cancel()

    assert (await refused(log, work)).code == "step_ambiguous"


async def test_a_refusal_that_the_agent_wraps_tells_its_own_message(log: DynamoDBStore) -> None:
    async def work(_task: Task, steps: Steps) -> AsyncGenerator[Event]:
        try:
            await steps.step("bad", object)
        except Exception as error:
            raise RuntimeError("a framework's own error") from error
        yield Line("never")

    end = await refused(log, work)

    assert (end.code, "'bad'" in end.message) == ("step_invalid", True)


async def test_a_step_that_calls_exit_fails_alone(log: DynamoDBStore) -> None:
    async def work(_task: Task, steps: Steps) -> AsyncGenerator[Event]:
        try:
            await steps.step("exit", sys.exit, 2)
        except StepFailed as error:
            yield Line(error.text)

    assert told(await killed(log, work, [])) == [("", "line", "the function called sys.exit(2)")]
