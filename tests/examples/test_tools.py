"""examples/tools.py, killed at random moments."""

from collections import Counter
from pathlib import Path

import pytest

from tests.examples.judging import Tool, assert_like, assert_steps_once, fold
from tests.examples.killing import served

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(600)]

# The demo provider calls the tools that a line names, at once; each line is a round.
BODY = {"prompt": "price price of a lamp\norder a lamp"}
DEMO = {"DEMO_TOKENS_PER_SECOND": 60, "DEMO_FIRST_TOKEN_MS": 50}


@pytest.mark.parametrize("kills", [6, pytest.param(60, marks=pytest.mark.prove)])
async def test_a_killed_model_with_tools_is_told_once_and_orders_once(
    kills: int, tmp_path: Path
) -> None:
    shop = tmp_path / "shop"
    async with served("examples.tools", tmp_path, BODY, env={"SHOP": shop, **DEMO}) as example:
        undisturbed = await example.undisturbed()
        await example.kill(kills, undisturbed)

    price = Tool("price", '{"item": "of a lamp"}', '"A of a lamp is 9 euros."')
    order = Tool("order", '{"item": "a lamp"}', '"Ordered 1 of a lamp."')
    assert fold(undisturbed.events).tools == [order, price, price]
    for run in example.runs:
        assert_like(run, undisturbed)
        assert_steps_once(run)
    assert len(list(shop.iterdir())) == len(example.runs)
    print(Counter(kind for run in example.runs for kind in run.killed))  # noqa: T201
