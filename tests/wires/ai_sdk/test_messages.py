"""The real client has the parts of any log, as the tests of the rendering expect them."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from app.folding import fold
from app.wires.ai_sdk.rendering import AiSdkRendering
from app.wires.frames import frame
from durable_stream import Failed, Record
from tests.wires import logs, node
from tests.wires.ai_sdk.conftest import shown
from tests.wires.ai_sdk.message import as_json, expected

pytestmark = pytest.mark.clients

SCRIPT = Path(__file__).with_name("messages.mjs")
LOGS = 300


@pytest.fixture(scope="module")
def some_logs() -> list[Sequence[Record]]:
    found: list[Sequence[Record]] = []

    @settings(
        max_examples=LOGS,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(logs.logs(complete=True))
    def find(records: Sequence[Record]) -> None:
        found.append(records)

    find()
    return found


@pytest.mark.parametrize("transport", ["default", "workflow"])
def test_a_client_has_the_parts_of_any_log(
    transport: str, some_logs: list[Sequence[Record]], tmp_path: Path
) -> None:
    answers = tmp_path / "answers.json"
    answers.write_text(json.dumps([_frames(records) for records in some_logs]))

    told = node.run(SCRIPT, answers, transport)

    assert len(told) == len(some_logs) >= LOGS
    for each, records in zip(told, some_logs, strict=True):
        assert shown(each["message"]) == as_json(expected(fold(logs.events(records))))
        assert each["count"] == 2
        assert (each["error"] is not None) == isinstance(records[-1].event, Failed)


def _frames(records: Sequence[Record]) -> list[str]:
    rendering = AiSdkRendering()
    return [frame(chunk).decode() for record in records for chunk in rendering.render(record)]
