"""The Pareto front: which results are on it, and which of them are worth their memory."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from async_backfill._runner.tuning.front import dominates, pareto_front, worth_choosing


@dataclass(frozen=True)
class Choice:
    entries: int
    cost: float
    name: str = ""


COSTS = st.integers(0, 30)
CHOICES = st.lists(st.builds(Choice, COSTS, COSTS), max_size=40)


@given(CHOICES)
def test_everything_off_the_front_is_dominated_or_equalled_by_something_on_it(choices):
    front = pareto_front(choices)
    for choice in choices:
        assert any(kept == choice or dominates(kept, choice) for kept in front)


@given(CHOICES)
def test_nothing_on_the_front_is_dominated_by_anything(choices):
    front = pareto_front(choices)
    assert not [kept for kept in front if any(dominates(choice, kept) for choice in choices)]


@given(CHOICES)
def test_along_the_front_memory_rises_and_calls_fall(choices):
    front = pareto_front(choices)
    for one, other in pairwise(front):
        assert one.entries < other.entries
        assert one.cost > other.cost


@given(CHOICES)
def test_the_front_does_not_depend_on_the_order_of_the_choices(choices):
    assert pareto_front(choices) == pareto_front(choices[::-1])


def test_of_choices_with_the_same_costs_the_first_is_kept():
    assert pareto_front([Choice(1, 1, "first"), Choice(1, 1, "second")]) == [Choice(1, 1, "first")]


@given(CHOICES, st.floats(0.0, 0.5))
def test_what_the_front_leaves_out_saves_too_few_calls_over_a_smaller_one_kept(choices, gain):
    front = pareto_front(choices)
    kept = worth_choosing(front, gain=gain)
    assert kept[:1] == front[:1]
    for choice in front:
        if choice not in kept:
            smaller = [one for one in kept if one.entries < choice.entries]
            assert choice.cost > smaller[-1].cost * (1.0 - gain)


def test_memory_that_saves_hardly_any_calls_is_not_worth_choosing():
    front = [Choice(10, 1000), Choice(20, 990), Choice(30, 900), Choice(40, 899), Choice(50, 0)]
    assert worth_choosing(front, gain=0.02) == [Choice(10, 1000), Choice(30, 900), Choice(50, 0)]
