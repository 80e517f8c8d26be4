"""How a new attempt continues an answer.

A model that takes a prefill continues at the last character. Any other model is shown the delivered
text and asked for the rest; it tends to repeat a few words at the seam, which are trimmed.
"""

import re
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing
from dataclasses import replace
from itertools import groupby

from app.events import Answer
from app.models.base import Continuation, Message, Request
from app.models.turns import Round
from durable_stream import Event, Text

# Models repeat a few words to some paragraphs at a seam. An overlap below the lower bound may be
# chance (one letter of "hel|lo"); one above the upper bound is no longer a seam.
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

# Behind a tool's results, the text is a turn of the assistant's, and this is the user's next: many
# services refuse other text beside results.
_GO_ON = """\
Your last turn was cut off by a technical failure: it is shown as far as it was delivered. Go on \
exactly where it stops, in the same language, style and format, even in the middle of a word. \
Send only what is missing: repeat nothing, explain nothing, and do not mention the interruption."""

_A_CALL_IS_LOST = """ \
If you were about to call a tool, call it: no call in that turn has arrived."""

# Claude up to 4.5 takes the beginning of its answer as an assistant's turn; from 4.6 on, the API
# refuses it. An unknown name counts as a newer model: asking always works.
_CLAUDE_WITH_PREFILL = re.compile(
    r"""
    (?:^|[./]) claude-
    (?:
      instant | v?[23] (?=[-.:]|$)
    | (?:opus|sonnet|haiku)-4 (?:-[015])? (?=-\d{8}|[@:]|-latest|-v\d|$)
    )
    """,
    re.VERBOSE,
)


def claude_takes_prefill(model: str) -> bool:
    """True for a Claude that takes a prefill.

    `model` is a name of Anthropic's API or of Bedrock, with or without date, region and version.
    """
    return _CLAUDE_WITH_PREFILL.search(model) is not None


def to_continue(request: Request, answer: str, how: Continuation) -> Request:
    """The request that makes a model continue `answer`; if that is blank, the request itself.

    Behind rounds of tools, `answer` is the text of the turn after them.
    """
    if not answer.strip():
        return request
    if how == "prefill":
        # Claude refuses a prefill that ends in white space, and chat templates remove it.
        prefill = Message("assistant", answer.rstrip())
        if request.rounds:
            return replace(request, after=(*request.after, prefill))
        return replace(request, messages=(*request.messages, prefill))
    if request.rounds:
        return replace(request, after=(*request.after, *_asked_behind_rounds(request, answer)))
    return asked_to_continue(request, answer)


def conversation(request: Request) -> list[Message | Round]:
    """All turns of a request, in order, with the words in which its rounds were continued.

    Messages of one role that follow one another are joined, as where a prompt was not answered:
    some services, and chat templates, refuse them.
    """
    turns: list[Message | Round] = [*request.messages]
    for number, each in enumerate(request.rounds):
        if each.before.strip() and not each.prefilled:
            if number:
                turns += _asked_behind_rounds(request, each.before)
            else:
                turns = [*asked_to_continue(request, each.before).messages]
        turns.append(each)
    return [*_alternating([*turns, *request.after])]


def _alternating(turns: Iterable[Message | Round]) -> Iterator[Message | Round]:
    for role, like in groupby(turns, lambda turn: isinstance(turn, Message) and turn.role):
        if role:
            contents = [turn.content for turn in like if isinstance(turn, Message)]
            yield Message(str(role), "\n\n".join(contents))
        else:
            yield from like


def is_prefilled(request: Request) -> bool:
    """True if the request ends with the beginning of the assistant's turn."""
    if request.rounds:
        return bool(request.after) and request.after[-1].role == "assistant"
    return request.messages[-1].role == "assistant"


def seamless(
    deltas: AsyncGenerator[Event], answer: str, how: Continuation
) -> AsyncGenerator[Event]:
    """The deltas of the answer to `to_continue`, trimmed so that they follow `answer`."""
    white_space = answer[len(answer.rstrip()) :]
    if how == "asked" and answer != white_space:
        return without_overlap(deltas, answer)
    # A model continues a prefill exactly. It can repeat only the white space that was removed.
    return without_overlap(deltas, white_space, shortest=1)


async def whole(deltas: AsyncGenerator[Event]) -> AsyncGenerator[Event]:
    """The deltas, with no surrogate pair split between two of them.

    Servers in JavaScript split surrogate pairs, and half a pair has no form in UTF-8. So the first
    half waits for the second. If the answer fails in between, the half is dropped: the next attempt
    generates the character again.
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
    """The request, whose last turn now quotes the delivered text and asks for the rest.

    The text goes into that turn, not after it: some providers refuse two turns of one role.
    """
    *before, last = request.messages
    asking = _ASK.format(answer=answer) + (_A_CALL_IS_LOST if request.tools else "")
    return replace(request, messages=(*before, Message(last.role, last.content + asking)))


def _asked_behind_rounds(request: Request, answer: str) -> tuple[Message, Message]:
    asking = _GO_ON + (_A_CALL_IS_LOST if request.tools else "")
    return Message("assistant", answer), Message("user", asking)


async def without_overlap(
    deltas: AsyncGenerator[Event], answer: str, shortest: int = SHORTEST_OVERLAP
) -> AsyncGenerator[Event]:
    """The deltas, without a beginning that repeats the end of `answer`.

    Text is held back only while it may still be a repetition. `shortest` is the length in
    characters from which an overlap counts as one; text that repeats itself never counts.
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
    """The length of the start of `text` that repeats the end of `tail`; 0 for chance."""
    for length in range(min(len(tail), len(text)), max(shortest, 1) - 1, -1):
        if tail.endswith(text[:length]):
            is_chance = shortest > 1 and _repeats_itself(text[:length])
            return 0 if is_chance else length
    return 0


def _repeats_itself(text: str) -> bool:
    """True for text that is periodic or too short to recognize: a rule, digits, table rows.

    Twenty dashes after twenty dashes may or may not be a repetition. Losing some would be worse
    than showing some twice.
    """
    half = len(text) // 2
    has_period = any(text.startswith(text[period:]) for period in range(1, half + 1))
    return has_period or len(text.split()) < _FEWEST_WORDS


def _may_grow(tail: str, text: str) -> bool:
    """True if `text` occurs within `tail`, so that more text could make a longer overlap."""
    return len(text) < len(tail) and text in tail
