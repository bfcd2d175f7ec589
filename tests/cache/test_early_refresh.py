"""XFetch: a value is loaded again before it expires, by chance, the dearer its load the earlier."""

from __future__ import annotations

import math
import random

import pytest

from async_backfill import FreshnessPolicy, MemoryStore
from async_backfill.outcomes import ABSENT
from async_backfill.stores._fresh import FreshStore
from async_backfill.testing import ManualClock


def refreshed_early(*, before_expiry, cost, early=1.0, tries=2000, seed=3):
    """Return how many of ``tries`` reads that long before the expiry find the value due."""
    clock = ManualClock()
    policy = FreshnessPolicy(ttl=100.0, early=early, seed=seed)
    store = FreshStore(MemoryStore(), policy, clock=clock)
    store.set_many({"a": 1}, cost=cost)
    clock.advance(100.0 - before_expiry)
    return sum(store.read("a", ABSENT) is ABSENT for _ in range(tries))


def test_a_read_is_due_exactly_when_the_formula_of_the_paper_says_so():
    draws = random.Random(3)
    expected = sum(-2.0 * 1.5 * math.log(1.0 - draws.random()) >= 4.0 for _ in range(2000))

    assert refreshed_early(before_expiry=4.0, cost=2.0, early=1.5) == expected
    assert 0 < expected < 2000


@pytest.mark.parametrize("cost", [0.5, 1.0, 4.0])
def test_the_nearer_the_expiry_the_likelier(cost):
    due = [refreshed_early(before_expiry=before, cost=cost) for before in (8.0, 4.0, 2.0, 1.0, 0.01)]

    assert due == sorted(due)
    assert due[-1] > 1900


def test_the_longer_the_load_took_the_likelier():
    due = [refreshed_early(before_expiry=2.0, cost=cost) for cost in (0.1, 0.5, 1.0, 2.0, 10.0)]

    assert due == sorted(due)
    assert due[0] < due[-1]


def test_what_was_put_is_never_due_early():
    assert refreshed_early(before_expiry=0.001, cost=0.0) == 0


def test_without_it_nothing_is_due_early():
    assert refreshed_early(before_expiry=0.001, cost=1000.0, early=0.0) == 0
