"""Loads that ask for other keys: whatever needs whatever, all ends are reached and none is waited for."""

from __future__ import annotations

import pytest
from anyio import create_task_group, fail_after
from anyio.lowlevel import checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backfill import BackfillCache, LoadCycleError, LoadPolicy
from tests.callers import CANCELLED, outcomes, run, start

NUMBERS = range(8)

needs = st.fixed_dictionaries(
    {number: st.lists(st.sampled_from(NUMBERS), max_size=3, unique=True) for number in NUMBERS}
)


def in_cycles(needs):
    """Return the numbers from which a cycle can be reached."""
    sound = set()
    while more := {number for number in NUMBERS if number not in sound and sound.issuperset(needs[number])}:
        sound |= more
    return set(NUMBERS) - sound


class Recipes:
    """Makes each number from those it needs, one after the other or all at once."""

    def __init__(self, needs, *, at_once):
        self.needs = needs
        self.at_once = at_once
        self.made = []

    async def load_many(self, keys):
        values = {}
        for key in keys:
            await checkpoint()
            if self.at_once:
                await self.cache.get_many(self.needs[key])
            else:
                for needed in self.needs[key]:
                    await self.cache.get(needed)
            values[key] = key
            self.made.append(key)
        return values


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@settings(max_examples=40, deadline=None)
@given(
    needs=needs,
    asked=st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=12),
    concurrency=st.integers(1, 3),
    at_once=st.booleans(),
)
def test_what_needs_itself_is_refused_and_everything_else_is_made_once(
    backend, needs, asked, concurrency, at_once
):
    source = Recipes(needs, at_once=at_once)
    refused = in_cycles(needs)

    async def main():
        load = LoadPolicy(timeout=None, max_batch=1, concurrency=concurrency)
        async with BackfillCache(source, load=load) as source.cache:
            with fail_after(1):
                ends = await outcomes(source.cache.get, *[(number,) for number in asked])
                await source.cache.settle()
            return ends, source.cache.stats.in_flight

    ends, in_flight = run(main, backend)

    assert in_flight == 0
    for number, end in zip(asked, ends, strict=True):
        assert isinstance(end, LoadCycleError) if number in refused else end == number
    assert len(source.made) == len(set(source.made))


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@settings(max_examples=40, deadline=None)
@given(
    needs=needs,
    asked=st.lists(
        st.tuples(st.sampled_from(NUMBERS), st.sampled_from([None, None, 0, 1, 2, 4, 8])),
        min_size=1,
        max_size=12,
    ),
    concurrency=st.integers(1, 3),
    max_batch=st.integers(1, 8),
)
def test_loads_that_share_calls_and_lose_callers_end_too_and_the_cache_works(
    backend, needs, asked, concurrency, max_batch
):
    source = Recipes(needs, at_once=True)

    async def main():
        load = LoadPolicy(timeout=None, max_batch=max_batch, concurrency=concurrency)
        async with BackfillCache(source, load=load) as source.cache:
            with fail_after(1):
                async with create_task_group() as tasks:
                    callers = [start(tasks, source.cache.get, number) for number, _ in asked]
                    for turn in range(10):
                        for caller, (_, patience) in zip(callers, asked, strict=True):
                            if patience == turn:
                                caller.cancel()
                        await checkpoint()
                await source.cache.settle()  # a load that lost its caller may still be on its way out
            source.needs = dict.fromkeys(NUMBERS, ())
            ends = [caller.outcome for caller in callers]
            return ends, await source.cache.get_many(NUMBERS), source.cache.stats.in_flight

    ends, afterwards, in_flight = run(main, backend)

    for (number, patience), end in zip(asked, ends, strict=True):
        left = end is CANCELLED and patience is not None
        assert left or isinstance(end, LoadCycleError) or end == number
    assert afterwards == {number: number for number in NUMBERS}
    assert in_flight == 0
