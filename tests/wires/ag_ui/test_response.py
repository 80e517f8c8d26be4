"""The bytes of a response of AG-UI: how it begins, and how it ends where the run does not."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.events import Answer, Done
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
from tests.wires.ag_ui.test_rendering import Json, histories, started, state, undisturbed
from tests.wires.logs import STREAM_ID, batches, logs, of_events

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
def test_a_known_run_begins_at_once_and_with_a_snapshot_of_all_that_was_in_the_log(
    data: st.DataObject, log: list[Record]
) -> None:
    newest = data.draw(st.sampled_from(log))
    cut = data.draw(batches(log))
    frames = Frames(RUN, continued=newest)

    [begun] = events(frames.opening())
    told = [events(frames.records(batch)) for batch in cut]

    assert (begun["type"], begun["metadata"]) == ("RUN_STARTED", {"stream_id": STREAM_ID})
    own = AgUiRendering(RUN)
    whole: list[list[dict[str, Any]]] = []
    for batch in cut:
        came = [event for record in batch for event in own.render(record)]
        now = any(record.seq == newest.seq for record in batch)
        early = not batch or batch[-1].seq < newest.seq
        whole.append([*own.again()] if now else [] if early else came)
    assert told == json.loads(json.dumps(whole))


@given(st.data(), histories, logs())
def test_a_client_that_comes_back_ends_as_if_nothing_had_happened_however_the_records_come(
    data: st.DataObject, asked: list[Json], log: list[Record]
) -> None:
    newest = data.draw(st.integers(0, len(log) - 1))
    known = log[: data.draw(st.integers(0, newest + 1))]
    client = started(asked).play(sent(Frames(Run("thread", "run", asked)), [known])).connect()

    frames = Frames(Run("thread", "run", asked), continued=log[newest])
    client.play(sent(frames, data.draw(batches(log))))

    assert state(client) == state(undisturbed(asked, log))


def test_a_run_that_has_ended_before_its_newest_record_came_is_told_at_its_end() -> None:
    log = of_events(Answer("a"), Done("stop"))
    frames = Frames(RUN, continued=replace(log[-1], seq=9))

    told = sent(frames, [[record] for record in log])

    assert [each["type"] for each in told[1:]] == ["MESSAGES_SNAPSHOT", "RUN_FINISHED"]


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
