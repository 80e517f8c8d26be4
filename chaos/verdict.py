"""Whether a stream kept the promise: what was delivered, what the log has, what was to be said."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from itertools import pairwise

from app.event_log.records import Answer, Cancelled, Done, Record, Thinking
from chaos.plan import Plan
from chaos.story import Outcome, Told

# A writer that must assume it has lost stops within a lease; a busy machine is late to notice.
LEASE = 4.0
LATENESS = 1.0


@dataclass
class Verdict:
    """What is wrong with a stream, in words; and how many tokens were lost or repeated."""

    wrong: list[str] = field(default_factory=list)
    lost: int = 0
    repeated: int = 0


def judge(outcome: Outcome, logs: Mapping[str, Sequence[Record]], overlap: float) -> Verdict:
    """Judge a plan that has been played; `logs` are those of all its streams, `overlap` in seconds.

    One of the streams is the one that was read to its end. Others were left by an EventSource
    that never learnt their id.
    """
    verdict = Verdict(wrong=list(outcome.wrong))
    plan = outcome.plan
    for stream_id, records in logs.items():
        _judge_log(plan, stream_id, records, verdict)
    for nth, told in enumerate(outcome.readers):
        _judge_reader(nth, told, logs, plan, verdict)
    if len({told.stream_id for told in outcome.readers if told.events}) > 1:
        verdict.wrong.append("the readers read different streams")
    _judge_stop(outcome, logs, verdict)
    if overlap > LEASE + LATENESS:
        verdict.wrong.append(f"two providers worked on it for {overlap:.1f} s")
    return verdict


def _judge_log(plan: Plan, stream_id: str, records: Sequence[Record], verdict: Verdict) -> None:
    named = f"log of {stream_id[:6]}"
    if [record.seq for record in records] != list(range(len(records))):
        verdict.wrong.append(f"{named}: positions are not dense")
    if any(record.terminal for record in records[:-1]):
        verdict.wrong.append(f"{named}: something follows a terminal record")
    for what, kind, tokens in (
        ("thinking", Thinking, plan.thinking),
        ("answer", Answer, plan.answer),
    ):
        said = "".join(
            record.payload.text for record in records if isinstance(record.payload, kind)
        )
        if not "".join(tokens).startswith(said):
            verdict.wrong.append(f"{named}: the {what} is not what was to be said")


def _judge_reader(
    nth: int, told: Told, logs: Mapping[str, Sequence[Record]], plan: Plan, verdict: Verdict
) -> None:
    named, events = f"reader {nth}", told.events
    if not events:
        verdict.wrong.append(f"{named} was told nothing")
        return
    if [event.seq for event in events] != list(range(len(events))):
        gaps = [(a.seq, b.seq) for a, b in pairwise(events) if b.seq != a.seq + 1]
        verdict.wrong.append(f"{named}: ids are not each once, in order: {gaps or 'no 0'}")
    if len({event.id.rpartition(":")[0] for event in events}) != 1:
        verdict.wrong.append(f"{named}: events of several streams")
    if events[-1].name not in {"done", "error", "cancelled"}:
        verdict.wrong.append(f"{named}: no terminal event")
    if events[-1].name == "error":
        verdict.wrong.append(f"{named}: the answer failed: {events[-1].data}")
    records = logs.get(told.stream_id, ())
    if [(event.seq, event.name) for event in events] != [
        (record.seq, record.payload.kind) for record in records
    ]:
        verdict.wrong.append(f"{named}: its events are not the log's records")
    complete = events[-1].name == "done"
    for name, kind, tokens in (
        ("thinking", Thinking, plan.thinking),
        ("answer", Answer, plan.answer),
    ):
        heard = "".join(event.data["text"] for event in events if event.name == name)
        logged = "".join(
            record.payload.text for record in records if isinstance(record.payload, kind)
        )
        if heard != logged:
            verdict.wrong.append(f"{named}: the {name} it heard is not the log's")
        _count(heard, tokens, verdict, named=f"{named}: {name}", complete=complete)


def _count(
    heard: str, tokens: Sequence[str], verdict: Verdict, *, named: str, complete: bool
) -> None:
    """Count the tokens lost and repeated; a stream that was stopped has lost none behind that."""
    expected = "".join(tokens)
    if heard == expected or (not complete and expected.startswith(heard)):
        return
    matcher = SequenceMatcher(None, expected, heard, autojunk=False)
    per_token = len(expected) / len(tokens)
    lost = repeated = 0.0
    for tag, low, high, begin, end in matcher.get_opcodes():
        if tag in {"delete", "replace"} and (complete or high < len(expected)):
            lost += (high - low) / per_token
        if tag in {"insert", "replace"}:
            repeated += (end - begin) / per_token
    verdict.lost += round(lost)
    verdict.repeated += round(repeated)
    verdict.wrong.append(f"{named} is not what was to be said")


def _judge_stop(outcome: Outcome, logs: Mapping[str, Sequence[Record]], verdict: Verdict) -> None:
    ends = [records[-1].payload for records in logs.values() if records]
    if any(isinstance(end, Cancelled) for end in ends) and outcome.plan.cancel is None:
        verdict.wrong.append("stopped, though nobody had asked")
    if not outcome.snapshot:
        return
    status = outcome.snapshot.get("status")
    ended = {"done": Done, "cancelled": Cancelled}.get(str(status))
    if ended is None or not any(isinstance(end, ended) for end in ends):
        verdict.wrong.append(f"stop answered {status!r}, the log ends with {ends}")
