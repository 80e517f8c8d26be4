"""The printed table: what it judges, and how it says so."""

import pytest

from proof.bench.samples import Sample
from proof.bench.table import HEADINGS, Row, at_least, at_most, render


@pytest.mark.parametrize(("value", "missed"), [(1.9, False), (2.0, False), (2.1, True)])
def test_a_number_that_may_be_at_most_so_much_is_missed_above_it(
    value: float, *, missed: bool
) -> None:
    row = Row(what="w", ours=Sample([value]), unit="s", target=at_most(2))

    assert row.missed == missed


@pytest.mark.parametrize(("value", "missed"), [(17.9, True), (18.0, False), (22.0, False)])
def test_a_number_that_must_be_at_least_so_much_is_missed_below_it(
    value: float, *, missed: bool
) -> None:
    row = Row(what="w", ours=Sample([value]), unit="/s", target=at_least(18, aim=22))

    assert row.missed == missed


def test_the_target_of_a_comparison_is_for_the_median_of_the_ratios_of_each_round() -> None:
    row = Row(
        what="w",
        ours=Sample([1, 20, 3]),
        theirs=Sample([2, 20, 6]),
        unit="ms",
        target=at_most(0.6),
    )

    assert row.judged.values == [0.5, 1, 0.5]
    assert not row.missed


def test_a_number_without_a_target_is_never_missed() -> None:
    assert not Row(what="w", ours=Sample([1e9]), unit="s").missed


def test_the_table_is_markdown_in_which_every_line_has_every_column() -> None:
    rows = [
        Row(what="count", ours=Sample([2]), unit="calls", target=at_most(2), portable=True),
        Row(what="time", ours=Sample([1, 2, 3]), unit="s", target=at_least(5, aim=6)),
        Row(what="ratio", ours=Sample([1]), theirs=Sample([4]), unit="ms", against="boto3"),
    ]

    title, empty, *lines = render("A title", rows).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]

    assert (title, empty) == ("**A title**", "")
    assert cells[0] == list(HEADINGS)
    assert cells[2] == ["count", "2 calls", "", "", "", "≤ 2", "ok", "no"]
    assert cells[3] == ["time", "2 s", "", "", "1.5 to 2.5", "≥ 5, aim 6", "MISSED", "yes"]
    assert cells[4] == ["ratio", "1 ms", "4 ms: boto3", "0.25", "", "", "", "hardly the ratio"]
    assert {len(line) for line in lines} == {len(lines[0])}
