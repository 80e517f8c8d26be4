"""The schedule is a function of the seed."""

from proof.chaos.deployment import TIMEOUT
from proof.chaos.faults import FATAL, STOPPING, WHAT, Fault
from proof.chaos.plan import LONGEST, MOST_FATAL, TOKENS_PER_SECOND, draw, named, number_of
from proof.chaos.report import drawn
from proof.chaos.verdict import LATENESS, LEASE

PLANS = [draw(1, number) for number in range(2000)]


def test_a_seed_and_a_number_always_give_the_same_plan() -> None:
    assert [draw(1, number) for number in range(50)] == PLANS[:50]
    assert [draw(2, number) for number in range(50)] != PLANS[:50]


def test_a_plan_does_not_depend_on_how_many_there_are() -> None:
    assert draw(1, 1999) == PLANS[1999]


def test_every_fault_is_drawn() -> None:
    # The run does the last one, to all.
    assert set().union(*map(drawn, PLANS), {Fault.RECYCLE}) == set(Fault)


def test_every_fault_is_explained() -> None:
    assert set(WHAT) == set(Fault)


def test_no_stream_is_killed_as_often_as_it_takes_to_be_given_up() -> None:
    fatal = [sum(fault in FATAL for fault in plan.puts.values()) for plan in PLANS]

    assert max(fatal) <= MOST_FATAL + 1, "one more where a take-over is wanted"


def test_who_is_to_be_stopped_would_go_on_for_longer_than_may_be_borne() -> None:
    stopped = [
        plan
        for plan in PLANS
        if plan.cancel in STOPPING or not STOPPING.isdisjoint(plan.puts.values())
    ]
    shortest = min(plan.max_tokens for plan in stopped) / TOKENS_PER_SECOND

    assert shortest > LEASE + LATENESS + 2
    assert len(stopped) > 500


def test_some_answers_outlive_their_invocation() -> None:
    lasting = [plan for plan in PLANS if plan.max_tokens / TOKENS_PER_SECOND >= TIMEOUT]

    assert len(lasting) > 50
    assert max(plan.max_tokens for plan in lasting) <= LONGEST


def test_a_third_of_the_streams_has_steps_and_each_fault_comes_to_them() -> None:
    stepping = [plan for plan in PLANS if plan.stepping]

    assert len(PLANS) / 4 < len(stepping) < len(PLANS) / 2
    assert set().union(*map(drawn, stepping)) == set(Fault) - {Fault.RECYCLE}


def test_the_texts_of_all_steps_and_between_them_are_the_answer() -> None:
    for plan in [plan for plan in PLANS if plan.stepping][:100]:
        said = [token for tokens in plan.answers.values() for token in tokens]

        assert sorted(said) == sorted(plan.answer)
        assert all(stage.before for stage in plan.stages)
        assert max(len(stage.steps) for stage in plan.stages) == 2


def test_some_streams_are_left_alone_to_be_measured() -> None:
    assert sum(plan.undisturbed for plan in PLANS) > 100


def test_a_stream_is_known_by_its_prompt() -> None:
    assert number_of(PLANS[7].prompt) == 7
    assert number_of(named(0)) == 0
    assert number_of("what a person asks") is None
