"""The rules that hold after every step: of each log, of each reader's records, of the whole."""

from collections import Counter
from collections.abc import Sequence

from app.events import Answer, Data, Done
from durable_stream import (
    Cancelled,
    Claim,
    Failed,
    Record,
    Reset,
    StepBegun,
    StepEnded,
    StoreUnavailable,
)
from durable_stream.step_keys import idempotency_key
from proof.tests.state_machine.cluster import POLICY, Client, Stream
from proof.tests.state_machine.counting import TEXT
from proof.tests.state_machine.example import Example, Ran

_PROGRESS = (Answer, Data, StepEnded)


def check(example: Example) -> None:
    """Raise AssertionError, or the error of a client's call, if a rule is broken."""
    _check_clients_errors(example)
    _check_pollers(example)
    example.cluster.mistakes.check()
    _check_writers(example)
    for stream in example.created:
        if stream.stream_id:
            stored = example.cluster.stored(stream.stream_id)
            # The loop stands still: what a thread begins meanwhile has its record there too.
            ran = [each for each in example.ran if each.stream_id == stream.stream_id]
            _check_steps(stored, ran)
            _check_log(stream, stored)
            _check_reservations(stream, example.cluster.reservations[stream.prompt])  # limits
    for client in example.clients:
        _check_delivered(client)
    assert set(example.cluster.puts.values()) <= {1}, "a position was written twice"


def _check_log(stream: Stream, stored: list[Record]) -> None:
    before, stream.stored = stream.stored, stored
    conversation = stream.conversation
    assert [record.seq for record in stored] == list(range(len(stored))), "positions are dense"
    assert stored[: len(before)] == before, "what was written stays as it is"
    assert not any(record.terminal for record in stored[:-1]), "nothing follows the end"
    text = _said(stored)
    assert text == TEXT[: len(text)], "each number once, in order"
    assert len(text) <= conversation.allowed, "nothing is there that was not said"
    match stored[-1].event if stored else None:
        case Done():
            assert conversation.finishes, "it has finished"
            assert len(text) == conversation.allowed, "all that was said is there"
        case Failed("given_up"):
            claims = _claims_since_text(stored)
            assert claims == POLICY.idle_attempts, "nobody gives up too early"
        case Failed(code):
            assert stream.may_fail, "the model has failed"
            assert code == "made_up", "and this is how"
        case Cancelled():
            assert stream.stopped, "somebody has stopped it"
        case _:
            pass


def _check_steps(stored: list[Record], ran: Sequence[Ran]) -> None:
    """A step is begun and ended once; it runs once an attempt, between its records."""
    attempt = 1
    claimed, ended, ended_in = {1: 0}, dict[str, int](), dict[str, int]()
    begun: set[str] = set()
    for record in stored:
        event = record.event
        key = idempotency_key(record.stream_id, event.within)
        match event:
            case Claim(attempt):
                claimed[attempt] = record.seq
            case StepBegun():
                assert key not in begun, "a step begins once"
                begun.add(key)
            case StepEnded():
                assert key in begun, "a step ends behind its begin"
                assert key not in ended, "a step ends once"
                ended[key], ended_in[key] = record.seq, attempt
            case _:
                assert not event.within or key not in ended, "nothing of a step follows its end"
                assert not event.within or key in begun, "nor precedes its begin"
                assert event.within or not isinstance(event, Reset), "no answer starts over"
    for each in ran:
        assert each.attempt in claimed, "a step runs in an attempt that the log has"
        assert each.durable, "a step runs behind the record of its begin"
        before = ended.get(each.key, claimed[each.attempt])
        assert before >= claimed[each.attempt], "a step whose end is recorded does not run again"
    times = Counter((each.key, each.attempt) for each in ran)
    assert set(times.values()) <= {1}, "a step runs once an attempt at most"
    assert ended_in.items() <= times.keys(), "who records a step's end has run it"
    if stored and isinstance(stored[-1].event, Done):
        assert begun == ended.keys(), "an answer that is done has no open step"


def _check_reservations(stream: Stream, standing: int) -> None:
    assert standing >= 0, "nothing is given back twice"
    assert standing > 0 or stream.over or not stream.stored, "nor before the end"


def _check_delivered(client: Client) -> None:
    start = 0 if client.after is None else client.after + 1
    wanted = client.stream.stored[start:]
    received = client.records
    assert received == wanted[: len(received)], "a reader gets the log, from where it asked"
    if client.complete:
        assert client.stream.over, "only an end ends a stream"
        assert received == wanted, "a complete client has received all stored records"


def _check_clients_errors(example: Example) -> None:
    for sandbox in [*example.sandboxes, *example.gone]:
        for task in [task for task in sandbox.tasks if task.done()]:
            sandbox.tasks.remove(task)
            error = None if task.cancelled() else task.exception()
            if error is not None and not isinstance(error, StoreUnavailable):
                raise error


def _check_writers(example: Example) -> None:
    """Look once, right behind a silence: later steps may have killed them."""
    silenced, example.silenced = example.silenced, []
    for each in silenced:
        newest = example.cluster.stored(each.stream_id)[-1]
        has_lost = newest.writer != each.writer or newest.terminal
        assert has_lost or not each.has_left, "a writer that has not lost goes on"


def _check_pollers(example: Example) -> None:
    """A tail that is no longer kept up to date does not report it."""
    for sandbox in [*example.sandboxes, *example.gone]:
        for stream in sandbox.streams._streams.values():
            polling = stream._poller._polling
            if polling is not None and polling.done() and not polling.cancelled():
                polling.result()


def _said(records: list[Record]) -> str:
    """The text that counts: a reset drops that of its step, which is the last."""
    said: list[Answer] = []
    for record in records:
        if isinstance(record.event, Reset):
            said = [each for each in said if each.within != record.event.within]
        elif isinstance(record.event, Answer):
            said.append(record.event)
    return "".join(each.text for each in said)


def _claims_since_text(records: list[Record]) -> int:
    spoken = max((r.seq for r in records if isinstance(r.event, _PROGRESS)), default=-1)
    return sum(isinstance(record.event, Claim) for record in records[spoken + 1 :])
