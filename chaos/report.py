"""What is printed of a run: what was done, how it went, and every stream that went wrong."""

from collections.abc import Iterable, Sequence

from chaos.faults import Fault
from chaos.run import Report


def failures(report: Report) -> list[str]:
    """What is wrong, one text each, with its whole history."""
    texts = [f"left running: {each}" for each in report.left_running]
    for played in report.played:
        if played.verdict.wrong:
            plan = played.outcome.plan
            texts.append(
                "\n".join(
                    [f"stream {plan.number}: {plan}"]
                    + [f"  ✗ {each}" for each in played.verdict.wrong]
                    + [report.history.of(plan.number)]
                )
            )
    return texts


def render(report: Report) -> str:
    """The tables."""
    return "\n\n".join(
        (
            _table("faults", [(fault, str(report.history.injected[fault])) for fault in Fault]),
            _table("what came of it", _results(report)),
        )
    )


def _results(report: Report) -> Iterable[tuple[str, str]]:
    played = report.played
    readers = [told for each in played for told in each.outcome.readers]
    ends = [told.events[-1].name for told in readers if told.events]
    yield "streams", str(len(played))
    yield "readers", str(len(readers))
    yield "events received", str(sum(len(told.events) for told in readers))
    yield "connections", str(sum(len(told.connected_at) for told in readers))
    yield "sandboxes", str(len(report.sandboxes.seen))
    yield "generations", str(len(report.generations.all))
    for name in ("done", "cancelled", "error"):
        yield f"readers told {name}", str(ends.count(name))
    yield "EventSources that gave up", str(sum(len(told.gave_up) for told in readers))
    yield "longest overlap of two providers", f"{max((p.overlap for p in played), default=0):.1f} s"
    yield "tokens lost", str(sum(each.verdict.lost for each in played))
    yield "tokens repeated", str(sum(each.verdict.repeated for each in played))
    yield "streams that went wrong", str(sum(bool(each.verdict.wrong) for each in played))


def _table(title: str, rows: Iterable[tuple[str, str]]) -> str:
    lines: Sequence[tuple[str, str]] = list(rows)
    width = max(len(what) for what, _ in lines)
    return "\n".join([title, *(f"  {what:<{width}}  {value:>8}" for what, value in lines)])
