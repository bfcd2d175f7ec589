"""The hottest keys that are missing, however many are hot: in steps, and as sorting them all would find."""

from __future__ import annotations

import random

import pytest
from anyio import create_task_group
from anyio.lowlevel import checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backfill.backfill._history.hot_keys import HotKeys
from async_backfill.backfill._history.ranking import STEP
from async_backfill.backfill._history.selection import HottestFirst
from tests.callers import start
from tests.turns import Turns

pytestmark = pytest.mark.anyio

MANY = 10 * STEP
LIMIT = 50


class Rig:
    """A selection over ``size`` hot keys, a set of cached ones, and a set of keys in flight."""

    def __init__(self, size, seed=1):
        heats = random.Random(seed).sample(range(1, 10 * size), size)
        self.hot = HotKeys(size, half_life=1e9)
        self.hot.restore({key: float(heat) for key, heat in enumerate(heats)})
        self.order = sorted(range(size), key=heats.__getitem__, reverse=True)
        self.cached, self.loading = set(), set()
        self.removals = 0
        self.turns = Turns()
        self.selection = HottestFirst(
            self.hot,
            None,
            has_history=lambda: True,
            is_cached=lambda key: self.turns.count(key in self.cached),
            is_loading=lambda key: key in self.loading,
            removals=lambda: self.removals,
        )

    def expected(self, limit):
        return [key for key in self.order if key not in self.cached and key not in self.loading][:limit]


@settings(deadline=None, max_examples=25)
@given(
    size=st.sampled_from([5, 200, STEP, STEP + 1, MANY]),
    story=st.lists(st.tuples(st.sampled_from(["cache", "remove", "load"]), st.floats(0, 1)), max_size=6),
)
async def test_a_selection_is_what_sorting_all_hot_keys_would_find(size, story):
    rig = Rig(size)
    for step, share in story:
        keys = rig.order[: int(share * size)]
        if step == "cache":
            rig.cached.update(keys)
        elif step == "remove":
            rig.cached.difference_update(keys)
            rig.removals += 1
            rig.selection.start_again()
        else:
            rig.loading.update(keys)
        outlook = rig.selection.outlook()
        found = await rig.selection.select(LIMIT)

        assert found == rig.expected(LIMIT)
        assert outlook in {None, bool(found)}


async def test_many_hot_keys_are_ranked_and_looked_at_in_steps():
    rig = Rig(MANY)
    rig.cached.update(rig.order[:-1])
    async with rig.turns.watched() as turns:
        assert rig.selection.outlook() is None
        assert await rig.selection.select(LIMIT) == rig.order[-1:]

    assert turns.most <= 4 * STEP < MANY


async def test_the_outlook_looks_at_a_few_keys_however_many_are_cached():
    rig = Rig(MANY)
    await rig.selection.select(1)
    rig.cached.update(rig.order)
    before = rig.turns.total

    assert rig.selection.outlook() is None
    assert rig.turns.total - before <= STEP
    assert [rig.selection.outlook() for _ in range(MANY // STEP)][-1] is False


async def test_what_is_cached_while_a_selection_goes_on_is_not_selected():
    rig = Rig(MANY)
    await rig.selection.select(1)
    rig.cached.update(rig.order[1 : 3 * STEP])
    first = rig.order[0]
    in_steps = rig.selection._is_cached

    def cached_meanwhile(key):
        if key == rig.order[2 * STEP]:
            rig.cached.add(first)
        return in_steps(key)

    rig.selection._is_cached = cached_meanwhile

    assert first not in await rig.selection.select(LIMIT)


async def test_a_ranking_that_takes_too_long_is_there_for_the_next_selection():
    rig = Rig(MANY)
    async with create_task_group() as tasks:
        caller = start(tasks, rig.selection.select, LIMIT)
        while not rig.selection._selecting.locked():
            await checkpoint()
        caller.cancel()

    assert rig.selection.outlook() is True


async def test_selections_at_the_same_time_rank_once():
    rig = Rig(MANY)
    async with rig.turns.watched(), create_task_group() as tasks:
        callers = [start(tasks, rig.selection.select, LIMIT) for _ in range(3)]

    assert [caller.outcome for caller in callers] == [rig.expected(LIMIT)] * 3
    assert rig.turns.total <= 3 * 3 * LIMIT
