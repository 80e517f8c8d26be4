"""Calls over real sockets to a peer that answers with any bytes, or none."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.events import REGISTRY
from durable_stream import StoreRefused, StoreUnavailable
from durable_stream.aws.api import (
    ATTEMPT_SECONDS,
    ATTEMPTS,
    PAUSE_SECONDS,
    ConditionFailed,
    DynamoDB,
)
from durable_stream.dynamodb import DynamoDBStore
from durable_stream.table import Table
from tests import certificate
from tests.durable_stream.aws.peer import (
    CONDITION_FAILED,
    Act,
    Peer,
    breaks,
    peer,
    sends,
    waits,
    whole,
)
from tests.ports import refusing_port
from tests.store import CREDENTIALS

pytestmark = pytest.mark.anyio

DEADLINE = 20
# A call and its repetition, with all their waits, and some slack for a busy machine.
LONGEST = ATTEMPTS * ATTEMPT_SECONDS + PAUSE_SECONDS + 0.5
ITEM = {"seq": {"N": "1"}}


@pytest.fixture
async def dynamodb() -> AsyncIterator[Peer]:
    async with peer() as server:
        yield server


@pytest.fixture
async def client(dynamodb: Peer) -> AsyncIterator[DynamoDB]:
    made = DynamoDB({**CREDENTIALS, "AWS_ENDPOINT_URL": dynamodb.url}, connections=4)
    yield made
    made.close()


async def get(client: DynamoDB, *, once: bool = False) -> Any:
    async with asyncio.timeout(DEADLINE):
        return await client.call("GetItem", {"TableName": "t"}, once=once)


async def test_calls_one_after_another_share_a_connection(dynamodb: Peer, client: DynamoDB) -> None:
    dynamodb.usual = sends(whole({"Item": ITEM}))
    for _ in range(5):
        assert await get(client) == {"Item": ITEM}
    assert dynamodb.connections == 1


async def test_calls_at_once_have_a_connection_each_up_to_the_bound(
    dynamodb: Peer, client: DynamoDB
) -> None:
    await asyncio.gather(*(get(client) for _ in range(20)))
    assert len(dynamodb.requests) == 20
    assert dynamodb.connections == 4


BROKEN: dict[str, Act] = {
    "closed without an answer": sends(b"", stays=False),
    "reset": breaks(b""),
    "cut in the head": sends(whole()[:30], stays=False),
    "cut in the body": sends(whole({"Item": ITEM})[:-1], stays=False),
    "no HTTP": sends(b"SSH-2.0-x\r\n\r\n"),
    "damaged": sends(whole({"Item": ITEM}).replace(b'"1"', b'"2"')),
    "not JSON": sends(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n<"),
    "no object": sends(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"),
    "no JSON from a proxy": sends(b"HTTP/1.1 502 Bad\r\nContent-Length: 1\r\n\r\n<"),
    "InternalServerError": sends(whole({"__type": "x#InternalServerError"}, 500)),
    "throttled": sends(whole({"__type": "x#ThrottlingException"}, 400)),
}


@pytest.mark.parametrize("act", BROKEN.values(), ids=BROKEN)
async def test_a_call_without_an_answer_is_made_once_more(
    dynamodb: Peer, client: DynamoDB, act: Act
) -> None:
    dynamodb.acts = [act]
    dynamodb.usual = sends(whole({"Item": ITEM}))

    assert await get(client) == {"Item": ITEM}
    assert len(dynamodb.requests) == 2


@pytest.mark.parametrize("act", BROKEN.values(), ids=BROKEN)
async def test_two_calls_without_an_answer_are_a_store_that_is_unavailable(
    dynamodb: Peer, client: DynamoDB, act: Act
) -> None:
    dynamodb.usual = act

    with pytest.raises(StoreUnavailable):
        await get(client)
    assert len(dynamodb.requests) == 2


@pytest.mark.parametrize("act", BROKEN.values(), ids=BROKEN)
async def test_a_call_that_is_to_happen_once_is_sent_once(
    dynamodb: Peer, client: DynamoDB, act: Act
) -> None:
    dynamodb.usual = act

    with pytest.raises(StoreUnavailable):
        await get(client, once=True)
    assert len(dynamodb.requests) == 1


async def test_a_late_answer_is_not_the_next_calls_answer(dynamodb: Peer, client: DynamoDB) -> None:
    dynamodb.acts = [waits, waits]
    begun = time.monotonic()
    with pytest.raises(StoreUnavailable, match="no answer"):
        await get(client)
    assert time.monotonic() - begun < LONGEST

    assert await get(client) == {}
    assert dynamodb.connections == 3


async def test_an_answer_nobody_has_asked_for_is_nobodys(dynamodb: Peer, client: DynamoDB) -> None:
    """A peer that sends two answers to one request is not believed, and its connection closed."""
    dynamodb.acts = [sends(whole() + whole({"Item": ITEM})), sends(whole())]

    assert await get(client) == {}
    assert dynamodb.connections == 2


async def test_a_cancelled_call_leaves_no_connection_with_an_answer_under_way(
    dynamodb: Peer, client: DynamoDB
) -> None:
    arrived = asyncio.Event()

    async def late(_: asyncio.StreamWriter) -> bool:
        arrived.set()
        return True

    dynamodb.acts = [late]
    call = asyncio.create_task(get(client))
    async with asyncio.timeout(DEADLINE):
        await arrived.wait()
    call.cancel()
    await asyncio.wait({call}, timeout=DEADLINE)

    assert call.cancelled()
    assert await get(client) == {}
    assert dynamodb.connections == 2


async def test_a_connection_that_ended_while_idle_costs_no_attempt_of_a_call_made_once(
    dynamodb: Peer, client: DynamoDB
) -> None:
    """Such a call never uses a connection that may have ended unseen."""
    dynamodb.acts = [sends(whole(), stays=False)]
    await get(client)

    assert await get(client, once=True) == {}
    assert len(dynamodb.requests) == 2


async def test_a_connection_that_was_idle_for_long_is_not_used_again(
    dynamodb: Peer, client: DynamoDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted by the wall clock, for a frozen sandbox's monotonic clock may stand still."""
    await get(client)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 31)

    await get(client)
    assert dynamodb.connections == 2


@pytest.mark.parametrize(
    ("told", "item"),
    [({"__type": CONDITION_FAILED, "Item": ITEM}, ITEM), ({"__type": CONDITION_FAILED}, None)],
)
async def test_a_condition_that_fails_is_an_answer(
    dynamodb: Peer, client: DynamoDB, told: dict[str, Any], item: object
) -> None:
    dynamodb.usual = sends(whole(told, 400))

    with pytest.raises(ConditionFailed) as failed:
        await get(client)
    assert failed.value.item == item
    assert len(dynamodb.requests) == 1


async def test_a_refusal_is_not_repeated_and_says_why(dynamodb: Peer, client: DynamoDB) -> None:
    told = {"__type": "x#AccessDeniedException", "message": "not allowed"}
    dynamodb.usual = sends(whole(told, 400))

    with pytest.raises(StoreRefused, match="AccessDeniedException: not allowed"):
        await get(client)
    assert len(dynamodb.requests) == 1


@pytest.mark.parametrize("spoil", ["cut", "flip", "reset"])
async def test_an_answer_spoilt_at_any_byte_is_a_result_or_a_decided_error(
    dynamodb: Peer, client: DynamoDB, spoil: str
) -> None:
    """The checksum tells a damaged answer from a whole one: no other result is ever given."""
    answer = whole({"Item": ITEM})

    def spoilt(at: int) -> bytes:
        if spoil == "flip":
            return answer[:at] + bytes([answer[at] ^ 1]) + answer[at + 1 :]
        return answer[:at]

    for at in range(len(answer)):
        spoils = breaks if spoil == "reset" else partial(sends, stays=False)
        dynamodb.usual = spoils(spoilt(at))
        try:
            result = await get(client, once=True)
        except (StoreUnavailable, StoreRefused):
            continue
        assert spoil == "flip", f"a result at {at}"
        assert result == {"Item": ITEM}


async def test_a_path_that_goes_dead_costs_one_attempt(dynamodb: Peer, client: DynamoDB) -> None:
    """Not one for each of its idle connections: the next attempt has a new one."""
    dead = asyncio.Event()

    async def act(writer: asyncio.StreamWriter) -> bool:
        # The connections of the first calls fall silent; later ones are alive.
        if not dead.is_set() or dynamodb.connections > 4:
            writer.write(whole())
        return True

    dynamodb.usual = act
    await asyncio.gather(*(get(client) for _ in range(4)))
    assert dynamodb.connections == 4
    dead.set()
    for seconds in (ATTEMPT_SECONDS + 0.5, 0.5):
        begun = time.monotonic()
        assert await get(client) == {}
        assert time.monotonic() - begun < seconds
    assert dynamodb.connections == 5


async def test_an_answer_that_came_while_the_event_loop_was_held_up_counts() -> None:
    """Another call would count twice, and would make a busy process busier."""
    requests: list[bytes] = []
    arrived = threading.Event()

    def serve(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection:
            requests.append(connection.recv(65_536))
            arrived.set()
            connection.sendall(whole({"Item": ITEM}))

    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor() as threads:
        serving = threads.submit(serve, listening)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        slow = DynamoDB({**CREDENTIALS, "AWS_ENDPOINT_URL": url})
        calling = asyncio.create_task(get(slow))
        async with asyncio.timeout(DEADLINE):
            await asyncio.to_thread(arrived.wait, DEADLINE)
        time.sleep(ATTEMPT_SECONDS + 0.2)  # noqa: ASYNC251 - holds the event loop up
        assert await calling == {"Item": ITEM}
        serving.result(DEADLINE)
        slow.close()
    assert len(requests) == 1


async def test_a_call_under_way_when_the_client_closes_leaves_no_connection(
    dynamodb: Peer, client: DynamoDB
) -> None:
    arrived, go_on, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def act(writer: asyncio.StreamWriter) -> bool:
        arrived.set()
        await go_on.wait()
        writer.write(whole())
        return True

    dynamodb.usual, dynamodb.ended = act, ended.set
    calling = asyncio.create_task(get(client))
    async with asyncio.timeout(DEADLINE):
        await arrived.wait()
        client.close()
        go_on.set()
        assert await calling == {}
        await ended.wait()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["Items", "Item", "seq", "N", "S", "data"]), inner)
    ),
    max_leaves=8,
)


@given(json_values)
@example(None)
@example({"Items": None})
@example({"Items": [{"seq": {"N": "x"}}]})
@example({"Items": [[]]})
def test_any_json_is_a_page_or_a_store_that_is_unavailable(told: object) -> None:
    async def read() -> None:
        async with peer() as server:
            server.usual = sends(whole(told))
            table = Table("t", environ={**CREDENTIALS, "AWS_ENDPOINT_URL": server.url})
            log = DynamoDBStore(table, REGISTRY)
            try:
                with contextlib.suppress(StoreUnavailable):
                    assert not (await log.read("s", 0, consistent=True)).records
                with contextlib.suppress(StoreUnavailable):
                    assert await log.newest("s") is None
                    assert isinstance(told, dict)
                    assert told["Items"] == []
            finally:
                table.close()

    asyncio.run(asyncio.wait_for(read(), DEADLINE))


async def test_json_too_deep_to_be_read_is_no_answer(dynamodb: Peer, client: DynamoDB) -> None:
    body = b"[" * 100_000
    dynamodb.usual = sends(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    with pytest.raises(StoreUnavailable, match="not JSON"):
        await get(client)


async def test_over_tls_a_connection_is_kept_and_a_broken_one_replaced(tmp_path: Path) -> None:
    trusted, tls = certificate.make(tmp_path)
    async with peer(tls) as dynamodb:
        client = DynamoDB(
            {**CREDENTIALS, "AWS_ENDPOINT_URL": dynamodb.url, "AWS_CA_BUNDLE": str(trusted)}
        )
        assert await get(client) == {}
        assert await get(client) == {}
        assert dynamodb.connections == 1
        dynamodb.acts = [sends(whole()[:20], stays=False)]
        assert await get(client) == {}
        assert dynamodb.connections == 2
        client.close()


async def test_a_peer_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    _, tls = certificate.make(tmp_path)
    async with peer(tls) as dynamodb:
        client = DynamoDB({**CREDENTIALS, "AWS_ENDPOINT_URL": dynamodb.url})
        with pytest.raises(StoreRefused, match="AWS_CA_BUNDLE"):
            await get(client)
        assert dynamodb.requests == []
        client.close()


async def test_no_peer_is_a_store_that_is_unavailable() -> None:
    with refusing_port() as port:
        client = DynamoDB({**CREDENTIALS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"})
        with pytest.raises(StoreUnavailable, match="no connection"):
            await get(client)
        client.close()
