"""The verdict on a stream's steps: their records, and when their functions ran.

A function that has begun may run on in a process that has lost its stream, up to its next record.
But none begins there: a step begins behind a record that only the stream's writer can put.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from app.events import Answer, Done
from durable_stream import Claim, Event, Record, Reset, StepBegun, StepEnded
from durable_stream.step_keys import idempotency_key
from proof.chaos.generations import Generation
from proof.chaos.plan import Plan
from proof.chaos.sandboxes import Sandboxes
from proof.chaos.traffic import Traffic
from proof.chaos.verdict import LATENESS


@dataclass
class Logged:
    """The steps of a log. Positions are by the step's key; those of attempts by their number.

    `ended_in` has the attempt that recorded a step's end.
    """

    attempts: dict[int, int] = field(default_factory=dict)
    begun: dict[str, int] = field(default_factory=dict)
    ended: dict[str, int] = field(default_factory=dict)
    ended_in: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


def judge_steps(
    plan: Plan,
    records: Sequence[Record],
    ran: Sequence[Generation],
    traffic: Traffic,
    sandboxes: Sandboxes,
) -> Iterator[str]:
    """The complaints about the steps of one of the plan's streams; `ran` are their executions."""
    if not records:
        yield from (f"the step {each.step} ran, and its stream is not in the log" for each in ran)
        return
    named = f"log of {records[0].stream_id[:6]}"
    logged = _logged(plan, records)
    yield from (f"{named}: {each}" for each in logged.wrong)
    keys = {idempotency_key(records[0].stream_id, each): each for each in logged.begun}
    for each in ran:
        key = keys.get(each.step)
        if key is None:
            yield f"{named}: a step ran that has no record: {each.step}"
            continue
        said = f"{named}: the step {key} ran in attempt {each.attempt}"
        yield from (
            f"{said}, {wrong}" for wrong in _wrong_times(key, each, logged, records, traffic)
        )
        late = _late(each, logged, records, traffic, sandboxes)
        if late > LATENESS:
            yield f"{said}, {late:.1f} s after its process had lost the stream"
    times = Counter((keys.get(each.step, ""), each.attempt) for each in ran)
    for (key, attempt), number in times.items():
        if number > 1:
            yield f"{named}: the step {key} ran {number} times in attempt {attempt}"
    for key, attempt in logged.ended_in.items():
        if not times[key, attempt]:
            yield f"{named}: attempt {attempt} recorded the end of {key}, and had not run it"


def _logged(plan: Plan, records: Sequence[Record]) -> Logged:
    """The steps of a log, each where the plan has it, begun once and ended once."""
    logged = Logged(attempts={1: 0} if records[0].writer else {})
    places, said, attempt = _places(plan), "", 1
    for record in records:
        event, key = record.event, record.event.within
        if isinstance(event, Claim):
            attempt = event.attempt
            logged.attempts[attempt] = record.seq
        if not key:
            said += event.text if isinstance(event, Answer) else ""
            if isinstance(event, Reset):
                logged.wrong.append(f"position {record.seq} resets what is outside of steps")
            continue
        wrong = _wrong(event, logged)
        if said != places.get(key):
            wrong = "is not where the plan has it"
        if wrong:
            logged.wrong.append(f"{event.kind} {key} at position {record.seq} {wrong}")
        if isinstance(event, StepBegun):
            logged.begun.setdefault(key, record.seq)
        elif isinstance(event, StepEnded):
            logged.ended.setdefault(key, record.seq)
            logged.ended_in.setdefault(key, attempt)
    if isinstance(records[-1].event, Done) and (missing := places.keys() - logged.ended.keys()):
        logged.wrong.append(f"the log says done, and has no end of {sorted(missing)}")
    return logged


def _places(plan: Plan) -> Mapping[str, str]:
    """The text outside of steps at the time when each step is at work, by its key."""
    places, said = {}, ""
    for stage in plan.stages:
        said += stage.before
        places.update(dict.fromkeys(stage.steps, said))
    return places


def _wrong(event: Event, logged: Logged) -> str:
    """The fault of an event of a step behind the records before it; "" if it has none."""
    key = event.within
    if key in logged.ended:
        return "is behind the step's end"
    if isinstance(event, StepBegun):
        return "begins a second time" if key in logged.begun else ""
    if key not in logged.begun:
        return "is before the step's begin"
    if isinstance(event, StepEnded) and (event.failure or event.value != json.dumps(key)):
        return f"has another value: {event.value or event.failure}"
    return ""


def _wrong_times(
    key: str, ran: Generation, logged: Logged, records: Sequence[Record], traffic: Traffic
) -> Iterator[str]:
    stream_id = records[0].stream_id
    attempted = logged.attempts.get(ran.attempt)
    if attempted is None:
        yield "which is not in the log"
        return
    if traffic.writers.get((stream_id, attempted)) != ran.pid:
        yield f"in process {ran.pid}, which is not that attempt's"
    if logged.ended.get(key, attempted) < attempted:
        yield "though the log had its end before that"
    if ran.began < traffic.stood_at.get((stream_id, logged.begun[key]), ran.began):
        yield "before the record of its begin was durable"


def _late(
    ran: Generation,
    logged: Logged,
    records: Sequence[Record],
    traffic: Traffic,
    sandboxes: Sandboxes,
) -> float:
    """How long after the loss of its stream an execution began, frozen time left out."""
    for record in records[logged.attempts.get(ran.attempt, len(records)) + 1 :]:
        if record.terminal or isinstance(record.event, Claim):
            lost_at = traffic.stood_at.get((record.stream_id, record.seq), ran.began)
            if ran.began <= lost_at or sandboxes.stalled_between(lost_at, ran.began):
                return 0.0
            return ran.began - lost_at - sandboxes.frozen_between({ran.pid}, lost_at, ran.began)
    return 0.0
