"""Calling the user's code: what it raises comes back as a fact, a cancellation meant for us does not."""

from __future__ import annotations

import anyio
import pytest
from anyio import CancelScope, create_task_group, current_time, get_cancelled_exc_class, sleep, sleep_forever

from async_backfill._common.attempt import attempt
from tests.callers import leaked_cancellation

pytestmark = pytest.mark.anyio


class OddError(BaseException):
    """An error that ``except Exception`` does not catch."""


async def test_what_the_call_returns_is_the_result():
    async def call():
        return "value"

    done = await attempt(call, CancelScope())

    assert (done.result, done.error, done.stopped, done.must_stop) == ("value", None, False, False)


@pytest.mark.parametrize("error", [ValueError("no"), OddError("no"), TimeoutError("the source's own")])
async def test_what_the_call_raises_comes_back_as_its_error(error):
    async def call():
        raise error

    done = await attempt(call, CancelScope())

    assert (done.result, done.error, done.stopped, done.must_stop) == (None, error, False, False)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
async def test_an_exception_that_ends_the_process_comes_back_and_says_so(error):
    async def call():
        raise error

    done = await attempt(call, CancelScope())

    assert (done.error, done.must_stop) == (error, True)


async def test_a_call_that_fails_before_it_can_be_awaited_comes_back_as_its_error():
    def call():
        raise ValueError("not even a coroutine")

    done = await attempt(call, CancelScope())

    assert isinstance(done.error, ValueError)


async def test_a_call_that_cannot_be_awaited_comes_back_as_a_type_error():
    done = await attempt(lambda: {"a": 1}, CancelScope())

    assert isinstance(done.error, TypeError)


async def test_a_call_that_outlasts_the_deadline_is_stopped():
    before = current_time()

    done = await attempt(sleep_forever, CancelScope(deadline=before + 30))

    assert (done.result, done.error, done.stopped, done.must_stop) == (None, None, True, False)
    assert current_time() == before + 30


async def test_a_call_whose_scope_is_cancelled_is_stopped():
    scope = CancelScope()
    async with create_task_group() as tasks:
        tasks.start_soon(cancel_later, scope)
        done = await attempt(sleep_forever, scope)

    assert (done.error, done.stopped) == (None, True)


async def test_an_error_raised_while_being_stopped_is_kept_and_so_is_the_stop():
    async def call():
        try:
            await sleep_forever()
        finally:
            raise ConnectionError("while it cleaned up")

    done = await attempt(call, CancelScope(deadline=current_time() + 30))

    assert isinstance(done.error, ConnectionError)
    assert done.stopped


async def test_a_call_that_answers_although_it_was_stopped_has_answered():
    async def call():
        try:
            await sleep_forever()
        except get_cancelled_exc_class():
            return "just in time"

    done = await attempt(call, CancelScope(deadline=current_time() + 30))

    assert (done.result, done.error, done.stopped) == ("just in time", None, False)


async def test_a_cancellation_that_nobody_asked_for_comes_back_as_its_error():
    leaked = await leaked_cancellation()

    async def call():
        raise leaked

    done = await attempt(call, CancelScope())

    assert (done.error, done.stopped, done.must_stop) == (leaked, False, True)


async def test_after_a_cancellation_that_nobody_asked_for_the_task_goes_on():
    leaked = await leaked_cancellation()

    async def call():
        raise leaked

    with CancelScope() as around:
        await attempt(call, CancelScope())
        await anyio.lowlevel.checkpoint()

    assert not around.cancelled_caught


async def test_a_cancellation_of_the_caller_goes_through():
    returned = []
    with CancelScope() as around:
        async with create_task_group() as tasks:
            tasks.start_soon(cancel_later, around)
            returned.append(await attempt(sleep_forever, CancelScope()))

    assert around.cancelled_caught
    assert returned == []


async def test_a_cancellation_of_the_caller_goes_through_a_call_that_is_stopped_too():
    returned = []
    stopped = CancelScope()
    with CancelScope() as around:
        async with create_task_group() as tasks:
            tasks.start_soon(cancel_later, stopped)
            tasks.start_soon(cancel_later, around)
            returned.append(await attempt(sleep_forever, stopped))

    assert around.cancelled_caught
    assert returned == []


async def test_a_cancellation_of_the_caller_goes_through_a_call_with_tasks_of_its_own():
    async def call():
        async with create_task_group() as tasks:
            tasks.start_soon(sleep_forever)
            tasks.start_soon(sleep_forever)

    returned = []
    with CancelScope() as around:
        async with create_task_group() as tasks:
            tasks.start_soon(cancel_later, around)
            returned.append(await attempt(call, CancelScope()))

    assert around.cancelled_caught
    assert returned == []


async def cancel_later(scope):
    await sleep(1)
    scope.cancel()
