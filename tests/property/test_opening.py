"""Whatever tasks open, use and close a cache, or are cancelled, there is one opening at a time, or none."""

from __future__ import annotations

import asyncio
from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st

from async_backfill import BackfillCache, BackfillPolicy, CacheClosedError, LoadError, MappingSource
from tests.callers import run

STEPS = st.tuples(
    st.sampled_from(["open", "open and be cancelled", "close", "close and be cancelled", "get"]),
    st.sampled_from([0, 0, 1, 2, 5]),  # turns of the loop before it
    st.sampled_from([0, 1, 2, 3, 40]),  # turns until its cancellation
)


class Parts:
    """A source and a journal that take a few turns, and know how many openings read the journal at once."""

    def __init__(self):
        self.loading = self.most = 0

    async def load_many(self, keys):
        await asyncio.sleep(0)
        return dict.fromkeys(keys, 1)

    async def load(self):
        self.loading += 1
        self.most = max(self.most, self.loading)
        try:
            for _ in range(3):
                await asyncio.sleep(0)
        finally:
            self.loading -= 1

    async def save(self, _):
        await asyncio.sleep(0)


async def take(cache, step):
    name, _, turns = step
    call = {
        "o": cache.__aenter__,
        "c": partial(cache.__aexit__, None, None, None),
        "g": partial(cache.get, 1),
    }
    task = asyncio.create_task(call[name[0]]())
    if "cancelled" in name:
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
    try:
        await task
    except (asyncio.CancelledError, CacheClosedError, LoadError):
        pass
    except RuntimeError as error:
        if "enter it once" not in str(error):
            raise


async def main(steps):
    parts = Parts()
    history = BackfillPolicy(selection="history")
    cache = BackfillCache(parts, scan=MappingSource({1: 1}), journal=parts, backfill=history)
    mine = asyncio.all_tasks()
    taken = []
    for step in steps:
        for _ in range(step[1]):
            await asyncio.sleep(0)
        taken.append(asyncio.create_task(take(cache, step)))
    await asyncio.gather(*taken)
    await cache.__aexit__(None, None, None)
    left = asyncio.all_tasks() - mine
    async with cache:
        return left, parts.most, await cache.get(1)


@given(st.lists(STEPS, max_size=8))
@settings(max_examples=40)
def test_whoever_opens_and_closes_it_no_task_is_left_and_it_opens_again(steps):
    left, most, value = run(partial(main, steps), "asyncio")

    assert (left, value) == (set(), 1)
    assert most <= 1
