"""A provider without a key, a network or a model, whose every token is predictable.

The same request always gives the same tokens. So a test knows the whole text of a stream, and an
attempt continues at the exact character where the previous one stopped.

If a request offers tools, the prompt is a script: each line of it that mentions tools by their
names is a round, in which they are called at once. A prompt that begins with "/tool" calls the
first tool. Then the answer quotes the results.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice
from typing import Any, Self

from app.events import Answer, Done, Thinking
from app.models.base import Continuation, Partial, Request
from app.models.turns import Call, ToolSpec, ToolUse
from durable_stream import Event

_THINKING = """\
The reader wrote: “{prompt}”. There is no model behind this page yet. So I explain what the page \
shows, and suggest some ways to break it.
"""

_BEFORE = """\
Before that, you asked: “{prompt}”

"""

_ANSWER = """\
You asked: “{prompt}”

{before}\
This is the demo: no key, no network, and the same words every time. Look at the way in which they \
reach you.

### What happens now

Your prompt became record 0 of an append-only log in DynamoDB. A Lambda sandbox claimed the log, \
and writes these tokens, a few at a time. Each group is **in the log before it is sent to you**, \
and its position is the event's id:

```text
event: answer
data: {{"text": "a few tokens"}}
id: <stream>:17
```

So the log has everything that your browser shows, and any sandbox can continue from there.

### Try to break it

While this text grows:

1. *Reload the page.* The text comes back and continues.
2. *Open this address in a second tab.* Both show one answer, which is generated once.
3. *Kill the sandbox that writes.* Under `make run`, its name is above the prompt. Four seconds \
after its last sign of life, another sandbox takes over, and the text continues at the exact \
character. Nothing is lost, and nothing comes twice.
4. *Freeze it instead*, wait for the take-over, and thaw it. It finds its place in the log taken, \
and stops.
5. *Press Stop.* The answer ends for everybody who reads it.

How does a frozen sandbox notice that it has lost? Each append is a conditional put: “this \
position, if it is still free”. Two writers may believe that they own the stream, and DynamoDB \
lets one of them be right. No lock, no clock, no Redis, no server.

| what ends | what you see |
| --- | --- |
| the connection | the browser connects again, and reads on |
| the sandbox | another one takes over |
| the time limit of the function | a planned hand-over |

Text beyond ASCII survives, even where a frame is cut inside a character: naïve café, Ελληνικά, \
日本語, ½ ≤ ¾, 🚀.

When you have seen enough, connect a real model: `ANTHROPIC_API_KEY=… make run`. The wire stays \
the same.
"""

_CALLING = "I call {names}, and shall tell you the results.\n\n"
_RESULT = "The result of {name} is: {result}\n\n"

_ANY_TOOL = "/tool"
_PROMPT_SHOWN = 200
_TOKEN = re.compile(r"\s*\S{1,6}|\s+")


@dataclass(frozen=True, slots=True)
class Script:
    """The whole text for one request, token by token, and the calls at its end."""

    thinking: tuple[str, ...]
    answer: tuple[str, ...]
    calls: tuple[Call, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoProvider:
    """Yields its script at a steady pace.

    `tokens` is the length of the answer; None is the whole explanation. The pace counts from the
    first token, so a slow reader or a slow store does not stretch it.
    """

    tokens_per_second: float = 30.0
    tokens: int | None = None
    first_token_seconds: float = 0.3
    models: tuple[str, ...] = ("demo",)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read `DEMO_TOKENS_PER_SECOND`, `DEMO_TOKENS` and `DEMO_FIRST_TOKEN_MS`."""
        tokens = environ.get("DEMO_TOKENS")
        return cls(
            tokens_per_second=float(environ.get("DEMO_TOKENS_PER_SECOND") or 30),
            tokens=int(tokens) if tokens else None,
            first_token_seconds=float(environ.get("DEMO_FIRST_TOKEN_MS") or 300) / 1000,
        )

    def script(self, request: Request) -> Script:
        """The text for a request, before `max_tokens` is applied."""
        prompt = request.messages[-1].content
        if (script := _round(request)) is not None:
            return script
        shown = _shown(prompt)
        results = _results(request)
        thinking = [] if results else _TOKEN.findall(_THINKING.format(prompt=shown))
        answer = _TOKEN.findall(results or _ANSWER.format(prompt=shown, before=_before(request)))
        if self.tokens is not None:
            answer += islice(_filler(prompt), max(0, self.tokens - len(answer)))
            del answer[self.tokens :]
        return Script(tuple(thinking), tuple(answer))

    def continuation(self, _request: Request) -> Continuation:
        """Always at the exact character."""
        return "prefill"

    async def preload(self) -> None:
        """Nothing has to be made."""

    async def close(self) -> None:
        """Nothing to close."""

    async def stream(self, request: Request, delivered: Partial) -> AsyncGenerator[Event]:
        """Yield the part of the script that follows the delivered text."""
        script = self.script(request)
        answer = script.answer[: request.max_tokens]
        deltas: list[Event] = [
            *(Thinking(text) for text in _after(script.thinking, delivered.thinking)),
            *(Answer(text) for text in _after(answer, delivered.answer)),
        ]
        loop = asyncio.get_running_loop()
        first = loop.time() + self.first_token_seconds
        for index, delta in enumerate(deltas):
            await asyncio.sleep(first + index / self.tokens_per_second - loop.time())
            yield delta
        counts = (
            sum(len(_TOKEN.findall(m.content)) for m in request.messages),
            len(script.thinking) + len(answer),
        )
        if len(answer) < len(script.answer):
            yield Done("length", *counts)
        elif script.calls:
            yield ToolUse(script.calls, {}, *counts)
        else:
            yield Done("stop", *counts)


def _shown(prompt: str) -> str:
    return prompt if len(prompt) <= _PROMPT_SHOWN else prompt[:_PROMPT_SHOWN] + "…"


def _before(request: Request) -> str:
    """The prompt of the turn before this one, as proof that the conversation is at hand."""
    prompts = [message.content for message in request.messages[:-1] if message.role == "user"]
    return _BEFORE.format(prompt=_shown(prompts[-1])) if prompts else ""


def _round(request: Request) -> Script | None:
    """The script of a turn that calls tools; None where no line of the prompt is left for one."""
    prompt = request.messages[-1].content
    rounds = [(line, tools) for line in prompt.splitlines() if (tools := _named(request, line))]
    if request.tools and prompt.startswith(_ANY_TOOL) and not rounds:
        rounds = [(prompt, [request.tools[0]])]
    number = len(request.rounds)
    if request.answer_now or number >= len(rounds):
        return None
    line, tools = rounds[number]
    words = _without_names(line, tools) or line
    calls = tuple(
        Call(f"call{number:02}{position:03}", tool.name, _arguments(tool.parameters, words))
        for position, tool in enumerate(tools)
    )
    names = " and ".join(tool.name for tool in tools)
    return Script((), tuple(_TOKEN.findall(_CALLING.format(names=names))), calls)


def _named(request: Request, line: str) -> list[ToolSpec]:
    """The tools that a line mentions, in its order; twice what it mentions twice."""
    by_name = {tool.name: tool for tool in request.tools}
    return [by_name[word] for word in re.findall(r"[\w-]+", line) if word in by_name]


def _without_names(line: str, tools: Sequence[ToolSpec]) -> str:
    names = {_ANY_TOOL, *(tool.name for tool in tools)}
    return " ".join(word for word in line.split() if word.strip(".,:;!?()`“”") not in names)


def _arguments(schema: Mapping[str, Any], words: str) -> Any:
    """A value of the schema: an object has its required members only, and texts are `words`."""
    one_of = [schema["const"]] if "const" in schema else schema.get("enum")
    if one_of:
        return one_of[0]
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return _arguments(schema[several][0], words)
    members = schema.get("properties", {})
    values = {
        "string": words[: schema.get("maxLength", _PROMPT_SHOWN)],
        "integer": max(1, schema.get("minimum", 1)),
        "number": max(1, schema.get("minimum", 1)),
        "boolean": True,
        "object": {name: _arguments(members[name], words) for name in schema.get("required", ())},
    }
    if schema.get("type") == "array":
        return [_arguments(schema.get("items", {}), words)]
    return values.get(schema.get("type", "string"))


def _results(request: Request) -> str:
    """The results of all calls, in words."""
    return "".join(
        _RESULT.format(name=call.name, result=result.text)
        for each in request.rounds
        for call, result in zip(each.calls, each.results, strict=True)
    )


def _after(tokens: tuple[str, ...], delivered: str) -> Iterator[str]:
    """The tokens after the delivered text; the first may be a part of one."""
    skipped = 0
    for token in tokens:
        rest = token[max(0, len(delivered) - skipped) :]
        skipped += len(token)
        if rest:
            yield rest


def _filler(prompt: str) -> Iterator[str]:
    """Endless numbered lines, different for every prompt, so that a gap is visible."""
    for number in count(1):
        digest = hashlib.sha256(f"{number}:{prompt}".encode()).hexdigest()
        yield from _TOKEN.findall(f"\nLine {number}: {digest[:8]} — {digest[8:20]} ✓")
