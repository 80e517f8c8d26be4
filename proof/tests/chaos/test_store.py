"""The proxy does each fault to the very call, or process, that the plan says."""

import asyncio
import dataclasses
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from app.events import Start
from durable_stream.events import encode
from proof.chaos.faults import Fault
from proof.chaos.history import History
from proof.chaos.plan import Plan, draw
from proof.chaos.sandboxes import Sandboxes
from proof.chaos.store import LASTING, Store
from proof.chaos.traffic import Ledger, Traffic
from tests.store import CREDENTIALS, client, create_table, moto

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

pytestmark = pytest.mark.anyio

Play = Callable[[Plan], Awaitable["Played"]]

STREAM = "s" * 32
QUIET = next(plan for plan in (draw(1, n) for n in range(100)) if plan.undisturbed)


@pytest.fixture(scope="module")
def moto_url() -> Iterator[str]:
    with moto() as url:
        yield url


@pytest.fixture
def process() -> Iterator["subprocess.Popen[bytes]"]:
    """A process in a group of its own, as a sandbox is."""
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as process:
        yield process
        process.kill()


@dataclass
class Played:
    """A store with a plan, and a way to put and to query as a sandbox does."""

    url: str
    proxied: str
    table: str
    pid: int
    ledger: Ledger
    history: History

    @property
    def traffic(self) -> Traffic:
        return self.ledger.traffic(QUIET.number)

    async def put(self, seq: int, kind: str = "answer") -> str:
        """Put a record; the error's name, or nothing."""
        start = Start(QUIET.request.encode(), model="demo")
        data = encode(start) if seq == 0 else "{}"
        item = {
            "stream_id": {"S": STREAM},
            "seq": {"N": str(seq)},
            "kind": {"S": "start" if seq == 0 else kind},
            "data": {"S": data},
            "writer": {"S": "w"},
        }

        def call() -> None:
            self._client().put_item(
                TableName=self.table,
                Item=item,
                ConditionExpression="attribute_not_exists(stream_id)",
            )

        return await _error(call)

    async def query(self, *, consistent: bool = False) -> list[int]:
        """The positions that a read finds."""

        def call() -> list[int]:
            page = self._client().query(
                TableName=self.table,
                KeyConditionExpression="stream_id = :stream",
                ExpressionAttributeValues={":stream": {"S": STREAM}},
                ConsistentRead=consistent,
            )
            return [int(item["seq"]["N"]) for item in page["Items"]]

        return await asyncio.to_thread(call)

    def stands(self) -> list[int]:
        """The positions that are in the table."""
        page = client(self.url).query(
            TableName=self.table,
            KeyConditionExpression="stream_id = :stream",
            ExpressionAttributeValues={":stream": {"S": STREAM}},
        )
        return [int(item["seq"]["N"]) for item in page["Items"]]

    def _client(self) -> "DynamoDBClient":
        return boto3.client(
            "dynamodb",
            endpoint_url=self.proxied,
            region_name="us-east-1",
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            config=Config(
                user_agent_extra=f"app/pid-{self.pid}",
                read_timeout=1.0,
                retries={"total_max_attempts": 1},
            ),
        )


async def _error(call: Callable[[], None]) -> str:
    try:
        await asyncio.to_thread(call)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    except BotoCoreError as error:
        return type(error).__name__
    return ""


@pytest.fixture
async def play(moto_url: str, process: "subprocess.Popen[bytes]") -> AsyncIterator[Play]:
    """A way to have a plan's store."""
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(httpx.AsyncClient())

        async def played(plan: Plan) -> Played:
            table = await asyncio.to_thread(create_table, moto_url)
            ledger, history = Ledger(), History()
            plans, sandboxes = {plan.number: plan}, Sandboxes(http)
            store = Store(moto_url, plans, ledger=ledger, history=history, sandboxes=sandboxes)
            await stack.enter_async_context(store.listening())
            return Played(moto_url, store.url, table, process.pid, ledger, history)

        yield played


def at(nth: int, fault: Fault) -> Plan:
    return dataclasses.replace(QUIET, puts={nth: fault})


def state(process: "subprocess.Popen[bytes]") -> str:
    """As /proc tells it: T is stopped, S sleeps."""
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]


async def test_without_a_fault_a_call_passes(play: Play) -> None:
    store = await play(QUIET)

    assert [await store.put(seq) for seq in range(3)] == ["", "", ""]
    assert await store.query() == [0, 1, 2]
    assert await store.put(1) == "ConditionalCheckFailedException"


@pytest.mark.parametrize(
    ("fault", "answer", "stands"),
    [
        (Fault.LOSE_ANSWER, "ConnectionClosedError", True),
        (Fault.SLOW, "", True),
        (Fault.LATE_ANSWER, "ReadTimeoutError", True),
    ],
)
async def test_the_nth_put_has_its_fault_and_no_other(
    play: Play, fault: Fault, answer: str, *, stands: bool
) -> None:
    store = await play(at(1, fault))

    assert await store.put(0) == ""
    assert await store.put(1) == answer
    assert (1 in store.stands()) is stands
    assert await store.put(2) == ""
    assert store.history.injected == {fault: 1}


async def test_a_late_put_comes_behind_its_retry_and_fails(play: Play) -> None:
    store = await play(at(1, Fault.LATE_PUT))
    await store.put(0)

    late = asyncio.create_task(store.put(1))
    assert await late == "ReadTimeoutError"
    assert store.stands() == [0]
    assert await store.put(1) == ""


@pytest.mark.parametrize(
    ("fault", "stands"),
    [
        (Fault.KILL_BEFORE_PUT, False),
        (Fault.KILL_AFTER_PUT, True),
        (Fault.KILL_ACKNOWLEDGED, True),
    ],
)
async def test_the_process_is_killed_before_or_after_its_put(
    play: Play, process: "subprocess.Popen[bytes]", fault: Fault, *, stands: bool
) -> None:
    store = await play(at(1, fault))
    await store.put(0)
    answer = await store.put(1)

    assert await asyncio.to_thread(process.wait, 5) == -signal.SIGKILL
    assert (1 in store.stands()) is stands
    assert (answer == "") is (fault is Fault.KILL_ACKNOWLEDGED)


@pytest.mark.parametrize("fault", [Fault.FREEZE_BEFORE_PUT, Fault.FREEZE_AFTER_PUT])
async def test_a_frozen_process_is_thawed_once_another_has_put(
    play: Play, process: "subprocess.Popen[bytes]", fault: Fault
) -> None:
    store = await play(at(1, fault))
    await store.put(0)
    frozen = asyncio.create_task(store.put(1))
    async with asyncio.timeout(5):
        while state(process) != "T":  # noqa: ASYNC110 - another process's state has no event
            await asyncio.sleep(0.01)
    assert (1 in store.stands()) is (fault is Fault.FREEZE_AFTER_PUT)

    other = dataclasses.replace(store, pid=store.pid + 1)
    await other.put(1 if fault is Fault.FREEZE_BEFORE_PUT else 2, "claim")
    await frozen
    async with asyncio.timeout(5):
        while state(process) == "T":  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        while not store.traffic.zombies:  # noqa: ASYNC110 - counted behind the thaw
            await asyncio.sleep(0.01)
    assert store.history.injected == {fault: 1}


async def test_who_has_lost_already_is_not_frozen(
    play: Play, process: "subprocess.Popen[bytes]"
) -> None:
    store = await play(at(2, Fault.FREEZE_BEFORE_PUT))
    await store.put(0)
    await dataclasses.replace(store, pid=store.pid + 1).put(1, "claim")

    assert await store.put(1) == "ConditionalCheckFailedException"
    assert state(process) != "T"
    assert not store.history.injected


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault.FREEZE_BEFORE_PUT, "cancelled"),
        (Fault.FREEZE_AFTER_PUT, "cancelled"),
        (Fault.FREEZE_AFTER_PUT, "done"),
    ],
)
async def test_nobody_is_frozen_from_whom_nobody_takes_over(
    play: Play, process: "subprocess.Popen[bytes]", fault: Fault, kind: str
) -> None:
    store = await play(at(1, fault))
    await store.put(0)

    assert await store.put(1, kind) == ""
    assert state(process) != "T"
    assert not store.history.injected


async def test_a_process_that_has_ended_is_not_killed_and_that_is_not_counted(
    play: Play, process: "subprocess.Popen[bytes]"
) -> None:
    store = await play(at(1, Fault.KILL_BEFORE_PUT))
    await store.put(0)
    process.kill()
    await asyncio.to_thread(process.wait, 5)
    await store.put(1)

    assert not store.history.injected
    assert not store.traffic.killed


RACES = dataclasses.replace(QUIET, cancel=Fault.CANCEL_AT_FINISH)


async def test_the_end_and_its_retry_wait_for_a_canceller(play: Play) -> None:
    store = await play(RACES)
    await store.put(0)

    assert await store.put(1, "done") == "ReadTimeoutError"
    retried = asyncio.create_task(store.put(1, "done"))
    assert store.stands() == [0]
    canceller = dataclasses.replace(store, pid=store.pid + 1)
    await asyncio.gather(retried, canceller.put(1, "cancelled"))
    assert store.stands() == [0, 1]
    assert store.history.injected == {Fault.CANCEL_AT_FINISH: 1}


async def test_without_a_canceller_there_was_no_race(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proof.chaos.store.CANCEL_SECONDS", 0.1)
    store = await play(RACES)
    await store.put(0)

    assert await store.put(1, "done") == ""
    assert not store.history.injected


async def test_the_end_of_a_stream_is_when_its_last_record_stands(play: Play) -> None:
    store = await play(QUIET)
    await store.put(0)
    assert store.traffic.ended_at == {}
    await store.put(1, "done")

    assert store.traffic.ended_at == {STREAM: store.traffic.stood_at[STREAM, 1]}


@pytest.mark.parametrize(
    ("fault", "answer"),
    [
        (Fault.REFUSE, "ConnectionClosedError"),
        (Fault.THROTTLE, "ProvisionedThroughputExceededException"),
        (Fault.FAIL, "InternalServerError"),
        (Fault.OUTAGE, "InternalServerError"),
    ],
)
async def test_what_lasts_ends_after_so_many_calls(play: Play, fault: Fault, answer: str) -> None:
    store = await play(at(1, fault))
    await store.put(0)
    answers = [await store.put(1) for _ in range(LASTING[fault])]
    assert store.stands() == [0]

    assert [*answers, await store.put(1)] == [answer] * LASTING[fault] + [""]
    assert store.history.injected == {fault: 1}


@pytest.mark.parametrize(
    ("fault", "answer", "stands"),
    [
        (Fault.SILENT, "ReadTimeoutError", True),
        (Fault.UNREACHABLE, "ConnectionClosedError", False),
    ],
)
async def test_in_a_silence_nobody_is_answered_and_then_everybody(
    play: Play, monkeypatch: pytest.MonkeyPatch, fault: Fault, answer: str, *, stands: bool
) -> None:
    monkeypatch.setattr("proof.chaos.store.SILENT_SECONDS", 2.5)
    store = await play(at(1, fault))
    await store.put(0)
    other = dataclasses.replace(store, pid=store.pid + 1)

    assert await store.put(1) == answer
    with pytest.raises(BotoCoreError):
        await other.query()
    assert store.stands() == [0]
    (silence,) = store.traffic.silences
    assert (silence.seq, silence.kind, silence.pid) == (1, "answer", store.pid)
    async with asyncio.timeout(10):
        while store.traffic.silence is not None:  # noqa: ASYNC110 - the time is over, and no more
            await asyncio.sleep(0.01)
    put_again = await store.put(1)

    assert (put_again == "ConditionalCheckFailedException") is stands, "the first was carried out"
    assert await other.query() == [0, 1]
    assert store.history.injected == {fault: 1}


async def test_a_query_that_fails_does_so_for_several_calls(play: Play) -> None:
    store = await play(dataclasses.replace(QUIET, queries={0: Fault.QUERY_FAILS}))
    await store.put(0)
    with pytest.raises(ClientError):
        await store.query()
    answers = [await store.put(1) for _ in range(LASTING[Fault.QUERY_FAILS])]

    assert answers == ["InternalServerError"] * (LASTING[Fault.QUERY_FAILS] - 1) + [""]


@pytest.mark.parametrize(
    ("fault", "found"), [(Fault.STALE_QUERY, [0, 1, 2, 3]), (Fault.GAPPED_QUERY, [0, 1, 3, 4])]
)
async def test_an_eventually_consistent_read_may_be_behind_and_a_consistent_one_never_is(
    play: Play, fault: Fault, found: list[int]
) -> None:
    store = await play(dataclasses.replace(QUIET, queries={0: fault}))
    for seq in range(5):
        await store.put(seq)

    assert await store.query(consistent=True) == [0, 1, 2, 3, 4]
    assert await store.query() == found
    assert await store.query() == [0, 1, 2, 3, 4]
