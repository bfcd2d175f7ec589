"""A signal is set once, wakes everyone who waits, and keeps nobody who left."""

from __future__ import annotations

import asyncio
import gc

import pytest
from anyio import create_task_group, wait_all_tasks_blocked

from async_backfill._loading.signals import signals
from tests.callers import CANCELLED, PENDING, run, start

pytestmark = pytest.mark.anyio


async def waits(signal):
    await signal.wait()
    return "woken"


async def test_everyone_who_waits_is_woken():
    signal = signals()()
    async with create_task_group() as tasks:
        callers = [start(tasks, waits, signal) for _ in range(100)]
        await wait_all_tasks_blocked()
        assert {caller.outcome for caller in callers} == {PENDING}
        signal.set()

    assert {caller.outcome for caller in callers} == {"woken"}


async def test_one_that_is_set_lets_everyone_through():
    signal = signals()()
    signal.set()

    assert await waits(signal) == "woken"


async def test_who_is_cancelled_wakes_nobody_else():
    signal = signals()()
    async with create_task_group() as tasks:
        callers = [start(tasks, waits, signal) for _ in range(3)]
        await wait_all_tasks_blocked()
        callers[1].cancel()
        await wait_all_tasks_blocked()
        assert [caller.outcome for caller in callers] == [PENDING, CANCELLED, PENDING]
        signal.set()

    assert [caller.outcome for caller in callers] == ["woken", CANCELLED, "woken"]


async def test_all_who_wait_for_signals_set_in_one_turn_are_woken():
    make = signals()
    many = [make() for _ in range(5)]
    async with create_task_group() as tasks:
        callers = [
            start(tasks, waits, signal) for place, signal in enumerate(many) for _ in range(7 + 20 * place)
        ]
        await wait_all_tasks_blocked()
        for signal in many:
            signal.set()

    assert {caller.outcome for caller in callers} == {"woken"}


async def test_who_is_cancelled_as_a_signal_is_set_holds_up_nobody():
    signal = signals()()
    async with create_task_group() as tasks:
        callers = [start(tasks, waits, signal) for _ in range(50)]
        await wait_all_tasks_blocked()
        signal.set()
        callers[7].cancel()

    assert {caller.outcome for caller in callers} in ({"woken"}, {"woken", CANCELLED})


@pytest.mark.parametrize(
    "signal_of", [lambda number: number % 3, lambda number: number // 20, lambda number: number % 7 % 3]
)
def test_who_waits_for_signals_set_in_one_turn_is_woken_in_the_order_of_arrival(signal_of):
    async def main():
        make = signals()
        many = [make() for _ in range(3)]
        woken = []

        async def wait(number):
            await many[signal_of(number)].wait()
            woken.append(number)

        waiting = [asyncio.ensure_future(wait(number)) for number in range(60)]
        await asyncio.sleep(0)
        for signal in many:
            signal.set()
        await asyncio.gather(*waiting)
        return woken

    assert run(main, "asyncio") == list(range(60))


def test_while_one_waits_for_ever_those_who_come_and_go_leave_little_behind():
    async def main():
        signal = signals()()
        stays = asyncio.ensure_future(waits(signal))
        for _ in range(5000):
            leaves = asyncio.ensure_future(waits(signal))
            await asyncio.sleep(0)
            leaves.cancel()
            await asyncio.sleep(0)
        gc.collect()
        left = len(signal._futures)
        signal.set()
        return left, await stays

    left, outcome = run(main, "asyncio")

    assert outcome == "woken"
    assert left <= 128


@pytest.mark.parametrize("number_of_signals", [1, 3])
def test_very_many_are_woken_a_thousand_a_turn_in_the_order_in_which_they_came(number_of_signals):
    async def main():
        make = signals()
        many = [make() for _ in range(number_of_signals)]
        woken, turns = [], []

        async def wait(number):
            await many[number % number_of_signals].wait()
            woken.append(number)

        async with asyncio.TaskGroup() as tasks:
            for number in range(3_500):
                tasks.create_task(wait(number))
            await asyncio.sleep(0)
            for signal in many:
                signal.set()
            while len(woken) < 3_500:
                before = len(woken)
                await asyncio.sleep(0)
                turns.append(len(woken) - before)
        return woken, max(turns)

    woken, most = asyncio.run(main())
    assert woken == list(range(3_500))
    assert most == 1000
