"""A sandbox's clock may be wrong by an offset of its own, and its deadlines follow that clock."""

import time

import pytest

from tests.local.conftest import Emulate

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("offset", [-15.0, 15.0])
async def test_a_deadline_is_in_the_sandboxs_own_clock(emulate: Emulate, offset: float) -> None:
    async with emulate(clock_offsets=(offset,), timeout=60) as emulator:
        environment = (await emulator.client.get("/environment")).json()
        headers = (await emulator.client.get("/headers")).json()

    assert float(environment["LOCAL_CLOCK_OFFSET"]) == offset
    deadline = int(headers["Deadline-Ms"]) / 1000
    assert deadline - time.time() == pytest.approx(60 + offset, abs=10)
