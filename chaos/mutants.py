"""Can the harness fail? The application with one of its rules taken out, and what is found.

A harness that finds nothing proves nothing unless it finds what is there. Each mutant is a copy of
`src` with one passage exchanged; it is played against streams whose plans could bring it to light.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path

from chaos.faults import AT_BYTE, Fault
from chaos.functions import SOURCE
from chaos.plan import Plan, draw
from chaos.run import Report

# A put that most answers come to.
_EARLY = 16
_KILLS = frozenset(
    {
        Fault.KILL_BEFORE_PUT,
        Fault.KILL_AFTER_PUT,
        Fault.KILL_ACKNOWLEDGED,
        Fault.KILL_AFTER_SEND,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A rule taken out: in which file of `src` which passage becomes what.

    It is played against plans with one of the faults of `shown_by`.
    """

    rule: str
    file: str
    passage: str
    instead: str
    shown_by: frozenset[Fault]


MUTANTS = (
    Mutant(
        rule="durable before delivered",
        file="app/generation/generation.py",
        passage="                record = await writer.append(payload, self._patience())\n",
        instead="                at = int(__import__('time').time() * 1000)\n"
        "                place = (writer.stream_id, writer.seq)\n"
        "                last_words = (writer.name, '', at, writer.expires_at)\n"
        "                self._publish(Record(*place, payload, *last_words))\n"
        "                record = await writer.append(payload, self._patience())\n",
        shown_by=frozenset({Fault.KILL_BEFORE_PUT, Fault.FREEZE_BEFORE_PUT, Fault.OUTAGE}),
    ),
    Mutant(
        rule="append only if the position is free",
        file="app/event_log/dynamodb.py",
        passage="                ConditionExpression=POSITION_IS_FREE,\n"
        '                ReturnValuesOnConditionCheckFailure="ALL_OLD",\n',
        instead="",
        shown_by=frozenset({Fault.FREEZE_BEFORE_PUT, Fault.CANCEL_AT_FINISH}),
    ),
    Mutant(
        rule="resume behind the last event, not at it",
        file="app/generation/streams.py",
        passage="return self._reading(tail, after + 1, window, first=page.records[1:])",
        instead="return self._reading(tail, after, window, first=page.records)",
        shown_by=frozenset(AT_BYTE),
    ),
    Mutant(
        rule="who is superseded stops",
        file="app/generation/writer.py",
        passage="            raise Superseded(present)\n        self.seq += 1\n",
        instead="            pass\n        self.seq += 1\n",
        shown_by=frozenset({Fault.FREEZE_BEFORE_PUT, Fault.FREEZE_AFTER_PUT, Fault.CANCEL}),
    ),
    Mutant(
        rule="continue from what was said",
        file="app/generation/streams.py",
        passage="window, said=said, attempt=attempt)",
        instead="window, attempt=attempt)",
        shown_by=_KILLS,
    ),
    Mutant(
        rule="nothing follows a terminal record",
        file="app/generation/streams.py",
        passage="        while not newest.terminal:\n",
        instead="        while not ours:\n",
        shown_by=frozenset({Fault.CANCEL_AT_FINISH}),
    ),
    Mutant(
        rule="one key makes one stream",
        file="app/generation/streams.py",
        passage="stream_id=_derived_id(owner, key) if key else secrets.token_urlsafe(_ID_BYTES)",
        instead="stream_id=secrets.token_urlsafe(_ID_BYTES)",
        shown_by=frozenset({Fault.DUPLICATE_CREATE}),
    ),
    Mutant(
        rule="another stream's cursor is refused",
        file="app/api/frames.py",
        passage="    if named != stream_id:\n",
        instead="    if not stream_id:\n",
        shown_by=frozenset({Fault.HOSTILE_CURSORS}),
    ),
)


@contextmanager
def source_of(mutant: Mutant) -> Iterator[Path]:
    """A copy of `src` with the mutation; raises ValueError if its passage is not there once."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "src"
        shutil.copytree(SOURCE, root, ignore=shutil.ignore_patterns("__pycache__"))
        file = root / mutant.file
        text = file.read_text()
        if text.count(mutant.passage) != 1:
            raise ValueError(f"{mutant.rule}: its passage is not once in {mutant.file}")
        file.write_text(text.replace(mutant.passage, mutant.instead))
        yield root


def plans(mutant: Mutant, seed: int, number: int) -> list[Plan]:
    """The first so many plans of a seed that could bring a mutant to light."""
    suitable = (plan for plan in (draw(seed, n) for n in count()) if _shows(plan, mutant))
    return list(islice(suitable, number))


def found(report: Report) -> str:
    """What was found, in words; empty if nothing was."""
    wrong = [played.verdict.wrong[0] for played in report.played if played.verdict.wrong]
    if not wrong:
        return "; ".join(report.left_running)
    return f"{len(wrong)} of {len(report.played)} streams; first: {wrong[0]}"


def _shows(plan: Plan, mutant: Mutant) -> bool:
    early = {fault for nth, fault in plan.puts.items() if nth < _EARLY}
    planned = {
        *early,
        *plan.queries.values(),
        *(trouble.fault for trouble in plan.connections[:1] if trouble),
        plan.cancel,
        Fault.KILL_AFTER_SEND if plan.kill_after_send else None,
        Fault.DUPLICATE_CREATE if plan.duplicates else None,
        Fault.HOSTILE_CURSORS if plan.hostile else None,
    }
    return not plan.crowded and not mutant.shown_by.isdisjoint(planned)
