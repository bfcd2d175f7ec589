"""An error of a cached function reaches its callers as itself; those of the cache stay what they are."""

from __future__ import annotations

import gc
import traceback
from contextlib import suppress
from weakref import ref

import pytest
from anyio import Event, create_task_group, sleep

from async_backfill import (
    CacheClosedError,
    CircuitOpenError,
    CircuitPolicy,
    LoadCycleError,
    LoadError,
    LoadPolicy,
    LoadTimeoutError,
    StoreError,
    cached,
)
from tests.callers import FOR_EVER, leaked_cancellation

pytestmark = pytest.mark.anyio


class HTTPError(Exception):
    """Made with keywords only, as those of web frameworks: ``type(error)(*error.args)`` would fail."""

    def __init__(self, *, status):
        super().__init__()
        self.status = status


class SlottedError(Exception):
    """A part of it is not in its ``__dict__``."""

    __slots__ = ("status",)

    def __init__(self, status):
        super().__init__("status", status)
        self.status = status


class OwnNameError(NameError):
    """It has the field of its base, and room for weak references."""


class ChattyError(Exception):
    """Whoever copies it by calling something is noticed."""

    def __init__(self, status):
        self.status = status

    def __copy__(self):
        raise AssertionError("nobody asked for it")

    def __reduce__(self):
        raise AssertionError("nobody asked for it")


def failing(make, **settings):
    """Return a cached function that takes a turn and raises what ``make`` returns."""

    @cached(**settings)
    async def fail(key):
        await sleep(1)
        raise make(key)

    return fail


async def raised_by(call, *args):
    """Return what a call raises."""
    try:
        await call(*args)
    except Exception as error:  # noqa: BLE001 - to look at it
        return error
    raise AssertionError("nothing was raised")


async def all_raised_by(number, call, *args):
    """Return what as many calls at once raise."""
    raised = []

    async def one():
        raised.append(await raised_by(call, *args))

    async with create_task_group() as tasks:
        for _ in range(number):
            tasks.start_soon(one)
    return raised


MAKERS = [
    lambda key: HTTPError(status=key),
    SlottedError,
    ChattyError,
    lambda key: ValueError("no", key),
    lambda key: NameError("no such name", name=key),
    lambda key: OwnNameError("no such name", name=key),
    lambda key: OSError(key, "refused"),
    lambda key: UnicodeDecodeError("utf-8", b"\xff", 0, 1, str(key)),
    lambda key: ExceptionGroup("two", [ValueError(key), KeyError(key)]),
]


@pytest.mark.parametrize("make", MAKERS)
async def test_each_waiter_gets_the_error_with_all_that_is_in_it(make):
    fail = failing(make)
    async with fail.cache as cache:
        raised = await all_raised_by(10, fail, 404)
        assert cache.stats.source_calls == 1

    expected = make(404)
    for error in (raised[0], raised[-1]):
        assert type(error) is type(expected)
        assert repr(error.args) == repr(expected.args)
        assert vars(error) == vars(expected)
        assert str(error) == str(expected)
    for name in ("status", "name"):
        assert getattr(raised[-1], name, 404) == 404


@pytest.mark.parametrize("make", [MAKERS[0], MAKERS[-3]])
async def test_the_traceback_of_the_last_of_a_thousand_waiters_is_short(make):
    fail = failing(make)
    async with fail.cache:
        raised = await all_raised_by(1000, fail, 404)

    for error in (raised[0], raised[-1]):
        frames = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
        assert (frames[0], frames[-1]) == ("raised_by", "fail")
        assert len(frames) <= 4
        assert "LoadError" not in "".join(traceback.format_exception(error))


async def test_a_waiter_does_not_see_the_frames_or_the_notes_of_another():
    fail = failing(lambda key: HTTPError(status=key))

    async def first():
        return await raised_by(fail, 404)

    async def second():
        return await raised_by(fail, 404)

    raised = []

    async def keep(call):
        raised.append(await call())

    async with fail.cache, create_task_group() as tasks:
        tasks.start_soon(keep, first)
        tasks.start_soon(keep, second)

    one, other = raised
    one.add_note("of one")
    assert one is not other
    assert not hasattr(other, "__notes__")
    assert one.__traceback__ is not other.__traceback__


async def test_notes_that_the_function_gave_are_in_each_copy_and_not_shared():
    def noted(_):
        error = ValueError("no")
        error.add_note("of the function")
        return error

    fail = failing(noted)
    async with fail.cache:
        one, other = await all_raised_by(2, fail, 1)
    one.add_note("of a caller")

    assert one.__notes__ == ["of the function", "of a caller"]
    assert other.__notes__ == ["of the function"]


async def test_what_the_error_was_raised_from_is_kept():
    @cached
    async def price(item):
        try:
            return {}[item]
        except KeyError as error:
            if item == "tea":
                raise HTTPError(status=404) from error
            if item == "milk":
                raise HTTPError(status=404) from None
            raise HTTPError(status=404)  # noqa: B904 - its context is looked at

    async with price.cache:
        tea, milk, salt = [await raised_by(price, item) for item in ("tea", "milk", "salt")]

    assert isinstance(tea.__cause__, KeyError)
    assert (milk.__cause__, milk.__suppress_context__) == (None, True)
    assert (salt.__cause__, salt.__suppress_context__, type(salt.__context__)) == (None, False, KeyError)


async def test_an_error_of_one_argument_reaches_no_caller_of_another():
    @cached
    async def half(number):
        await sleep(1)
        if number % 2:
            raise HTTPError(status=number)
        return number // 2

    raised, told = {}, {}

    async def one(number):
        try:
            told[number] = await half(number)
        except HTTPError as error:
            raised[number] = error.status

    async with half.cache, create_task_group() as tasks:
        for number in range(200):
            tasks.start_soon(one, number % 100)

    assert raised == {number: number for number in range(1, 100, 2)}
    assert told == {number: number // 2 for number in range(0, 100, 2)}


@pytest.mark.parametrize("make", [MAKERS[0], MAKERS[1]])
async def test_an_error_that_was_handled_keeps_nothing_alive(make):
    class Local:
        pass

    fail = failing(make)
    gone = []

    async def call():
        local = Local()
        gone.append(ref(local))
        with suppress(HTTPError, SlottedError):
            await fail(404)
        del local

    gc.collect()
    gc.disable()
    try:
        async with fail.cache:
            await call()
            await call()
            assert [one() for one in gone] == [None, None]
    finally:
        gc.enable()


async def test_an_error_of_a_nested_cached_function_is_itself_outside():
    @cached
    async def inner(key):
        raise HTTPError(status=key)

    @cached
    async def outer(key):
        return await inner(key)

    async with inner.cache, outer.cache:
        raised = await all_raised_by(10, outer, 404)

    assert [error.status for error in raised] == [404] * 10
    assert "fail" not in [frame.name for frame in traceback.extract_tb(raised[-1].__traceback__)]
    assert len(traceback.extract_tb(raised[-1].__traceback__)) <= 7


async def test_errors_of_another_cache_that_the_function_uses_are_itself_too():
    fail = failing(lambda _: StoreError("the far tier of another cache"))
    async with fail.cache:
        assert type(await raised_by(fail, 1)) is StoreError


async def test_a_timeout_a_cycle_and_an_open_circuit_stay_ours():
    @cached(load=LoadPolicy(timeout=1))
    async def slow(_):
        await sleep(FOR_EVER)

    @cached
    async def circle(key):
        return await circle(key)

    broken = failing(
        lambda _: ValueError("no"),
        load=LoadPolicy(circuit=CircuitPolicy(failures=1)),
    )
    async with slow.cache, circle.cache, broken.cache:
        late = await raised_by(slow, "tea")
        assert type(late) is LoadTimeoutError
        assert "loading 'tea'" in str(late)
        assert type(await raised_by(circle, 1)) is LoadCycleError
        assert type(await raised_by(broken, 1)) is ValueError
        assert type(await raised_by(broken, 1)) is CircuitOpenError


async def test_a_cancellation_that_the_function_made_up_cancels_nobody():
    leaked = await leaked_cancellation()

    @cached
    async def odd(_):
        raise leaked

    async with odd.cache:
        assert type(await raised_by(odd, 1)) is LoadError


async def test_closing_stays_ours():
    begun, raised = Event(), []

    @cached
    async def slow(_):
        begun.set()
        await sleep(FOR_EVER)

    async def call():
        raised.append(await raised_by(slow, 1))

    async with create_task_group() as tasks, slow.cache:
        tasks.start_soon(call)
        await begun.wait()

    assert type(raised[0]) is CacheClosedError
    assert "before the load ended" in str(raised[0])


async def test_the_cache_itself_still_raises_a_load_error_from_it():
    fail = failing(lambda key: HTTPError(status=key))
    async with fail.cache as cache:
        error = await raised_by(cache.get, 404)

    assert type(error) is LoadError
    assert error.__cause__.status == 404
