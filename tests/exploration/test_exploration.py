"""Some schedules of each race, on every run of the tests; ``python -m tests.exploration`` runs many."""

from __future__ import annotations

import asyncio

import pytest

from async_backfill._loading.key_locks import KeyLocks
from tests.exploration.plans import RACES
from tests.exploration.schedule import BrokenPromiseError, explore
from tests.exploration.shuffled_loop import ShuffledLoop, StuckError, run, turns

SOME = 60


@pytest.mark.parametrize("race", RACES)
def test_no_schedule_breaks_a_promise(race):
    for seed in range(SOME):
        happened = explore(race, seed)
        assert happened["turns"] > 1


def test_a_schedule_that_breaks_a_promise_is_found_and_says_how_to_run_it_again(monkeypatch):
    monkeypatch.setattr(KeyLocks, "revoke", lambda *_: None)
    broken = []
    for seed in range(SOME):
        try:
            explore("put", seed)
        except BrokenPromiseError as error:
            broken.append((seed, str(error)))
    seed, said = broken[0]

    with pytest.raises(BrokenPromiseError) as again:
        explore("put", seed)
    assert str(again.value) == said
    assert said.startswith(f"python -m tests.exploration --race put --seed {seed}\n")


def order_of(seed, holds=0.0):
    async def main():
        order = []

        async def note(number):
            for _ in range(3):
                await turns(1)
                order.append(number)

        await asyncio.gather(*[note(number) for number in range(5)])
        return order

    return run(ShuffledLoop(seed, holds=holds), main())


@pytest.mark.parametrize("holds", [0.0, 0.3])
def test_the_order_of_what_is_ready_is_drawn_from_the_seed(holds):
    orders = [order_of(seed, holds) for seed in range(20)]
    assert orders == [order_of(seed, holds) for seed in range(20)]
    assert len({tuple(order) for order in orders}) > 15


def test_time_stands_still_while_anything_is_ready_and_then_jumps():
    async def main():
        loop = asyncio.get_running_loop()
        before = loop.time()
        await turns(50)
        between = loop.time()
        await asyncio.sleep(3600.0)
        return between - before, loop.time() - before

    assert run(ShuffledLoop(1), main()) == (0.0, 3600.0)


def test_a_wait_without_end_is_an_error_that_names_who_waits():
    async def main():
        asyncio.current_task().set_name("the waiting one")
        await asyncio.Event().wait()

    loop = ShuffledLoop(1)
    task = loop.create_task(main())
    with pytest.raises(StuckError, match="the waiting one"):
        loop.run_until_complete(task)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        run(loop, task)
