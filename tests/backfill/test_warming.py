"""Warming holds nobody up: a question costs the same however many keys are hot, and work is done in steps."""

from __future__ import annotations

import random
from types import SimpleNamespace

import pytest
from anyio import Event, create_task_group

from async_backfill.backfill._history.hot_keys import HotKeys
from async_backfill.backfill._history.ranking import STEP, ranked
from async_backfill.backfill._history.readiness import Warming
from async_backfill.backfill.budget import BackfillBudget
from async_backfill.backfill.readiness import ReadinessPolicy
from tests.turns import Turns

pytestmark = pytest.mark.anyio

MANY = 20_000


class Loads:
    """Caches the next ``batch`` of ``keys`` at each offer, as a backfiller would."""

    def __init__(self, keys, batch):
        self.keys, self.batch, self.cached = list(keys), batch, set()

    def why_not(self, _cause):
        return None

    def offer(self, _cause):
        self.cached.update(self.keys[: self.batch])
        self.keys = self.keys[self.batch :]
        done = Event()
        done.set()
        return SimpleNamespace(done=done, record=None, asked=self.batch)


async def test_a_ranking_is_that_of_sorting_and_is_made_in_steps():
    turns = Turns()
    heats = {number: random.Random(number).random() for number in range(MANY)}
    async with create_task_group() as tasks:
        tasks.start_soon(turns.watch)
        found = await ranked(heats, lambda key: turns.count(heats[key]))
        tasks.cancel_scope.cancel()

    assert found == sorted(heats, key=heats.__getitem__, reverse=True)
    assert turns.most <= 4 * STEP


async def test_a_ranking_of_equal_heats_keeps_their_order_and_is_made_in_steps():
    turns = Turns()
    async with turns.watched():
        found = await ranked(range(MANY), lambda key: turns.count(float(key >= 10)))

    assert found == [*range(10, MANY), *range(10)]
    assert turns.most <= 4 * STEP


@pytest.mark.parametrize("batch", [10, 500, MANY])
async def test_looks_are_few_in_one_turn_and_no_more_than_a_multiple_of_the_keys(batch):
    turns = Turns()
    hot = HotKeys(MANY, 1e9)
    hot.restore({number: float(MANY - number) for number in range(MANY)})
    async with create_task_group() as tasks:
        loads = Loads(range(MANY), batch)
        warming = Warming(
            ReadinessPolicy(within=None),
            hot,
            loads,
            BackfillBudget(),
            capacity=None,
            has_history=lambda: True,
            has_value=lambda key: turns.count(key in loads.cached),
            is_absent=lambda _: False,
            is_full=lambda: False,
            ranking=lambda: ranked(hot, hot.heat),
            why_nothing_is_hot=lambda: "nothing is",
            is_read=lambda: False,
            spawn=tasks.start_soon,
            changed=lambda _: None,
        )
        tasks.start_soon(turns.watch)
        await warming.wait(1.0)
        in_all = turns.total
        for _ in range(1000):
            assert warming.is_ready(1.0)
        tasks.cancel_scope.cancel()

    assert turns.most <= 4000
    assert turns.total == in_all
    assert in_all <= 2 * MANY + (MANY // batch) * (batch + 64)
