"""A signal is set once, wakes everyone who waits, and keeps nobody who left."""

from __future__ import annotations

import asyncio
import gc

import pytest
from anyio import create_task_group, wait_all_tasks_blocked

from async_backfill._loading.signals import FutureSignal, signals
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


def test_while_one_waits_for_ever_those_who_come_and_go_leave_little_behind():
    async def main():
        signal = FutureSignal(asyncio.get_running_loop())
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
