"""CloudWatch's metrics, read as it reads them: JSON lines of standard output."""

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from app import metrics
from app.events import Answer, Done, Thinking
from app.settings import APP_NAME
from durable_stream import (
    AllHooks,
    Cancelled,
    Claim,
    Failed,
    Handoff,
    Heartbeat,
    History,
    Hooks,
    Outcome,
    Record,
)
from durable_stream.dynamodb import DynamoDBStore
from durable_stream.outcome import MOST_LATENCIES, Tally
from tests.app.scripted import START, ScriptedProvider, Step
from tests.durable_stream.test_streams import (
    NOW,
    Sandbox,
    answer,
    begin,
    die,
    read,
    read_until,
    sandboxes,
)
from tests.store import Fault, FaultyStore

pytestmark = pytest.mark.anyio

SERVICE = ("service",)
BY_CODE = ("service", "code")


@dataclass(frozen=True)
class Line:
    """A line as CloudWatch takes it: `values` by name, `dimensions` that each is counted under."""

    values: dict[str, list[float]]
    units: dict[str, str]
    dimensions: set[tuple[str, ...]]
    members: dict[str, Any]


def parsed(text: str) -> Line:
    """Read a line by the Embedded Metric Format's specification; fail where it does not keep to it.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    """
    members = json.loads(text)
    envelope = members.pop("_aws")
    assert isinstance(envelope["Timestamp"], int)
    (directive,) = envelope["CloudWatchMetrics"]
    assert directive["Namespace"] == "LLMStream"
    dimensions = {tuple(each) for each in directive["Dimensions"]}
    assert all(isinstance(members[name], str) for each in dimensions for name in each)
    units = {each["Name"]: each["Unit"] for each in directive["Metrics"]}
    assert 1 <= len(units) <= 100
    values = {name: members[name] for name in units}
    for each in values.values():
        assert 1 <= len(each) <= 100
        assert all(isinstance(value, int | float) for value in each)
    return Line(values, units, dimensions, members)


class Lines:
    """All lines that were written since they were last asked for."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self) -> list[Line]:
        written = self._capsys.readouterr().out.splitlines()
        return [parsed(line) for line in written if '"_aws"' in line]

    def with_metric(self, name: str) -> list[Line]:
        return [line for line in self() if name in line.values]

    def total(self, name: str) -> float:
        return sum(sum(line.values.get(name, [])) for line in self())


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Lines:
    """The lines that have been written."""
    return Lines(capsys)


METRICS = metrics.Metrics()
DONE = Done("stop", 7, 41)


def outcome(**members: Any) -> Outcome:
    return dataclasses.replace(Outcome(attempt=1, end=DONE), **members)


# A line


def test_a_finished_answer_is_one_line(lines: Lines) -> None:
    METRICS.wrote(
        outcome(appends=3, append_latencies=[0.004, 0.0051234], first_progress=0.25, producing=2.0)
    )

    (line,) = lines()
    assert line.values == {
        "Appends": [3],
        "AppendLatency": [4, 5.12],
        "TimeToFirstToken": [250],
        "InputTokens": [7],
        "OutputTokens": [41],
        "TokensPerSecond": [20],
    }
    assert line.units["AppendLatency"] == line.units["TimeToFirstToken"] == "Milliseconds"
    assert line.units["TokensPerSecond"] == "Count/Second"
    assert line.dimensions == {SERVICE}
    assert line.members["service"] == APP_NAME


def test_an_error_is_counted_for_the_service_and_for_its_code(lines: Lines) -> None:
    METRICS.wrote(outcome(end=Failed("provider_cut", "…", retryable=True), appends=1))

    failed, generated = lines()
    assert failed.values == {"Errors": [1]}
    assert failed.dimensions == {SERVICE, BY_CODE}
    assert failed.members["code"] == "provider_cut"
    assert generated.values == {"Appends": [1]}
    assert generated.dimensions == {SERVICE}, "each code more is a metric more to pay for"


def test_a_refusal_is_counted_for_the_service_and_for_its_code(lines: Lines) -> None:
    metrics.refused("rate_limited")

    (line,) = lines()
    assert line.values == {"Refusals": [1]}
    assert line.dimensions == {SERVICE, BY_CODE}
    assert line.members["code"] == "rate_limited"


@pytest.mark.parametrize(
    ("tell", "name"),
    [
        (METRICS.resumed, "Resumes"),
        (METRICS.took_over, "Takeovers"),
        (lambda: METRICS.wrote(outcome(end=Handoff())), "Handovers"),
    ],
)
def test_an_occurrence_is_one_line_for_the_service(
    lines: Lines, tell: Callable[[], None], name: str
) -> None:
    tell()

    (line,) = lines()
    assert line.values[name] == [1]
    assert line.units[name] == "Count"
    assert line.dimensions == {SERVICE}


async def test_a_cancelled_stream_is_one_line_for_the_service(lines: Lines) -> None:
    start = Record("s" * 32, 0, START, writer="w", nonce="n", at=0, expires_at=0)
    await METRICS.ended(History.of([start]), Cancelled(), None)

    (line,) = lines()
    assert line.values == {"Cancels": [1]}
    assert line.units == {"Cancels": "Count"}
    assert line.dimensions == {SERVICE}


def test_the_cost_of_a_stream_is_a_line_of_its_own(lines: Lines) -> None:
    metrics.spent(7)

    (line,) = lines()
    assert line.values == {"TokensSpent": [7]}
    assert line.dimensions == {SERVICE}


def test_a_cold_start_is_a_line_of_its_own(lines: Lines) -> None:
    metrics.started()

    (line,) = lines()
    assert line.values == {"ColdStart": [1]}
    assert line.dimensions == {SERVICE}


@pytest.mark.parametrize(
    ("name", "value"), [("POWERTOOLS_METRICS_DISABLED", "true"), ("AWS_SAM_LOCAL", "true")]
)
def test_where_nobody_counts_nothing_is_written(
    lines: Lines, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    METRICS.wrote(outcome())
    metrics.refused("rate_limited")

    assert lines() == []


def test_time_to_first_token_is_of_first_attempts_only(lines: Lines) -> None:
    METRICS.wrote(outcome(attempt=2, appends=1, first_progress=0.25))

    (line,) = lines()
    assert "TimeToFirstToken" not in line.values


@pytest.mark.parametrize(
    "members",
    [
        {"end": Done("stop", 7, None), "producing": 2.0},
        {"claims": 1, "producing": 2.0},
        {"producing": 0.0},
    ],
)
def test_no_pace_is_told_where_it_is_not_known(lines: Lines, members: dict[str, Any]) -> None:
    """Without a count, where the count is of the last attempt only, or all came at once."""
    METRICS.wrote(outcome(appends=1, **members))

    (line,) = lines()
    assert "TokensPerSecond" not in line.values


# The metrics of streams


async def test_a_whole_answer_tells_what_was_appended_and_how_fast(
    sandbox: Sandbox, lines: Lines, store: FaultyStore
) -> None:
    store.delay = 0.02
    steps: list[Step] = [Thinking("hm"), Answer("naïve"), Done("stop", 5, 9)]
    provider = ScriptedProvider([steps], pace=0.1)
    reading = await sandbox(provider).create_and_read(START, None, NOW)
    records = await read(reading)
    await reading.settled()

    (line,) = lines()
    assert line.values["Appends"] == [len(records) - 1], "the start is no generation's"
    assert len(line.values["AppendLatency"]) == len(records) - 1
    assert all(20 <= each < 10_000 for each in line.values["AppendLatency"])
    assert 120 <= line.values["TimeToFirstToken"][0] < 10_000
    assert line.values["InputTokens"] == [5]
    assert line.values["OutputTokens"] == [9]
    assert line.values["TokensPerSecond"][0] > 0


async def test_a_take_over_is_counted_though_the_next_writer_dies_too(
    sandbox: Sandbox, lines: Lines
) -> None:
    first = sandbox(ScriptedProvider([[Answer("a"), forever()]]))
    stream_id, reading = await begin(first)
    seen = await read_until(reading, Answer)
    await die(first)
    second = sandbox(ScriptedProvider([[forever()]]))
    reading_on = await second.read(stream_id, seen[-1].seq, NOW)
    assert reading_on is not None
    await read_until(reading_on, Claim)

    assert lines.total("Takeovers") == 1
    await die(second)


def forever() -> asyncio.Event:
    return asyncio.Event()


async def test_a_handover_is_one_and_no_take_over(sandbox: Sandbox, lines: Lines) -> None:
    go_on = asyncio.Event()
    streams = sandbox(ScriptedProvider([[Answer("a"), go_on], answer("b")]))
    stream_id, reading = await begin(streams)
    seen = await read_until(reading, Answer)
    await streams.close()

    rest = await read(
        await sandbox(ScriptedProvider([answer("b")])).read(stream_id, seen[-1].seq, NOW)
    )

    assert isinstance(rest[-1].event, Done)
    told = lines()
    assert sum(sum(line.values.get("Handovers", [])) for line in told) == 1
    assert sum(sum(line.values.get("Takeovers", [])) for line in told) == 0
    assert sum(sum(line.values.get("Resumes", [])) for line in told) == 1


async def test_a_first_reader_is_no_resume_and_its_claim_no_take_over(
    sandbox: Sandbox, lines: Lines
) -> None:
    _, reading = await begin(sandbox(ScriptedProvider([answer("a")])))
    await read(reading)
    await reading.settled()

    (line,) = lines()
    assert {"TimeToFirstToken", "Appends"} < line.values.keys()


async def test_cancelling_counts_once_however_often_it_is_asked_for(
    sandbox: Sandbox, lines: Lines
) -> None:
    streams = sandbox(ScriptedProvider([[Answer("a"), forever()]]))
    stream_id, reading = await begin(streams)
    await read_until(reading, Answer)

    await streams.cancel(stream_id)
    await streams.cancel(stream_id)

    assert lines.total("Cancels") == 1


async def test_a_stream_that_is_given_up_is_an_error(sandbox: Sandbox, lines: Lines) -> None:
    streams = sandbox(ScriptedProvider([]), idle_attempts=0)
    _, reading = await begin(streams)
    await read(reading)

    (line,) = lines.with_metric("Errors")
    assert line.members["code"] == "given_up"


async def test_many_streams_that_end_in_one_process_do_not_mix(
    sandbox: Sandbox, lines: Lines
) -> None:
    streams = [
        sandbox(ScriptedProvider([[*answer("a")[:-1], Done("stop", count, count)]]))
        for count in range(1, 21)
    ]
    readings = await asyncio.gather(*(each.create_and_read(START, None, NOW) for each in streams))
    await asyncio.gather(*map(read, readings))
    await asyncio.gather(*(reading.settled() for reading in readings))

    told = lines()
    assert sorted(line.values["OutputTokens"] for line in told) == [[n] for n in range(1, 21)]
    assert all(len(line.values["TimeToFirstToken"]) == 1 for line in told)


# The outcome of a generation


class Outcomes(Hooks):
    """The outcomes of all writers."""

    def __init__(self) -> None:
        self.all: list[Outcome] = []

    def wrote(self, outcome: Outcome) -> None:
        self.all.append(outcome)


@pytest.fixture
def watching() -> Outcomes:
    return Outcomes()


@pytest.fixture
def outcomes(watching: Outcomes) -> list[Outcome]:
    return watching.all


@pytest.fixture
async def sandbox(log: DynamoDBStore, watching: Outcomes) -> AsyncIterator[Sandbox]:
    async with sandboxes(log, AllHooks([METRICS, watching])) as make:
        yield make


async def test_the_end_is_the_last_word_that_the_log_has_acknowledged(
    sandbox: Sandbox, outcomes: list[Outcome]
) -> None:
    reading = await sandbox(ScriptedProvider([answer("na", "ïve")])).create_and_read(
        START, None, NOW
    )
    records = await read(reading)
    await reading.settled()

    (outcome,) = outcomes
    assert outcome.end == records[-1].event
    assert (outcome.attempt, outcome.claims) == (1, 0)


async def test_an_end_that_the_log_never_acknowledged_is_none(
    sandbox: Sandbox, outcomes: list[Outcome], store: FaultyStore
) -> None:
    go_on = asyncio.Event()
    provider = ScriptedProvider([[Answer("a"), go_on, Done("stop", 1, 2)]])
    streams = sandbox(provider, writer_patience=2.0)
    reading = await streams.create_and_read(START, None, NOW)
    await read_until(reading, Answer)
    store.choose = lambda operation: Fault.REFUSE if operation == "PutItem" else Fault.NONE
    go_on.set()
    async with asyncio.timeout(10):
        await reading.settled()

    (outcome,) = outcomes
    assert outcome.end is None


async def test_a_cancelled_generation_has_no_end_of_its_own(
    sandbox: Sandbox, outcomes: list[Outcome]
) -> None:
    streams = sandbox(ScriptedProvider([[Answer("a"), forever()]]))
    stream_id, reading = await begin(streams)
    await read_until(reading, Answer)

    await streams.cancel(stream_id)

    (outcome,) = outcomes
    assert outcome.end is None


async def test_a_generation_that_is_handed_over_ends_with_that(
    sandbox: Sandbox, outcomes: list[Outcome]
) -> None:
    streams = sandbox(ScriptedProvider([[Answer("a"), forever()]]))
    _, reading = await begin(streams)
    await read_until(reading, Answer)

    await streams.close()

    (outcome,) = outcomes
    assert outcome.end == Handoff()


async def test_attempts_inside_a_generation_are_its_claims(
    sandbox: Sandbox, outcomes: list[Outcome]
) -> None:
    provider = ScriptedProvider([[Answer("a")], answer("b")])
    reading = await sandbox(provider).create_and_read(START, None, NOW)
    await read(reading)
    await reading.settled()

    (outcome,) = outcomes
    assert (outcome.attempt, outcome.claims) == (1, 1)


async def test_append_latencies_are_an_even_selection_of_all() -> None:
    """A long answer is heard all along, in as many values as one line may have."""
    tally = Tally(attempt=1)
    for n in range(1000):
        tally.appended(Heartbeat(), begun_at=0, at=n)

    outcome = tally.outcome()
    assert outcome.appends == 1000
    assert list(outcome.append_latencies) == list(range(0, 1000, 16))
    assert len(outcome.append_latencies) <= MOST_LATENCIES
