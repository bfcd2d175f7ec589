"""What is true of a cache at any moment, whatever its callers do at the same time.

Generated programs of several tasks read, write, leave early and backfill at the same time.
"""

from __future__ import annotations

import pytest
from anyio import create_task_group, fail_after
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from async_backfill import (
    BackfillPolicy,
    LoadPolicy,
)
from tests.callers import run
from tests.property.world import KEYS, Table, World

keys = st.sampled_from(KEYS)
patience = st.sampled_from([None, None, None, 0, 1, 2])
steps = st.one_of(
    st.tuples(st.just("get"), keys, patience),
    st.tuples(st.just("get"), keys, patience),
    st.tuples(st.just("fetch"), keys, patience),
    st.tuples(st.just("get_many"), st.lists(keys, max_size=5).map(tuple), patience),
    st.tuples(st.sampled_from(["put", "update", "delete"]), keys, st.none()),
    st.tuples(st.sampled_from(["clear", "evict", "backfill", "turn"]), st.none(), patience),
    st.tuples(st.just("sleep"), st.integers(1, 3), st.none()),
)
programs = st.lists(st.lists(steps, min_size=1, max_size=12), min_size=1, max_size=6)
answers = st.lists(
    st.tuples(st.sampled_from(["good", "good", "good", "bad", "bad key"]), st.integers(0, 3)),
    min_size=1,
    max_size=8,
)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    program=programs,
    answers=answers,
    load=st.builds(
        LoadPolicy,
        max_batch=st.integers(1, 4),
        concurrency=st.integers(1, 3),
        timeout=st.sampled_from([None, 2.0]),
        linger=st.sampled_from([0.0, 0.0, 1.0]),
    ),
    backfill=st.builds(
        BackfillPolicy,
        window=st.integers(3, 20),
        evicts=st.booleans(),
        inline=st.booleans(),
        selection=st.sampled_from(["source", "history"]),
        successors=st.integers(0, 3),
    ),
    capacity=st.sampled_from([None, 1, 2, 4]),
    max_backfills=st.sampled_from([None, 0, 1, 3]),
    backfill_batch=st.integers(1, 6),
)
def test_the_identities_hold_at_any_moment(backend, program, answers, load, **settings):
    async def main() -> None:
        world = World(Table(load, answers), **settings)
        async with world.cache:
            with fail_after(10_000):
                async with create_task_group() as tasks:
                    for part in program:
                        tasks.start_soon(world.perform, part)
                await world.cache.settle()
            world.check_at_rest()

    run(main, backend)
