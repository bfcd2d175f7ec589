"""One dated value is kept as one of many is: the same values, times and evictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from async_backfill.outcomes import ABSENT
from async_backfill.policies import FreshnessPolicy
from async_backfill.stores._fresh import FreshStore
from async_backfill.stores.memory import MemoryStore

if TYPE_CHECKING:
    from async_backfill.stores._eviction.orders import Eviction

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("load"), st.integers(0, 6), st.integers(0, 2)),
        st.tuples(st.just("wait"), st.integers(1, 8), st.just(0)),
        st.tuples(st.just("delete"), st.integers(0, 6), st.just(0)),
        st.tuples(st.just("hit"), st.integers(0, 6), st.just(0)),
    ),
    max_size=60,
)


FULL = [("load", key, 0) for key in range(6)]
EXPIRING = [*FULL[:2], ("wait", 3, 0), FULL[2], ("wait", 4, 0), *FULL[3:5], ("load", 5, 2)]


@pytest.mark.parametrize("eviction", ["fifo", "lru", "sieve", "s3-fifo"])
@example(steps=FULL, stale_for=0.0)
@example(steps=EXPIRING, stale_for=0.0)
@given(steps=STEPS, stale_for=st.sampled_from([0.0, 3.0]))
def test_one_dated_value_is_kept_as_one_of_many_is(
    eviction: Eviction, steps: list[tuple[str, int, int]], stale_for: float
) -> None:
    now = 0.0
    policy = FreshnessPolicy(ttl=5.0, stale_for=stale_for)
    inners = [MemoryStore[int, int](3, eviction=eviction) for _ in range(2)]
    one, many = (FreshStore(inner, policy, clock=lambda: now) for inner in inners)
    told: list[float] = []
    one.tell_soonest = told.append
    for number, (step, what, ago) in enumerate(steps):
        if step == "load":
            since = now - ago
            evicted = one.set_one(what, number, since, put=inners[0].set_one)
            others = many.set_many({what: number}, since=since)
            assert list(others) == ([] if evicted is ABSENT else [evicted])
        elif step == "wait":
            now += what
        elif step == "delete":
            one.delete_many([what])
            many.delete_many([what])
        else:
            assert one.read(what, ABSENT) == many.read(what, ABSENT)
        for key in range(7):
            assert inners[0].peek(key, ABSENT) == inners[1].peek(key, ABSENT)
            assert one.leftover(key) == many.leftover(key)
            assert one.is_fresh(key) == many.is_fresh(key)
            # What a hit trusts without a look at the time of its key.
            if told and now < told[-1] and inners[0].peek(key, ABSENT) is not ABSENT:
                assert one.is_fresh(key)
