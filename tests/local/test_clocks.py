"""Sandboxes' clocks may be wrong, each by its own offset, and a deadline is told by them."""

import time

import pytest

from tests.local.conftest import Emulate

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("offset", [-15.0, 15.0])
async def test_a_deadline_is_told_by_the_sandboxs_own_clock(
    emulate: Emulate, offset: float
) -> None:
    async with emulate(clock_offsets=(offset,), timeout=60) as emulated:
        told = (await emulated.client.get("/environment")).json()
        headers = (await emulated.client.get("/headers")).json()

    assert float(told["LOCAL_CLOCK_OFFSET"]) == offset
    deadline = int(headers["Deadline-Ms"]) / 1000
    assert deadline - time.time() == pytest.approx(60 + offset, abs=10)
