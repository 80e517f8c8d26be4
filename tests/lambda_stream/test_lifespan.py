"""The conversation that an application has with its server about starting and ending.

AnyIO fails a test that leaves a failed task behind which nobody has looked at.
"""

import asyncio
from typing import Any

import pytest
from starlette.applications import Starlette

from lambda_stream.exceptions import InitError, UnexpectedMessage
from lambda_stream.lifespan import Lifespan

pytestmark = pytest.mark.anyio


async def test_startup_and_shutdown_return_when_the_application_says_so() -> None:
    steps = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        steps.append(scope["type"])
        steps.append((await receive())["type"])
        scope["state"]["database"] = "open"
        await send({"type": "lifespan.startup.complete"})
        steps.append((await receive())["type"])
        await asyncio.sleep(0)
        steps.append("done")
        await send({"type": "lifespan.shutdown.complete"})

    lifespan = Lifespan(app)
    await lifespan.startup()
    assert steps == ["lifespan", "lifespan.startup"]
    assert lifespan.state == {"database": "open"}

    await lifespan.shutdown()
    assert steps[2:] == ["lifespan.shutdown", "done"]
    await lifespan.shutdown()


async def test_an_application_without_a_lifespan_is_served_all_the_same() -> None:
    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        assert scope["type"] == "http"

    lifespan = Lifespan(app)
    await lifespan.startup()
    await lifespan.shutdown()


async def test_an_application_that_says_it_cannot_start_is_not_served() -> None:
    """Starlette sends its traceback, and then raises what it had caught."""

    def connect() -> None:
        raise ConnectionError("no database")

    lifespan = Lifespan(Starlette(lifespan=lambda _: connect()))  # type: ignore[arg-type]

    with pytest.raises(InitError, match="ConnectionError: no database") as failed:
        await lifespan.startup()

    assert failed.value.error_type == "Runtime.LifespanFailed"
    await lifespan.shutdown()


async def test_an_application_that_fails_to_end_has_ended(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The process ends anyway; the log tells why something may be left undone."""

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        raise ConnectionError("the database hung up")

    lifespan = Lifespan(app)
    await lifespan.startup()
    await lifespan.shutdown()

    assert "ConnectionError: the database hung up" in caplog.text


async def test_an_application_that_fails_in_between_is_logged_at_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def app(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        raise ConnectionError("the database hung up")

    lifespan = Lifespan(app)
    await lifespan.startup()
    await asyncio.sleep(0)
    await lifespan.shutdown()

    assert "ConnectionError: the database hung up" in caplog.text


async def test_a_failed_shutdown_is_logged_as_the_application_tells_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def app(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.failed", "message": "rows were lost"})

    lifespan = Lifespan(app)
    await lifespan.startup()
    await lifespan.shutdown()

    assert "rows were lost" in caplog.text


async def test_a_message_of_another_phase_is_refused() -> None:
    async def app(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    with pytest.raises(UnexpectedMessage, match=r"Expected lifespan\.startup\.complete"):
        await Lifespan(app).startup()
