"""How writers live through a silence of the store: a writer that was not overtaken continues.

A store that answers no call is no reason to give an answer up, nor to take it over. So after its
silence a stream whose writer lived continues with the same attempt.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from durable_stream import Claim, Record, Timing
from proof.chaos.deployment import TIMEOUT
from proof.chaos.generations import Generation, Generations
from proof.chaos.sandboxes import Sandboxes
from proof.chaos.traffic import Silence, Traffic

# A writer so near to the end of its invocation may have to hand over. In seconds from the call to
# its provider, which a slow machine makes some time after the invocation has begun.
_SOON = 3.0
_IN_TIME = TIMEOUT - Timing().handoff_margin - _SOON
# The records of a process that writes a stream already; not those to become its writer or stop it.
_WRITERS = frozenset(
    {"thinking", "answer", "data", "step", "step_end", "reset", "heartbeat", "done"}
)


@dataclass(frozen=True, slots=True)
class Survival:
    """A writer that has lived through a silence, and the claim that took its stream, if one did."""

    silence: Silence
    claim: Record | None

    @property
    def wrong(self) -> str:
        """The complaint against it; empty if all is well."""
        if self.claim is None:
            return ""
        return (
            f"log of {self.silence.stream_id[:6]}: process {self.silence.pid} lived through a "
            f"silence of the store, and position {self.claim.seq} is a claim"
        )


def survivals(
    traffic: Traffic,
    records: Mapping[str, Sequence[Record]],
    generations: Generations,
    sandboxes: Sandboxes,
) -> Iterator[Survival]:
    """The silences of a plan's streams that their writers lived through, with all their time left.

    A silence does not count if the harness ended or froze the process meanwhile.
    """
    for index, silence in enumerate(traffic.silences):
        writing = _writing(silence, generations)
        place = silence.stream_id, silence.seq
        if writing is None or silence.kind not in _WRITERS or place not in traffic.stood_at:
            continue
        # A put that no client waits for any more may be carried out when the silence is over.
        behind = records[silence.stream_id][silence.seq : silence.seq + 2]
        claim = next((each for each in behind if isinstance(each.event, Claim)), None)
        seq = silence.seq if claim is None else claim.seq
        at = traffic.stood_at[silence.stream_id, seq]
        frozen = sandboxes.frozen_between({silence.pid}, silence.since, at)
        stalled = claim is not None and sandboxes.stalled_between(silence.since, at)
        ended = sandboxes.ended_at.get(silence.pid, at) < at
        began = _invoked(writing, traffic.silences[:index])
        if at < began + _IN_TIME and not (frozen or stalled or ended):
            yield Survival(silence, claim)


def _writing(silence: Silence, generations: Generations) -> Generation | None:
    """The generation that a silence befell; None if another had taken its stream before."""
    on_it = [
        each
        for each in generations.all
        if silence.stream_id.startswith(each.stream) and each.began < silence.since
    ]
    newest = max(on_it, key=lambda each: each.began, default=None)
    return newest if newest is not None and newest.pid == silence.pid else None


def _invoked(writing: Generation, earlier: Sequence[Silence]) -> float:
    """The time by which the invocation of a writer had begun.

    An invocation that begins as the store falls silent has its provider only behind the silence.
    """
    lived_through = (each for each in earlier if each.until > writing.began - TIMEOUT)
    return min([writing.began, *(each.since for each in lived_through)])
