"""The bytes of a response of AG-UI: how it begins, and how it ends where the run does not."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.exceptions import AppError, RetryLater, SecretUnavailable
from app.wires.ag_ui.rendering import AgUiRendering, Run
from app.wires.ag_ui.response import Frames
from durable_stream import (
    Record,
    StoreRefused,
    StoreUnavailable,
    StreamError,
    StreamNotFound,
)
from tests.wires.logs import STREAM_ID, batches, logs

RUN = Run("thread", "run")


def events(chunk: bytes) -> list[dict[str, Any]]:
    assert chunk.isascii()
    blocks = chunk.decode().split("\n\n")
    assert blocks.pop() == ""
    assert all(block.startswith("data: ") for block in blocks)
    return [json.loads(block[6:]) for block in blocks]


def sent(frames: Frames, cut: Sequence[Sequence[Record]]) -> list[dict[str, Any]]:
    return events(frames.opening() + b"".join(map(frames.records, cut)))


@given(st.data(), logs())
def test_a_new_run_has_the_same_events_however_its_records_come(
    data: st.DataObject, log: list[Record]
) -> None:
    own = AgUiRendering(RUN)
    whole = [event for record in log for event in own.render(record)]

    assert sent(Frames(RUN), data.draw(batches(log))) == json.loads(json.dumps(whole))


@given(st.data(), logs())
def test_a_known_run_begins_at_once_and_with_a_snapshot_of_what_comes_first(
    data: st.DataObject, log: list[Record]
) -> None:
    cut = [batch for batch in data.draw(batches(log)) if batch]
    frames = Frames(RUN, continued=STREAM_ID)

    [begun] = events(frames.opening())
    told = [event for batch in cut for event in events(frames.records(batch))]

    assert (begun["type"], begun["metadata"]) == ("RUN_STARTED", {"stream_id": STREAM_ID})
    own = AgUiRendering(RUN)
    for record in cut[0]:
        own.render(record)
    snapshot = [*own.again()]
    rest = [event for batch in cut[1:] for record in batch for event in own.render(record)]
    assert told == json.loads(json.dumps([*snapshot, *rest]))


def test_the_end_of_a_response_that_is_not_that_of_the_run_is_an_error_that_says_so() -> None:
    [event] = events(Frames(RUN).unfinished())

    assert (event["type"], event["code"]) == ("RUN_ERROR", "unfinished")
    assert "same runId" in event["message"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StoreUnavailable("throttled"), "unfinished"),
        (SecretUnavailable(), "unfinished"),
        (RetryLater("too_often", "Wait.", retry_after=3), "unfinished"),
        (StoreRefused("no table"), "log_refused"),
        (StreamNotFound(), "stream_not_found"),
    ],
)
def test_trouble_that_passes_is_told_apart_from_trouble_that_does_not(
    error: AppError | StreamError, code: str
) -> None:
    [event] = events(Frames(RUN).failed(error))

    assert (event["type"], event["code"]) == ("RUN_ERROR", code)
    assert ("same runId" in event["message"]) == (code == "unfinished")
    assert error.message in event["message"]
