"""The verdict on a stream: its delivered events and its log against the expected answer."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from itertools import pairwise, zip_longest
from typing import Any

from app.events import Answer, Data, Done, Start, Thinking
from durable_stream import Cancelled, Claim, Failed, Record, StepBegun, StepEnded, Timing
from proof.chaos.plan import Plan
from proof.chaos.reader import Told
from proof.chaos.story import Outcome
from tests.event_source import TERMINAL, Event

# A writer that must assume it has lost stops within a lease; a busy machine is late to notice.
LEASE = Timing().lease
LATENESS = 1.0
_TEXTS = frozenset({"thinking", "answer"})


@dataclass
class Verdict:
    """A stream's failures, in words; and the tokens that its readers did not hear exactly once.

    `lost` tokens are missing although later ones, or an end, were heard. `undelivered` tokens are
    the rest of an answer that failed, or had no end in time.
    """

    wrong: list[str] = field(default_factory=list)
    lost: int = 0
    repeated: int = 0
    undelivered: int = 0


def judge(
    outcome: Outcome,
    logs: Mapping[str, Sequence[Record]],
    generations: Mapping[str, int],
    *,
    overlap: float,
    overrun: float,
) -> Verdict:
    """Judge a plan that has been played; `logs` are those of all its streams.

    One of the streams is the one that was read to its end. Others were left by an EventSource
    that never learnt their id. `generations` has the number of generations on each. `overlap` is
    the time in which two providers worked on one stream, `overrun` the time in which one worked
    after the stream's end, both in seconds.
    """
    verdict = Verdict(wrong=list(outcome.wrong))
    plan = outcome.plan
    for stream_id, records in logs.items():
        _judge_log(plan, stream_id, records, verdict)
        _judge_generations(stream_id, records, generations.get(stream_id, 0), verdict)
    for nth, told in enumerate(outcome.readers):
        _judge_reader(nth, told, logs, plan, verdict)
    if len({told.stream_id for told in outcome.readers if told.events}) > 1:
        verdict.wrong.append("the readers read different streams")
    missing = plan.readers - len(outcome.readers)
    verdict.undelivered += missing * (len(plan.thinking) + len(plan.answer))
    if missing:
        verdict.wrong.append(f"{missing} of {plan.readers} readers have never read")
    _judge_stop(outcome, logs, verdict)
    if overlap > LEASE + LATENESS:
        verdict.wrong.append(f"two providers worked on it for {overlap:.1f} s")
    if overrun > LEASE + LATENESS:
        verdict.wrong.append(f"a provider worked on it for {overrun:.1f} s behind its end")
    return verdict


def _judge_log(plan: Plan, stream_id: str, records: Sequence[Record], verdict: Verdict) -> None:
    named = f"log of {stream_id[:6]}"
    if [record.seq for record in records] != list(range(len(records))):
        verdict.wrong.append(f"{named}: positions are not dense")
    if any(record.terminal for record in records[:-1]):
        verdict.wrong.append(f"{named}: something follows a terminal record")
    if _answers_too_early(plan, records):
        verdict.wrong.append(f"{named}: the answer begins before the thinking has ended")
    complete = bool(records) and isinstance(records[-1].event, Done)
    said = folded(_piece(each.event.kind, _data(each)) for each in records)
    expected = _expected(plan)
    for what in {**expected, **said}:
        text, whole = said.get(what, ""), "".join(expected.get(what, ()))
        if not whole.startswith(text):
            verdict.wrong.append(f"{named}: the {what} is not what was to be said")
        elif complete and text != whole:
            verdict.wrong.append(f"{named}: the {what} ends early, and the log says done")


def _judge_generations(
    stream_id: str, records: Sequence[Record], number: int, verdict: Verdict
) -> None:
    """A provider may be asked once for each claim, and once by the writer that begins the stream.

    A stream that begins with being created has no such writer. Elsewhere the writer asks the
    provider while the start is on its way, which may be lost.
    """
    begun = not records or bool(records[0].writer)
    allowed = begun + sum(isinstance(record.event, Claim) for record in records)
    if number > allowed:
        verdict.wrong.append(
            f"log of {stream_id[:6]}: {number} providers were asked, by {allowed} who might"
        )


def _answers_too_early(plan: Plan, records: Sequence[Record]) -> bool:
    first = next((n for n, each in enumerate(records) if isinstance(each.event, Answer)), None)
    thought = [r.event.text for r in records[:first] if isinstance(r.event, Thinking)]
    return first is not None and "".join(thought) != "".join(plan.thinking)


@dataclass(frozen=True, slots=True)
class What:
    """A text that readers fold: of a kind, and of a step, "" for outside of steps."""

    kind: str
    step: str = ""

    def __str__(self) -> str:
        return f"{self.kind} of {self.step}" if self.step else self.kind


def _expected(plan: Plan) -> Mapping[What, Sequence[str]]:
    """The tokens of each text of a plan."""
    answers = {What("answer", step): tokens for step, tokens in plan.answers.items()}
    return {What("thinking"): plan.thinking, **answers}


def folded(pieces: Iterable[tuple[What, str]]) -> dict[What, str]:
    """The texts that count: a reset drops those of its step, or all that is outside of steps."""
    texts: dict[What, str] = {}
    for what, text in pieces:
        if what.kind == "reset":
            texts = {each: said for each, said in texts.items() if each.step != what.step}
        elif what.kind in _TEXTS:
            texts[what] = texts.get(what, "") + text
    return texts


def _piece(name: str, data: Mapping[str, Any]) -> tuple[What, str]:
    """An event as the wire has it, for `folded`."""
    return What(name, str(data.get("step", ""))), str(data.get("text", ""))


def _judge_reader(
    nth: int, told: Told, logs: Mapping[str, Sequence[Record]], plan: Plan, verdict: Verdict
) -> None:
    named, events = f"reader {nth}", told.events
    if events:
        _judge_ids(named, events, verdict)
        _judge_end(named, events[-1], verdict)
        _judge_events(named, told, logs.get(told.stream_id, ()), verdict)
    else:
        verdict.wrong.append(f"{named} was told nothing")
    end = events[-1].name if events else ""
    heard = folded(_piece(event.name, event.data) for event in events)
    for what, tokens in _expected(plan).items():
        _count(heard.get(what, ""), tokens, verdict, named=f"{named}: the {what} it heard", end=end)


def _judge_ids(named: str, events: Sequence[Event], verdict: Verdict) -> None:
    if [event.seq for event in events] != list(range(len(events))):
        gaps = [(a.seq, b.seq) for a, b in pairwise(events) if b.seq != a.seq + 1]
        verdict.wrong.append(f"{named}: ids are not each once, in order: {gaps or 'no 0'}")
    if len({event.id.partition(":")[0] for event in events}) != 1:
        verdict.wrong.append(f"{named}: events of several streams")


def _judge_end(named: str, last: Event, verdict: Verdict) -> None:
    if last.name not in TERMINAL:
        verdict.wrong.append(f"{named}: no terminal event")
    if last.name == "error":
        verdict.wrong.append(f"{named}: the answer failed: {last.data}")


def _judge_events(named: str, told: Told, records: Sequence[Record], verdict: Verdict) -> None:
    """Compare a reader's events with the log, position by position."""
    heard = [(event.id, event.name, event.data) for event in told.events]
    logged = [(_id(record), record.event.kind, _data(record)) for record in records]
    for event, record in zip_longest(heard, logged):
        if event is None:
            verdict.wrong.append(f"{named}: its events end before the log, which has {record}")
        elif event != record:
            verdict.wrong.append(
                f"{named}: its events are not the log's records: heard {event}, logged {record}"
            )
        if event != record:
            return


def _id(record: Record) -> str:
    """An event's id for a record: the wire's own terms, stated here a second time."""
    end = ":end" if record.event.kind in TERMINAL else ""
    return f"{record.stream_id}:{record.seq}{end}"


def _data(record: Record) -> dict[str, Any]:
    """An event's data for a record: the wire's own terms, stated here a second time."""
    data: dict[str, Any] = {}
    match record.event:
        case Start(model=model, agent=agent):
            data = {"stream_id": record.stream_id, "model": model, "agent": agent}
        case Thinking(text) | Answer(text):
            data = {"text": text}
        case Data(name, value, id_):
            data = {"name": name, "value": value, "id": id_}
        case StepBegun(name):
            data = {"name": name}
        case StepEnded(_, failure):
            data = {"failed": bool(failure)}
        case Claim(attempt, continued):
            data = {"attempt": attempt, "continued": continued}
        case Done(finish_reason, given, taken):
            usage = {"input_tokens": given, "output_tokens": taken}
            data = {"finish_reason": finish_reason, "usage": usage}
        case Failed(code, message, retryable):
            data = {"code": code, "message": message, "retryable": retryable}
        case _:
            pass
    within = record.event.within
    return {**data, "step": within} if within else data


def _count(heard: str, tokens: Sequence[str], verdict: Verdict, *, named: str, end: str) -> None:
    """Count the tokens lost, repeated and undelivered; tokens after a stop are none of these."""
    expected = "".join(tokens)
    per_token = len(expected) / len(tokens)
    lost = repeated = undelivered = 0
    for tag, low, high, begin, stop in _differences(expected, heard):
        missing = round((high - low) / per_token)
        if high < len(expected) or end == "done":
            lost += missing
        elif end != "cancelled":
            undelivered += missing
        if tag != "delete":
            repeated += round((stop - begin) / per_token)
    verdict.lost += lost
    verdict.repeated += repeated
    verdict.undelivered += undelivered
    if heard != expected and (end == "done" or not expected.startswith(heard)):
        verdict.wrong.append(f"{named} is not what was to be said")


def _differences(expected: str, heard: str) -> list[tuple[str, int, int, int, int]]:
    """SequenceMatcher's opcodes, without those for equal parts; quick if `heard` ends early."""
    if expected.startswith(heard):
        return [("delete", len(heard), len(expected), len(heard), len(heard))]
    matcher = SequenceMatcher(None, expected, heard, autojunk=False)
    return [opcode for opcode in matcher.get_opcodes() if opcode[0] != "equal"]


def _judge_stop(outcome: Outcome, logs: Mapping[str, Sequence[Record]], verdict: Verdict) -> None:
    ends = {stream_id: records[-1].event for stream_id, records in logs.items() if records}
    if any(isinstance(end, Cancelled) for each, end in ends.items() if each != outcome.stopped):
        verdict.wrong.append("stopped, though nobody had asked")
    if not outcome.snapshot:
        return
    status, end = outcome.snapshot.get("status"), ends.get(outcome.stopped)
    ended = {"done": Done, "cancelled": Cancelled}.get(str(status))
    if ended is None or not isinstance(end, ended):
        verdict.wrong.append(f"stop answered {status!r}, the log ends with {end}")
