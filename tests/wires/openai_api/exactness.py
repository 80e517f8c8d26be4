"""A client's final answer, compared with the server's."""

import json
from typing import Any

from tests.wires.openai_api.adding_up import of_output, of_parts
from tests.wires.openai_api.asking import Heard
from tests.wires.openai_api.conftest import Served


def output(response: Any) -> list[dict[str, Any]]:
    """The items of a response, as they came."""
    items: list[dict[str, Any]] = json.loads(response.to_json())["output"]
    return items


async def assert_exact(served: Served, heard: Heard) -> None:
    """The client's numbers have no gap, and its text and its parts are the server's."""
    assert heard.numbers == list(range(len(heard.numbers)))
    snapshot = await served.snapshot(heard.id)
    assert "".join(heard.texts.values()) == snapshot["answer"]
    assert heard.response.output_text == snapshot["answer"]
    assert of_output(output(heard.response)) == of_parts(snapshot["parts"])
