"""Going on with an answer that another attempt has begun.

A model that takes a prefill goes on at the last character by itself. One that does not is shown
what was said and asked for the rest; it tends to repeat a few words at the seam, and what it
repeats is trimmed.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace

from app.events import Answer, Done
from app.models.base import Continuation, Message, Partial, Request
from app.models.deadlines import Deadlines, Watch
from app.models.lengths import left
from durable_stream import Event, Text

# What a model repeats at a seam is a few words to some paragraphs. Less than the lower bound may
# be chance (one letter of "hel|lo"); more than the upper is no longer a seam.
SHORTEST_OVERLAP = 12
LONGEST_OVERLAP = 4_000
_FEWEST_WORDS = 2

_FIRST_HALVES = frozenset(map(chr, range(0xD800, 0xDC00)))

_ASK = """

---
Your answer to this was cut off by a technical failure. This is all of it that was delivered, \
between the markers:

<delivered>{answer}</delivered>

Go on exactly where it stops, in the same language, style and format, even in the middle of a \
word. Send only what is missing: repeat nothing, explain nothing, and do not mention the \
interruption."""


def asked_once(
    ask: Callable[[Request, Watch], AsyncGenerator[Event]],
    request: Request,
    continue_from: Partial,
    *,
    how: Continuation,
    deadlines: Deadlines,
) -> AsyncGenerator[Event]:
    """What `ask` yields for the request that continues, watched over and without a seam.

    The model is asked for as many tokens as are left, and not at all if none are.
    """
    answer, watch = continue_from.answer, Watch(deadlines)
    tokens = left(request, continue_from)
    if tokens < 1:
        return _nothing_left()
    deltas = ask(replace(to_continue(request, answer, how), max_tokens=tokens), watch)
    return seamless(whole(watch.over(deltas)), answer, how)


async def _nothing_left() -> AsyncGenerator[Event]:
    yield Done("length", 0, 0)


def to_continue(request: Request, answer: str, how: Continuation) -> Request:
    """The request that makes a model go on with `answer`; if that is empty, the request itself."""
    if not answer.strip():
        return request
    if how == "asked":
        return asked_to_continue(request, answer)
    # Claude refuses a prefill that ends in white space, and chat templates cut it off unasked.
    begun = Message("assistant", answer.rstrip())
    return replace(request, messages=(*request.messages, begun))


def seamless(
    deltas: AsyncGenerator[Event], answer: str, how: Continuation
) -> AsyncGenerator[Event]:
    """What a model answers to the request of `to_continue`, so that it continues `answer`."""
    cut_off = answer[len(answer.rstrip()) :]
    if how == "asked" and answer != cut_off:
        return without_overlap(deltas, answer)
    # A prefill is continued exactly: nothing of it comes again but the white space it was sent
    # without.
    return without_overlap(deltas, cut_off, shortest=1)


async def whole(deltas: AsyncGenerator[Event]) -> AsyncGenerator[Event]:
    """The deltas, with no character cut in half between two of them.

    Servers in JavaScript cut between the halves of a surrogate pair, and a half has no form in
    UTF-8. So the first half waits for the second. Where the answer fails in between, the half is
    left out: the next attempt says the character again.
    """
    half: Text | None = None
    async with aclosing(deltas):
        async for each in deltas:
            delta = each
            if half is not None and isinstance(delta, Text) and type(delta) is type(half):
                delta = type(delta)(_paired(half.text + delta.text))
            elif half is not None:
                yield half
            half = None
            if isinstance(delta, Text) and delta.text[-1:] in _FIRST_HALVES:
                half = type(delta)(delta.text[-1])
                delta = type(delta)(delta.text[:-1])
                if not delta.text:
                    continue
            yield delta


def _paired(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def asked_to_continue(request: Request, answer: str) -> Request:
    """The request, its last turn quoting what was delivered and asking for the rest.

    It is put into that turn, not behind it: some providers refuse two turns of one role.
    """
    *before, last = request.messages
    last = Message(last.role, last.content + _ASK.format(answer=answer))
    return replace(request, messages=(*before, last))


async def without_overlap(
    deltas: AsyncGenerator[Event], answer: str, shortest: int = SHORTEST_OVERLAP
) -> AsyncGenerator[Event]:
    """The deltas, less what their beginning repeats of the end of `answer`.

    Text is held back only as long as it may still turn out to be a repetition. `shortest` is the
    shortest repetition to believe in, in characters; text that repeats itself is not believed.
    """
    tail = answer[-LONGEST_OVERLAP:]
    held: str | None = ""
    async with aclosing(deltas):
        async for delta in deltas:
            if held is None:
                yield delta
            elif isinstance(delta, Answer):
                held += delta.text
                if not _may_grow(tail, held):
                    if rest := held[overlap(tail, held, shortest) :]:
                        yield Answer(rest)
                    held = None
            else:
                if held and (rest := held[overlap(tail, held, shortest) :]):
                    yield Answer(rest)
                    held = None
                yield delta


def overlap(tail: str, text: str, shortest: int = SHORTEST_OVERLAP) -> int:
    """How many characters at the start of `text` repeat the end of `tail`; 0 if it is chance."""
    for length in range(min(len(tail), len(text)), max(shortest, 1) - 1, -1):
        if tail.endswith(text[:length]):
            is_chance = shortest > 1 and _repeats_itself(text[:length])
            return 0 if is_chance else length
    return 0


def _repeats_itself(text: str) -> bool:
    """Whether text says too little to know its place: a rule, digits, indentation, table rows.

    Of twenty dashes behind twenty dashes, nobody can tell whether they are the same ones. To lose
    some would be worse than to show some twice.
    """
    half = len(text) // 2
    has_period = any(text.startswith(text[period:]) for period in range(1, half + 1))
    return has_period or len(text.split()) < _FEWEST_WORDS


def _may_grow(tail: str, text: str) -> bool:
    """Whether `text` occurs in `tail`, so that more of it could make a longer overlap."""
    return len(text) < len(tail) and text in tail
