"""The handling of a provider that fails, and of one that can be asked again."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from unittest.mock import ANY

import pytest

from app import models
from app.agents import Agents, Function, agent
from app.events import Answer, Done, Thinking
from app.exceptions import ProviderError
from app.models.base import Partial
from app.models.failures import Code, failure
from app.models.lengths import estimated
from app.producer import AgentProducer
from app.task import Task as AgentTask
from durable_stream import Claim, Event, Failed, Reset, Resume, RetryPolicy, Task
from durable_stream.attempts import attempts
from durable_stream.buffer import EventBuffer
from tests.app.scripted import START, ScriptedProvider, Step, answers_of

pytestmark = pytest.mark.anyio

FINISH = Done("stop", 1, 2)
POLICY = RetryPolicy(patience=5.0, attempts=3, idle_attempts=5)


async def asked(
    *steps: Sequence[Step],
    said: Sequence[Event] = (),
    policy: RetryPolicy = POLICY,
    idle: int = 0,
) -> tuple[list[Event], ScriptedProvider]:
    provider = ScriptedProvider(steps)
    task = Task(stream_id="s" * 32, attempt=1, start=START, log=said, idle=idle)
    buffer, events = EventBuffer(), list[Event]()
    async with asyncio.timeout(20):
        async for event in attempts(answers_of(provider), task, buffer, policy):
            events.append(event)
            await buffer.put(event)
    return events, provider


async def test_an_answer_is_passed_on_as_it_comes() -> None:
    payloads, _ = await asked([Thinking("hm"), Answer("a"), Answer("b"), FINISH])

    assert payloads == [Thinking("hm"), Answer("a"), Answer("b"), Done("stop", 1, 2)]


@pytest.mark.parametrize(
    "code", ["provider_throttled", "provider_overloaded", "provider_unreachable", "key_unavailable"]
)
async def test_passing_trouble_before_the_model_is_at_work_is_waited_out(code: Code) -> None:
    """It costs nothing, so it is no attempt."""
    refused = [failure(code)]

    payloads, provider = await asked(*[refused] * 4, [Answer("a"), FINISH])

    assert payloads == [Answer("a"), Done("stop", 1, 2)]
    assert len(provider.asked_to_continue) == 5


MAY_HAVE_COST = [
    failure("provider_cut"),
    failure("provider_failed"),
    failure("provider_garbled"),
    failure("provider_timeout"),
    failure("provider_throttled", at_work=True),
    failure("provider_unreachable", at_work=True),
]


@pytest.mark.parametrize("error", MAY_HAVE_COST, ids=lambda error: error.code)
async def test_a_request_that_may_have_reached_the_model_is_an_attempt_of_the_log(
    error: ProviderError,
) -> None:
    payloads, _ = await asked([error], [error], [Answer("a"), FINISH])

    claims = [Claim(2, "restarted"), Claim(3, "restarted")]
    assert payloads == [*claims, Answer("a"), Done("stop", 1, 2)]


@pytest.mark.parametrize("error", MAY_HAVE_COST, ids=lambda error: error.code)
async def test_the_third_of_them_is_the_last(error: ProviderError) -> None:
    payloads, provider = await asked(*[[error]] * 5)

    failed = payloads[-1]
    assert isinstance(failed, Failed)
    assert (failed.code, failed.retryable, failed.free) == (error.code, True, False)
    assert len(provider.asked_to_continue) == 3
    assert payloads[:-1] == [Claim(2, "restarted"), Claim(3, "restarted")]


async def test_failures_before_and_after_the_first_text_are_counted_together() -> None:
    cut, free = failure("provider_cut"), failure("provider_throttled")

    payloads, provider = await asked([cut], [free], [Answer("a"), cut], [free], [cut], [])

    assert len(provider.asked_to_continue) == 5
    assert [p.attempt for p in payloads if isinstance(p, Claim)] == [2, 3]


@pytest.mark.parametrize(("before", "asks"), [(0, 3), (3, 3), (4, 2), (5, 1)])
async def test_no_more_claims_without_a_word_are_made_than_a_stream_may_have(
    before: int, asks: int
) -> None:
    """Earlier writers may have made some; the next reader would give the stream up."""
    payloads, provider = await asked(*[[failure("provider_cut")]] * 5, idle=before)

    assert len(provider.asked_to_continue) == asks
    assert before + sum(isinstance(p, Claim) for p in payloads) <= POLICY.idle_attempts
    assert isinstance(payloads[-1], Failed)


async def test_a_word_lets_claims_be_counted_anew() -> None:
    spoken: list[Step] = [Answer("a"), failure("provider_cut")]

    payloads, _ = await asked(spoken, [Answer("b"), FINISH], idle=5)

    assert payloads == [Answer("a"), Claim(2, "prefill"), Answer("b"), Done("stop", 1, 2)]


@pytest.mark.parametrize(
    ("finish", "done"),
    [
        (Done("stop", 0, 0), Done("stop", None, None)),
        (Done("stop", 5, 100), Done("stop", 5, 100)),
        (Done("stop", -5, -5_000_000), Done("stop", None, None)),
        (Done("stop", 5, 101), Done("stop", 5, None)),
        (Done("stop", 999_999_999_999, 5), Done("stop", None, 5)),
    ],
)
async def test_a_count_that_the_request_could_not_have_is_as_good_as_not_told(
    finish: Done, done: Done
) -> None:
    assert await asked([Answer("a"), finish]) == ([Answer("a"), done], ANY)


async def test_thinking_may_count_on_top_of_the_longest_answer() -> None:
    thought = "x" * 20

    payloads, _ = await asked([Thinking(thought), Done("stop", 1, 120)])

    assert payloads == [Thinking(thought), Done("stop", 1, 120)]


async def test_waiting_out_backs_off_and_ends_when_patience_does() -> None:
    begun = time.monotonic()

    payloads, provider = await asked(
        *[[failure("provider_throttled")]] * 50,
        policy=RetryPolicy(patience=1.0, attempts=3),
    )

    (failed,) = payloads
    assert isinstance(failed, Failed)
    assert (failed.code, failed.retryable) == ("provider_throttled", True)
    assert time.monotonic() - begun <= 3, "and does not go on to the last of 50 attempts"
    assert 2 <= len(provider.asked_to_continue) <= 4, "0.25 s doubles, less up to half"


async def test_a_first_token_gives_new_patience() -> None:
    throttled = failure("provider_throttled")

    payloads, _ = await asked(
        [throttled], [Answer("a"), throttled], [throttled], [Answer("b"), FINISH]
    )

    assert payloads == [Answer("a"), Claim(2, "prefill"), Answer("b"), Done("stop", 1, 2)]


@pytest.mark.parametrize("end", [[], [failure("provider_cut")], [failure("provider_timeout")]])
async def test_an_answer_that_breaks_off_is_continued_where_it_broke(end: list[Step]) -> None:
    payloads, provider = await asked([Thinking("hm"), Answer("ab"), *end], [Answer("cd"), FINISH])

    assert payloads == [
        Thinking("hm"),
        Answer("ab"),
        Claim(2, "prefill"),
        Answer("cd"),
        Done("stop", 1, 2),
    ]
    assert provider.asked_to_continue == [Partial(), Partial("hm", "ab")]


async def test_a_character_cut_in_half_is_asked_on_as_text_that_can_be_sent() -> None:
    """Half a surrogate pair has no UTF-8 form: no request could carry it."""
    _, provider = await asked([Answer("a\ud83d"), Answer("\ude80b\ud83d")], [FINISH])

    assert provider.asked_to_continue == [Partial(), Partial(answer="a🚀b\ufffd")]


def told(tokens: int) -> ProviderError:
    error = failure("provider_cut")
    error.output_tokens = tokens
    return error


async def test_what_was_said_is_as_long_as_the_provider_tells_and_else_as_estimated() -> None:
    first: list[Step] = [Answer("a"), told(30)]
    second: list[Step] = [Answer("bcd"), failure("provider_cut")]

    _, provider = await asked(first, second, [FINISH])

    assert provider.asked_to_continue == [
        Partial(),
        Partial(answer="a", tokens=30),
        Partial(answer="abcd", tokens=30 + estimated("bcd")),
    ]


@pytest.mark.parametrize("tokens", [-1, 10**9])
async def test_a_length_that_cannot_be_is_estimated_too(tokens: int) -> None:
    _, provider = await asked([Answer("a"), told(tokens)], [FINISH])

    assert provider.asked_to_continue == [Partial(), Partial(answer="a")]


async def test_an_answer_that_broke_off_in_thought_is_started_again() -> None:
    payloads, _ = await asked([Thinking("hm")], [Answer("a"), FINISH])

    assert Claim(2, "restarted") in payloads


async def test_what_earlier_writers_said_is_continued_too() -> None:
    _, provider = await asked([Answer("b")], [FINISH], said=[Thinking("hm"), Answer("a")])

    assert provider.asked_to_continue == [Partial("hm", "a"), Partial("hm", "ab")]


async def test_the_third_break_is_the_last() -> None:
    payloads, provider = await asked(*[[Answer("a")]] * 5)

    failed = payloads[-1]
    assert isinstance(failed, Failed)
    assert (failed.code, failed.retryable) == ("provider_cut", True)
    assert len(provider.asked_to_continue) == 3
    assert [p.attempt for p in payloads if isinstance(p, Claim)] == [2, 3]


@pytest.mark.parametrize("before", [[], [Answer("a")]])
@pytest.mark.parametrize("code", ["provider_denied", "context_too_long", "content_filtered"])
async def test_a_refusal_for_good_is_told_at_once(code: Code, before: list[Step]) -> None:
    payloads, provider = await asked([*before, failure(code)])

    failed = payloads[-1]
    assert isinstance(failed, Failed)
    assert (failed.code, failed.retryable) == (code, False)
    assert len(provider.asked_to_continue) == 1


async def attempted(
    answering: Function, resume: Resume, *steps: Sequence[Step]
) -> tuple[list[Event], ScriptedProvider]:
    """The events of an agent of the test's own."""
    provider = ScriptedProvider(steps)
    producer = AgentProducer(Agents([agent(resume=resume)(answering)]), provider)
    buffer, events = EventBuffer(), list[Event]()
    task = Task(stream_id="s" * 32, attempt=1, start=START)
    async with asyncio.timeout(20):
        async for event in attempts(producer, task, buffer, POLICY):
            events.append(event)
            await buffer.put(event)
            buffer.take()
            buffer.confirm()
    return events, provider


async def test_an_answer_that_starts_over_has_all_its_tokens_again() -> None:
    async def answering(task: AgentTask) -> AsyncGenerator[Event]:
        async for event in models.answer(task):
            yield event

    payloads, provider = await attempted(
        answering, "restart", [Answer("a"), told(90)], [Answer("b"), FINISH]
    )

    assert provider.asked_to_continue == [Partial(), Partial()]
    assert payloads == [
        Answer("a"),
        Claim(2, "restarted"),
        Reset(),
        Answer("b"),
        Done("stop", 1, 2),
    ]


async def test_a_throttled_answer_beside_another_one_is_an_attempt_that_is_tried_again() -> None:
    """The other one is still being read when the attempt ends, and may have cost something."""

    async def answering(task: AgentTask) -> AsyncGenerator[Event]:
        async def one(label: str) -> str:
            with task.branch(label):
                text = [e.text async for e in models.answer(task) if isinstance(e, Answer)]
                return "".join(text) or label

        yield Answer(" ".join(await asyncio.gather(one("a"), one("b"))))

    payloads, provider = await attempted(
        answering,
        "restart",
        [failure("provider_throttled")],
        [asyncio.Event()],
        [Answer("a"), FINISH],
        [Answer("b"), FINISH],
    )

    claims = [event for event in payloads if isinstance(event, Claim)]
    assert [claim.attempt for claim in claims] == [2]
    assert payloads[-2:] == [Answer("a b"), Done("stop")]
    assert provider.running == 0
