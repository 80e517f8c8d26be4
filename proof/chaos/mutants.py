"""Can the harness fail? The application with one of its rules taken out, and the findings.

A harness that finds nothing proves nothing unless it finds the faults that are there. Each mutant
is a copy of `src` with one passage exchanged. It is played against streams whose plans could bring
it to light, and must be found by a complaint about its rule. The same plans, played against `src`
as it is, must show nothing at all.
"""

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count, islice
from pathlib import Path

from proof.chaos.deployment import SOURCE
from proof.chaos.faults import AT_BYTE, FREEZES, SILENCES, Fault
from proof.chaos.plan import Plan, draw
from proof.chaos.report import drawn
from proof.chaos.run import Report

# The streams of a mutant that show the loss of its rule often.
STREAMS = 10

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
    """A rule taken out: in `file` of `src`, `instead` replaces `passage`.

    It is played against plans with one of the faults of `shown_by`, and found by a complaint that
    the regular expression `found_by` matches. A stream that has no end in time is no such finding.
    It is played against the first `streams` of these plans, of the agent with steps if `stepping`
    is true, or else of the chat.
    """

    rule: str
    file: str
    passage: str
    instead: str
    shown_by: frozenset[Fault]
    found_by: str
    streams: int = STREAMS
    stepping: bool = False


MUTANTS = (
    Mutant(
        rule="durable before delivered",
        file="durable_stream/writing.py",
        passage="                record = await self._put(writer, event)\n",
        instead="                at = int(__import__('time').time() * 1000)\n"
        "                place = (writer.stream_id, writer.seq)\n"
        "                last_words = (writer.name, '', at, writer.expires_at)\n"
        "                self._tail.feed(Record(*place, event, *last_words))\n"
        "                record = await self._put(writer, event)\n",
        shown_by=frozenset({Fault.KILL_BEFORE_PUT, Fault.FREEZE_BEFORE_PUT, Fault.OUTAGE}),
        found_by=r"events are not the log's records|beyond the end of this stream",
    ),
    Mutant(
        rule="append only if the position is free",
        file="durable_stream/table.py",
        passage='            "ConditionExpression": _IS_NEW,\n'
        '            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",\n',
        instead="",
        shown_by=frozenset({Fault.FREEZE_BEFORE_PUT, Fault.CANCEL_AT_FINISH}),
        found_by=r"follows a terminal|not the log's records|not what was to be said",
    ),
    Mutant(
        rule="resume behind the last event, not at it",
        file="durable_stream/streams.py",
        passage="return Reading(stream, after + 1, window, first=page.records[1:])",
        instead="return Reading(stream, after, window, first=page.records)",
        shown_by=frozenset(AT_BYTE),
        found_by=r"ids are not each once",
    ),
    Mutant(
        rule="who is superseded stops",
        file="durable_stream/appending.py",
        passage="            raise Superseded(present)\n        self.seq += 1\n",
        instead="            pass\n        self.seq += 1\n",
        shown_by=frozenset({Fault.FREEZE_BEFORE_PUT, Fault.FREEZE_AFTER_PUT, Fault.CANCEL}),
        found_by=r"^log of .*(follows a terminal|not what was to be said)",
    ),
    Mutant(
        rule="who is superseded stops generating",
        file="durable_stream/writing.py",
        # Either of the two stops a producer that has something to say.
        passage="            self._buffer.close()\n"
        "            self._filling.cancel()\n"
        "            await asyncio.wait([self._filling])\n",
        instead="            pass\n",
        shown_by=frozenset(
            {Fault.FREEZE_BEFORE_PUT, Fault.FREEZE_AFTER_PUT, Fault.OUTAGE, Fault.CANCEL}
        ),
        found_by=r"providers? worked on it",
    ),
    Mutant(
        rule="a silent store stops no writer",
        file="durable_stream/writing.py",
        passage="asyncio.get_running_loop().time() + self._timing.writer_patience\n",
        instead="asyncio.get_running_loop().time() + self._timing.lease\n",
        shown_by=SILENCES,
        found_by=r"lived through a silence of the store",
    ),
    Mutant(
        rule="continue from what was said",
        file="durable_stream/stream.py",
        passage="            log=history.log,\n",
        instead="",
        shown_by=_KILLS,
        found_by=r"^log of .*not what was to be said",
    ),
    Mutant(
        rule="nothing follows a terminal record",
        file="durable_stream/stream.py",
        passage="        while not newest.terminal:\n",
        instead="        while not ours:\n",
        shown_by=frozenset({Fault.CANCEL_AT_FINISH}),
        found_by=r"follows a terminal",
        # The canceller wins three of four races, and only a lost one shows the rule.
        streams=3 * STREAMS,
    ),
    Mutant(
        rule="one key makes one stream",
        file="durable_stream/creation.py",
        passage="stream_id=derived_id(event.owner, key) if key else "
        "secrets.token_urlsafe(_ID_BYTES)",
        instead="stream_id=secrets.token_urlsafe(_ID_BYTES)",
        shown_by=frozenset({Fault.DUPLICATE_CREATE}),
        found_by=r"one Idempotency-Key made several streams",
    ),
    Mutant(
        rule="another stream's cursor is refused",
        file="app/api/sse.py",
        passage="        if stream_id is not None and match[1] != stream_id:\n",
        instead='        if stream_id == "":\n',
        shown_by=frozenset({Fault.HOSTILE_CURSORS}),
        found_by=r"^cursor .*: 200 ",
    ),
    Mutant(
        rule="a step's end is recorded",
        file="durable_stream/steps.py",
        passage="        for event in (*run.rest(), end):\n",
        instead="        for event in run.rest():\n",
        shown_by=_KILLS,
        found_by=r"the log says done, and has no end of",
        stepping=True,
    ),
    Mutant(
        rule="a step whose end is recorded is not run again",
        file="durable_stream/recorded.py",
        passage="                self.ended[key] = event\n",
        instead="                pass\n",
        shown_by=_KILLS,
        found_by=r"ran in attempt \d+, though the log had its end",
        stepping=True,
    ),
    Mutant(
        rule="a step begins behind its durable record",
        file="durable_stream/steps.py",
        passage="            await self._buffer.logged()\n            self._check_usable()\n",
        instead="            self._check_usable()\n",
        shown_by=_KILLS | FREEZES,
        found_by=r"before the record of its begin was durable|a step ran that has no record",
        stepping=True,
    ),
    Mutant(
        rule="each step has a key of its own",
        file="durable_stream/numbering.py",
        passage='        return f"{stem}{self._numbers[stem]}"\n',
        instead='        return f"{stem}1"\n',
        shown_by=_KILLS,
        # Where an earlier attempt has logged a key, the application sees it too.
        found_by=r"is not where the plan has it|came with other arguments",
        stepping=True,
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


def plans(mutant: Mutant, seed: int) -> list[Plan]:
    """The first plans of a seed that could bring a mutant to light."""
    suitable = (plan for plan in (draw(seed, n) for n in count()) if _shows(plan, mutant))
    return list(islice(suitable, mutant.streams))


def found(mutant: Mutant, report: Report) -> list[str]:
    """The first complaint that shows the mutant, of each stream that has one."""
    shown = (
        [each for each in played.verdict.wrong if re.search(mutant.found_by, each)]
        for played in report.played
    )
    return [complaints[0] for complaints in shown if complaints]


def _shows(plan: Plan, mutant: Mutant) -> bool:
    early = {nth: fault for nth, fault in plan.puts.items() if nth < _EARLY}
    reached = replace(plan, puts=early, connections=tuple(each[:1] for each in plan.connections))
    suitable = plan.stepping == mutant.stepping and not plan.crowded
    return suitable and not mutant.shown_by.isdisjoint(drawn(reached))
