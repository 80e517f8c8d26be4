"""Whatever may not be is found, and what may be is not."""

import dataclasses
from collections.abc import Sequence

from app.event_log.records import (
    Answer,
    Cancelled,
    Claim,
    Done,
    Failed,
    Payload,
    Record,
    Start,
    Thinking,
)
from chaos.event_source import Event
from chaos.faults import Fault
from chaos.plan import Plan, draw
from chaos.story import Outcome, Told
from chaos.verdict import LATENESS, LEASE, Verdict, judge

STREAM = "s" * 32
PLAN = next(plan for plan in (draw(1, n) for n in range(100)) if plan.cancel is None and plan.puts)
THINKING, ANSWER = "".join(PLAN.thinking), "".join(PLAN.answer)
WHOLE: tuple[Payload, ...] = (
    Start("demo", PLAN.request.encode(), PLAN.request.fingerprint),
    Thinking(THINKING),
    Answer(ANSWER[:30]),
    Claim(2, "prefill"),
    Answer(ANSWER[30:]),
    Done("stop", 1, 2),
)


def log(payloads: Sequence[Payload]) -> list[Record]:
    return [
        Record(STREAM, seq, payload, writer="w", nonce="n", at=0, expires_at=0)
        for seq, payload in enumerate(payloads)
    ]


def told(records: Sequence[Record]) -> Told:
    return Told(
        events=[
            Event(
                f"{STREAM}:{record.seq}",
                record.payload.kind,
                {"text": getattr(record.payload, "text", "")},
                0.0,
            )
            for record in records
        ]
    )


def verdict(
    records: Sequence[Record],
    heard: Sequence[Record] | None = None,
    *,
    plan: Plan = PLAN,
    overlap: float = 0.0,
    status: str = "",
) -> Verdict:
    outcome = Outcome(plan, readers=[told(records if heard is None else heard)])
    outcome.snapshot = {"status": status} if status else {}
    return judge(outcome, {STREAM: records}, overlap)


def test_an_exact_stream_is_right() -> None:
    assert verdict(log(WHOLE)) == Verdict()


def test_a_lost_event_is_found() -> None:
    records = log(WHOLE)
    found = verdict(records, [*records[:2], *records[3:]])

    assert any("each once" in each for each in found.wrong)
    assert found.lost > 0
    assert found.repeated == 0


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


def test_a_stopped_answer_may_end_early_and_must_be_asked_for() -> None:
    stopped = log((*WHOLE[:3], Cancelled()))
    asked = dataclasses.replace(PLAN, cancel=Fault.CANCEL)

    assert verdict(stopped, plan=asked, status="cancelled") == Verdict()
    assert verdict(stopped).wrong == ["stopped, though nobody had asked"]
    assert verdict(stopped, plan=asked, status="done").wrong


def test_two_providers_may_be_at_work_for_a_lease_only() -> None:
    assert not verdict(log(WHOLE), overlap=LEASE).wrong
    assert verdict(log(WHOLE), overlap=LEASE + 2 * LATENESS).wrong
