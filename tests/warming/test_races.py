"""A copy beside writers, in many schedules: nothing that is later than a page's read is undone."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.warming.races import Race, race


def added(counts):
    """The sum of what happened."""
    return sum(counts, Counter())


@pytest.mark.anyio
@pytest.mark.parametrize(("guard", "schedules"), [("stamp", 120), ("version", 60)])
async def test_under_the_guard_no_schedule_ends_with_an_old_value_or_a_deleted_row(guard, schedules):
    counts = added([await Race(seed, guard).run() for seed in range(schedules)])

    assert (counts["old"], counts["back"]) == (0, 0)
    assert min(counts[what] for what in ("kept", "newer", "dead", "writes")) > 0


@pytest.mark.anyio
async def test_rows_that_are_rechecked_are_not_old_either_in_these_schedules():
    counts = added([await Race(seed, "recheck").run() for seed in range(30)])

    assert (counts["old"], counts["back"]) == (0, 0)
    # Newer rows are few under this guard, and on trio, which draws the order of tasks, none at times.
    assert min(counts[what] for what in ("kept", "writes")) > 0


def test_in_some_of_these_schedules_a_rechecked_row_is_newer():
    assert added([race(seed, "recheck") for seed in range(30)])["newer"] > 0


def test_without_a_guard_some_schedules_end_with_both_so_the_races_have_teeth():
    counts = added([race(seed, "none") for seed in range(20)])

    assert counts["old"] > 0
    assert counts["back"] > 0
