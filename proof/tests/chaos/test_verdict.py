"""Forbidden outcomes are found; allowed outcomes are not."""

import dataclasses
import json
from collections.abc import Mapping, Sequence

import pytest

from app.api.sse import frame
from app.events import (
    REGISTRY,
    Answer,
    Data,
    Done,
    Progress,
    Source,
    Start,
    Thinking,
    ToolCall,
    ToolResult,
)
from durable_stream import (
    Cancelled,
    Claim,
    Failed,
    Handoff,
    Heartbeat,
    Record,
    Reset,
    StepBegun,
    StepEnded,
)
from durable_stream import Event as Payload
from proof.chaos.faults import Fault
from proof.chaos.plan import Plan, draw
from proof.chaos.reader import Told
from proof.chaos.story import Outcome
from proof.chaos.verdict import LATENESS, LEASE, Verdict, judge
from tests.event_source import Event

STREAM = "s" * 32
PLAN = next(
    plan
    for plan in (draw(1, n) for n in range(100))
    if plan.cancel is None and plan.puts and plan.readers == 1 and not plan.stepping
)
THINKING, ANSWER = "".join(PLAN.thinking), "".join(PLAN.answer)
WHOLE: tuple[Payload, ...] = (
    Start(PLAN.request.encode(), model="demo"),
    Thinking(THINKING),
    Answer(ANSWER[:30]),
    Claim(2, "prefill"),
    Answer(ANSWER[30:]),
    Done("stop", 1, 2),
)
TOKENS = len(PLAN.thinking) + len(PLAN.answer)
NONE: Mapping[str, Sequence[Record]] = {}


def log(payloads: Sequence[Payload]) -> list[Record]:
    return [
        Record(STREAM, seq, payload, writer="w", nonce="n", at=0, expires_at=0)
        for seq, payload in enumerate(payloads)
    ]


def event(record: Record) -> Event:
    """As the application renders it."""
    lines = frame(record).decode().splitlines()
    fields = dict(line.split(": ", 1) for line in lines if line)
    return Event(fields["id"], fields["event"], json.loads(fields["data"]), 0.0)


def told(records: Sequence[Record]) -> Told:
    return Told(events=[event(record) for record in records])


def verdict(
    records: Sequence[Record],
    heard: Sequence[Record] | None = None,
    *,
    plan: Plan = PLAN,
    overlap: float = 0.0,
    overrun: float = 0.0,
    status: str = "",
    others: Mapping[str, Sequence[Record]] = NONE,
    generations: int = 0,
) -> Verdict:
    """The verdict on one reader; `status` is the one in the answer to a stop of the stream."""
    outcome = Outcome(plan, readers=[told(records if heard is None else heard)])
    if status:
        outcome.snapshot, outcome.stopped = {"status": status}, STREAM
    return judge(
        outcome,
        {STREAM: records, **others},
        {STREAM: generations},
        overlap=overlap,
        overrun=overrun,
    )


def test_an_exact_stream_is_right() -> None:
    assert verdict(log(WHOLE)) == Verdict()


def test_a_lost_event_is_found() -> None:
    records = log(WHOLE)
    found = verdict(records, [*records[:2], *records[3:]])

    assert any("each once" in each for each in found.wrong)
    assert found.lost > 0
    assert found.repeated == 0


def test_a_provider_that_nobody_might_ask_is_found() -> None:
    assert verdict(log(WHOLE), generations=2) == Verdict(), "by the start, and by the claim"
    (wrong,) = verdict(log(WHOLE), generations=3).wrong

    assert "3 providers were asked, by 2 who might" in wrong


def test_nobody_asks_a_provider_by_creating_a_stream() -> None:
    start, *rest = log(WHOLE)
    (wrong,) = verdict([dataclasses.replace(start, writer=""), *rest], generations=2).wrong

    assert "2 providers were asked, by 1 who might" in wrong


def test_a_start_that_was_lost_may_have_asked_a_provider() -> None:
    assert judge(Outcome(PLAN), {"lost": []}, {"lost": 1}, overlap=0.0, overrun=0.0).wrong == [
        "1 of 1 readers have never read"
    ]


def test_a_repeated_event_is_found() -> None:
    records = log(WHOLE)
    found = verdict(records, [*records[:3], *records[2:]])

    assert any("each once" in each for each in found.wrong)
    assert found.repeated > 0
    assert found.lost == 0


def test_a_repeated_token_with_a_position_of_its_own_is_found() -> None:
    again = (*WHOLE[:4], Answer(ANSWER[20:]), WHOLE[5])
    found = verdict(log(again))

    assert found.repeated == 2, "ten characters"
    assert any("not what was to be said" in each for each in found.wrong)


def test_an_answer_cut_short_that_says_done_is_found() -> None:
    found = verdict(log((*WHOLE[:4], WHOLE[5])))

    assert found.lost > 0
    assert found.undelivered == 0


def test_a_stream_that_nobody_reads_any_more_may_end_anywhere_but_not_say_done_early() -> None:
    left = {"another": log(WHOLE[:4])}
    assert verdict(log(WHOLE), others=left) == Verdict()

    short = {"another": log((*WHOLE[:4], WHOLE[5]))}
    assert any("ends early" in each for each in verdict(log(WHOLE), others=short).wrong)


@pytest.mark.parametrize(
    ("nth", "instead"),
    [
        (0, Start("", model="another")),
        (3, Claim(3, "prefill")),
        (5, Done("length", 1, 2)),
        (5, Done("stop", 1, 3)),
    ],
    ids=["model", "attempt", "finish_reason", "usage"],
)
def test_an_event_that_does_not_say_what_its_record_says_is_found(
    nth: int, instead: Payload
) -> None:
    found = verdict(log(WHOLE), log((*WHOLE[:nth], instead, *WHOLE[nth + 1 :])))

    assert [each for each in found.wrong if "not the log's records" in each] == found.wrong != []


def test_text_under_another_position_than_the_logs_is_found() -> None:
    shifted = (*WHOLE[:2], Answer(ANSWER[:20]), WHOLE[3], Answer(ANSWER[20:]), WHOLE[5])
    found = verdict(log(WHOLE), log(shifted))

    assert any("not the log's records" in each for each in found.wrong)


def test_the_judge_expects_of_every_record_what_the_application_sends() -> None:
    ends = (Done("stop", 1, None), Failed("given_up", "", retryable=True), Cancelled())
    of_steps = (
        StepBegun("write", "digest", within="write:1"),
        Data("attempt", 1, within="write:1"),
        Answer("text", within="write:1"),
        Reset(within="write:1"),
        StepEnded("1", within="write:1"),
    )
    every = log((*WHOLE[:4], *of_steps, Heartbeat(), Handoff(), *ends))
    never_said = {ToolCall, ToolResult, Progress, Source}
    assert {type(each.event) for each in every} == set(REGISTRY.kinds.values()) - never_said

    assert not any("not the log's records" in each for each in verdict(every).wrong)


def test_a_text_of_steps_counts_by_step_and_what_was_reset_does_not() -> None:
    plan = dataclasses.replace(PLAN, stepping=True)
    stages = plan.stages
    outside, within = "".join(plan.answers[""]), {**plan.answers}
    del within[""]
    said = [Answer("".join(tokens), within=key) for key, tokens in within.items()]
    again = [said[0], Reset(within=said[0].within), *said]
    first = (Start(PLAN.request.encode(), model="demo"), Thinking(THINKING), Answer(outside))

    assert verdict(log((*first, *again, Done("stop", 1, 2))), plan=plan) == Verdict()
    assert len(outside) + sum(len(each.text) for each in said) == len(ANSWER)
    assert {key for each in stages for key in each.steps} >= within.keys()
    found = verdict(log((*first, said[0], *said, Done("stop", 1, 2))), plan=plan)
    assert found.repeated > 0
    assert "answer of write:1 is not what was to be said" in found.wrong[0]


def test_an_event_the_log_does_not_have_is_found() -> None:
    failed = log((*WHOLE[:5], Failed("x", "y", retryable=True)))
    found = verdict(failed, log(WHOLE))

    assert any("not the log's records" in each for each in found.wrong)


def test_a_reader_without_an_end_is_found() -> None:
    records = log(WHOLE)
    assert any("no terminal event" in each for each in verdict(records, records[:-1]).wrong)


def test_a_record_behind_the_end_is_found() -> None:
    found = verdict(log((*WHOLE, Cancelled())))

    assert any("follows a terminal" in each for each in found.wrong)


def test_a_hole_in_the_log_is_found() -> None:
    records = log(WHOLE)
    found = verdict([*records[:2], *records[3:]])

    assert any("not dense" in each for each in found.wrong)


def test_a_failed_answer_is_found() -> None:
    found = verdict(log((*WHOLE[:3], Failed("given_up", "", retryable=True))))

    assert any("the answer failed" in each for each in found.wrong)
    assert 0 < found.undelivered < TOKENS
    assert found.lost == 0


def test_what_a_reader_without_an_end_has_not_heard_is_undelivered() -> None:
    assert verdict(log(WHOLE[:1])).undelivered == TOKENS
    unread = judge(Outcome(PLAN), {}, {}, overlap=0.0, overrun=0.0)
    assert unread.undelivered == TOKENS
    assert unread.wrong == ["1 of 1 readers have never read"]


def test_an_answer_that_begins_before_its_thinking_has_ended_is_found() -> None:
    early = (WHOLE[0], Thinking(THINKING[:5]), Answer(ANSWER[:30]), Cancelled())
    asked = dataclasses.replace(PLAN, cancel=Fault.CANCEL)

    found = verdict(log(early), plan=asked, status="cancelled")

    assert any("before the thinking has ended" in each for each in found.wrong)


def test_a_stopped_answer_may_end_early_and_must_be_asked_for() -> None:
    stopped = log((*WHOLE[:3], Cancelled()))
    asked = dataclasses.replace(PLAN, cancel=Fault.CANCEL)

    assert verdict(stopped, plan=asked, status="cancelled") == Verdict()
    assert verdict(stopped).wrong == ["stopped, though nobody had asked"]
    assert verdict(stopped, plan=asked, status="done").wrong


def test_a_stop_is_judged_by_the_end_of_the_stream_it_was_sent_to() -> None:
    asked = dataclasses.replace(PLAN, cancel=Fault.CANCEL)
    stopped = {"another": log((*WHOLE[:3], Cancelled()))}
    found = verdict(log(WHOLE), plan=asked, status="cancelled", others=stopped)

    assert found.wrong[0] == "stopped, though nobody had asked"
    assert "stop answered 'cancelled'" in found.wrong[1]


def test_two_providers_may_be_at_work_for_a_lease_only() -> None:
    assert not verdict(log(WHOLE), overlap=LEASE).wrong
    assert verdict(log(WHOLE), overlap=LEASE + 2 * LATENESS).wrong


def test_a_provider_may_be_at_work_behind_the_end_for_a_lease_only() -> None:
    assert not verdict(log(WHOLE), overrun=LEASE).wrong
    assert verdict(log(WHOLE), overrun=LEASE + 2 * LATENESS).wrong
