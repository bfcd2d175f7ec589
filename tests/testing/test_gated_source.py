"""A source whose loads wait until a test releases them."""

from __future__ import annotations

import pytest
from anyio import create_task_group, wait_all_tasks_blocked

from async_backfill import BackfillCache
from async_backfill.testing import GatedSource, ManualClock
from tests.callers import CANCELLED, PENDING, Caller, start

ROWS = {"a": 1, "b": 2, "none": None}


class LoadCaller(Caller):
    """A call of ``load_many`` itself, whose errors are not the package's."""

    async def run(self):
        try:
            await super().run()
        except ConnectionError as error:
            self.outcome = error


def load(tasks, source, *keys):
    caller = LoadCaller(source.load_many, keys)
    tasks.start_soon(caller.run)
    return caller


@pytest.mark.anyio
async def test_a_gated_load_waits_until_it_is_let_go():
    source = GatedSource(ROWS)
    async with create_task_group() as tasks:
        caller = load(tasks, source, "a", "gone", "none")
        await wait_all_tasks_blocked()
        assert (caller.outcome, source.waiting) == (PENDING, 1)
        source.release()
        await wait_all_tasks_blocked()

    assert caller.outcome == {"a": 1, "none": None}
    assert source.calls == [("a", "gone", "none")]
    assert source.waiting == 0


@pytest.mark.anyio
async def test_the_oldest_load_is_let_go_first():
    source = GatedSource(ROWS)
    async with create_task_group() as tasks:
        first, second = load(tasks, source, "a"), load(tasks, source, "b")
        await wait_all_tasks_blocked()
        oldest = source.calls[0]
        source.release()
        await wait_all_tasks_blocked()
        ended = [caller.outcome for caller in (first, second) if caller.outcome != PENDING]
        source.release()

    assert ended == [{key: ROWS[key] for key in oldest}]


@pytest.mark.anyio
async def test_a_gated_load_answers_with_the_rows_as_they_are_when_it_is_let_go():
    source = GatedSource(dict(ROWS))
    async with create_task_group() as tasks:
        caller = load(tasks, source, "a", "b")
        await wait_all_tasks_blocked()
        source.rows = {"b": 20}
        source.release()

    assert caller.outcome == {"b": 20}


@pytest.mark.anyio
async def test_a_gated_load_can_be_let_go_with_an_error():
    source = GatedSource(ROWS)
    error = ConnectionError("down")
    async with create_task_group() as tasks:
        caller = load(tasks, source, "a")
        await wait_all_tasks_blocked()
        source.release(error)

    assert caller.outcome is error


@pytest.mark.anyio
async def test_an_open_source_lets_all_loads_go_those_that_wait_and_those_to_come():
    source = GatedSource(ROWS)
    async with create_task_group() as tasks:
        waiting = [load(tasks, source, "a") for _ in range(3)]
        await wait_all_tasks_blocked()
        source.open()

    assert [caller.outcome for caller in waiting] == [{"a": 1}] * 3
    assert await source.load_many(("b",)) == {"b": 2}
    assert (len(source.calls), source.waiting, source.cancelled) == (4, 0, [])


@pytest.mark.anyio
async def test_a_cancelled_load_is_told_and_waits_no_more():
    source = GatedSource(ROWS)
    async with create_task_group() as tasks:
        given_up = load(tasks, source, "a")
        await wait_all_tasks_blocked()
        stays = load(tasks, source, "b")
        await wait_all_tasks_blocked()
        given_up.cancel()
        await wait_all_tasks_blocked()
        assert (source.cancelled, source.waiting) == ([("a",)], 1)
        source.release()

    assert (given_up.outcome, stays.outcome) == (CANCELLED, {"b": 2})


@pytest.mark.anyio
@pytest.mark.parametrize("cancelled_first", [True, False])
async def test_of_a_cancellation_and_a_release_at_once_the_first_counts(cancelled_first):
    source = GatedSource(ROWS)
    async with create_task_group() as tasks:
        caller = load(tasks, source, "a")
        await wait_all_tasks_blocked()
        if cancelled_first:
            caller.cancel()
        source.release()
        caller.cancel()

    assert caller.outcome == (CANCELLED if cancelled_first else {"a": 1})
    assert source.cancelled == [("a",)] * cancelled_first
    assert source.waiting == 0


def test_letting_go_a_load_that_is_not_there_is_an_error():
    with pytest.raises(IndexError):
        GatedSource(ROWS).release()


@pytest.mark.anyio
async def test_the_parts_work_with_a_cache():
    source, clock, events = GatedSource(ROWS), ManualClock(), []
    async with (
        create_task_group() as tasks,
        BackfillCache(source, clock=clock, observers=[events.append]) as cache,
    ):
        caller = start(tasks, cache.get, "a")
        await wait_all_tasks_blocked()
        clock.advance(2.5)
        source.release()
        await cache.settle()

    assert caller.outcome == 1
    assert [event.seconds for event in events] == [2.5]
