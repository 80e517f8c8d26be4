"""A model with two tools. One of them has a side effect, which happens once whatever is killed.

The demo provider calls the first tool where a prompt begins with `/tool`, and each tool that a
prompt names, so this runs without a key.
"""

import os
import tempfile
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path

from app import models
from app.agents import agent
from app.task import Task
from durable_stream import Event

# A stand-in for the shop's server: one file for each order.
SHOP = Path(os.environ.get("SHOP") or Path(tempfile.gettempdir()) / "shop")


def price(item: str) -> str:
    """Tell the price of an item."""
    return f"A {item} is {len(item)} euros."


def place_order(key: str, item: str, quantity: int) -> str:
    """Order at a shop that recognizes a key which it has seen, as payment services do."""
    SHOP.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError), (SHOP / key).open("x") as order:
        order.write(f"{quantity} {item}")
    return f"Ordered {quantity} of {item}."


@agent(resume="replay", most_tokens=200_000)
async def shop(task: Task) -> AsyncGenerator[Event]:
    """Answer with a model that can look up prices and place orders."""

    def order(item: str, quantity: int = 1) -> str:
        """Place an order."""
        return place_order(task.step_key, item, quantity)

    async for event in models.answer(task, tools=[price, order]):
        yield event


AGENTS = (shop,)
