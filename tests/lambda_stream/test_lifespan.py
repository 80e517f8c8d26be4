"""The lifespan messages between an application and the runtime.

AnyIO fails a test that leaves a failed task behind without retrieving its exception.
"""

import asyncio
from typing import Any

import pytest
from starlette.applications import Starlette

from lambda_stream.exceptions import InitError, UnexpectedMessage
from lambda_stream.lifespan import Lifespan

pytestmark = pytest.mark.anyio


async def test_startup_and_shutdown_return_once_the_application_has_completed_them() -> None:
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


async def test_an_application_that_reports_a_failed_start_is_not_served() -> None:
    """Starlette sends its traceback, and then raises the exception again."""

    def connect() -> None:
        raise ConnectionError("no database")

    lifespan = Lifespan(Starlette(lifespan=lambda _: connect()))  # type: ignore[arg-type]

    with pytest.raises(InitError, match="ConnectionError: no database") as failed:
        await lifespan.startup()

    assert failed.value.error_type == "Runtime.LifespanFailed"
    await lifespan.shutdown()


async def test_a_failure_during_shutdown_is_logged_and_ends_the_lifespan(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The process ends anyway; the function's log has the reason."""

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        raise ConnectionError("the database hung up")

    lifespan = Lifespan(app)
    await lifespan.startup()
    await lifespan.shutdown()

    assert "ConnectionError: the database hung up" in caplog.text


async def test_a_failure_between_startup_and_shutdown_is_logged_at_shutdown(
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


async def test_a_failed_shutdown_is_logged_with_the_applications_message(
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
