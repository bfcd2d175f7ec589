"""A copy under asyncio: cancellation, timeouts and task groups end it, and are no `CopyError`."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from anyio import sleep_forever

from async_backfill.warming import copy_rows
from tests import callers
from tests.warming.shelf import Shelf, page

run = partial(callers.run, backend="asyncio")


class Copy:
    """A copy that is held where ``held`` says, and what it leaves behind."""

    def __init__(self, held):
        self.held = held
        self.shelf = Shelf(self.write)
        self.closed = False

    async def pages(self):
        try:
            yield page(0)
            if self.held == "read":
                await sleep_forever()
            for number in range(1, 100):
                yield page(number)
        finally:
            self.closed = True

    async def write(self, items):
        if self.held == "write" and "1.0" in items:
            await sleep_forever()
        await asyncio.sleep(0.01)

    async def run(self):
        return await copy_rows(self.pages(), self.shelf, write_timeout=1e6, read_timeout=None)

    def is_over(self):
        return self.closed and not self.shelf.under_way and len(asyncio.all_tasks()) == 1


HELD = pytest.mark.parametrize("held", ["read", "write"])


@HELD
def test_a_task_that_is_cancelled_ends_cancelled(held):
    async def main():
        copy = Copy(held)
        task = asyncio.create_task(copy.run())
        await asyncio.sleep(5)
        task.cancel("by its owner")
        with pytest.raises(asyncio.CancelledError):
            await task
        return task.cancelled(), copy.is_over()

    assert run(main) == (True, True)


@HELD
def test_a_timeout_around_it_is_a_timeout(held):
    async def main():
        copy = Copy(held)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await copy.run()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(Copy(held).run(), 5)
        return asyncio.current_task().cancelling(), copy.is_over()

    assert run(main) == (0, True)


@HELD
def test_a_task_group_gets_the_error_of_another_task_alone(held):
    async def main():
        copy = Copy(held)

        async def fail():
            await asyncio.sleep(5)
            raise LookupError("another task")

        async def both():
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(copy.run())
                tasks.create_task(fail())

        with pytest.raises(ExceptionGroup) as caught:
            await both()
        return [type(error) for error in caught.value.exceptions], copy.is_over()

    assert run(main) == ([LookupError], True)


@pytest.mark.parametrize("step", range(1, 60))
def test_a_task_that_is_cancelled_at_any_step_leaves_nothing_behind(step):
    async def main():
        copy = Copy("nowhere")
        task = asyncio.create_task(copy.run())
        for _ in range(step):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return not copy.shelf.under_way and len(asyncio.all_tasks()) == 1

    assert run(main)
