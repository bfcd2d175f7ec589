"""The bounded semaphore of backfills: never more than was allowed, never below nothing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backfill import BudgetState, ConfigurationError
from async_backfill.backfill.budget import BackfillBudget

ACQUIRE = 0  # any other number approves so many
NO_COUNTS = [-1, True, False, 1.0, "1", b"1", [1]]


@settings(deadline=None)
@given(max_backfills=st.integers(0, 8), steps=st.lists(st.just(ACQUIRE) | st.integers(0, 4), max_size=60))
def test_never_more_permits_are_spent_than_were_there_and_approved(max_backfills, steps):
    budget = BackfillBudget(max_backfills)
    allowed, spent = max_backfills, 0
    for step in steps:
        if step == ACQUIRE:
            got = budget.acquire_nowait()
            assert got is (spent < allowed)
            spent += got
        else:
            budget.approve(step)
            allowed += step
        assert budget.permits_left == allowed - spent >= 0
        assert budget.state is (BudgetState.OPEN if spent < allowed else BudgetState.NEEDS_APPROVAL)


def test_a_refused_permit_changes_nothing():
    budget = BackfillBudget(1)

    assert [budget.acquire_nowait() for _ in range(4)] == [True, False, False, False]
    assert (budget.permits_left, budget.state) == (0, BudgetState.NEEDS_APPROVAL)


def test_none_is_unlimited():
    budget = BackfillBudget()

    assert all(budget.acquire_nowait() for _ in range(1000))
    assert (budget.permits_left, budget.state) == (None, BudgetState.OPEN)


def test_nothing_can_be_approved_where_there_is_no_limit():
    budget = BackfillBudget(None)
    with pytest.raises(ConfigurationError, match="nothing to approve") as refused:
        budget.approve(1)

    assert refused.value.setting == "max_backfills"
    assert budget.permits_left is None


def test_zero_backfills_are_a_budget_too():
    budget = BackfillBudget(0)

    assert (budget.state, budget.acquire_nowait()) == (BudgetState.NEEDS_APPROVAL, False)


@pytest.mark.parametrize("max_backfills", NO_COUNTS)
def test_a_limit_that_is_no_whole_number_of_zero_or_more_is_refused(max_backfills):
    with pytest.raises(ConfigurationError) as refused:
        BackfillBudget(max_backfills)

    assert refused.value.setting == "max_backfills"


@pytest.mark.parametrize("approved", [*NO_COUNTS, 0, None])
def test_an_approval_that_is_no_positive_whole_number_is_refused_and_adds_nothing(approved):
    budget = BackfillBudget(2)
    with pytest.raises(ConfigurationError) as refused:
        budget.approve(approved)

    assert refused.value.setting == "n"
    assert budget.permits_left == 2
