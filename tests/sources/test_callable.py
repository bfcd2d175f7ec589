"""A function for one key as a source: bounded concurrency, and each key fails alone."""

from __future__ import annotations

import pytest
from anyio import create_task_group, current_time, sleep, wait_all_tasks_blocked
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backfill import BackfillCache, ConfigurationError, Failed, KeyNotFoundError, LoadError, each
from tests.callers import leaked_cancellation, outcomes, run

pytestmark = pytest.mark.anyio


class Gauge:
    """A function that takes a second for each key, and how many of its calls ran at once at the most."""

    def __init__(self):
        self.running = 0
        self.most = 0
        self.keys = []

    async def __call__(self, key):
        self.keys.append(key)
        self.running += 1
        self.most = max(self.most, self.running)
        await sleep(1)
        self.running -= 1
        return key


@settings(deadline=None)
@given(count=st.integers(1, 30), concurrency=st.integers(1, 12))
async def test_so_many_calls_run_at_once_and_no_more_and_each_key_is_asked_for_once(count, concurrency):
    load = Gauge()
    began = current_time()
    answers = await each(load, concurrency=concurrency).load_many(tuple(range(count)))

    assert answers == {key: key for key in range(count)}
    assert sorted(load.keys) == list(range(count))
    assert load.most == min(count, concurrency)
    assert current_time() - began == pytest.approx(-(-count // concurrency))


async def test_a_hundred_calls_run_at_once_unless_told_otherwise():
    load = Gauge()
    await each(load).load_many(tuple(range(250)))

    assert load.most == 100


async def test_a_call_that_hangs_holds_up_its_own_place_only():
    async def load(key):
        await sleep(100 if key == 0 else 1)
        return key

    began = current_time()
    await each(load, concurrency=2).load_many(tuple(range(51)))

    assert current_time() - began == pytest.approx(100)


@pytest.mark.parametrize("keys", [("a",), ("a", "b", "c")])
async def test_what_is_returned_is_the_value_also_none(keys):
    async def load(key):
        return None if key == "a" else key

    assert await each(load).load_many(keys) == {key: None if key == "a" else key for key in keys}


@pytest.mark.parametrize("keys", [("a",), ("a", "b", "c")])
async def test_key_not_found_means_that_the_key_does_not_exist(keys):
    async def load(key):
        if key == "a":
            raise KeyNotFoundError("no such row")
        return key

    assert await each(load).load_many(keys) == {key: key for key in keys if key != "a"}


@pytest.mark.parametrize("keys", [("a",), ("a", "b", "c")])
@pytest.mark.parametrize("error", [ValueError("bad row"), KeyError("a"), TimeoutError(), LoadError("inner")])
async def test_any_other_error_fails_its_own_key_and_the_others_succeed(keys, error):
    async def load(key):
        await sleep(1)
        if key == "a":
            raise error
        return key

    answers = await each(load).load_many(keys)

    assert answers == {key: Failed(error) if key == "a" else key for key in keys}


async def test_a_function_that_is_not_async_fails_each_key_and_says_so():
    answers = await each(lambda key: key).load_many(("a", "b"))

    assert [type(answers[key].error) for key in "ab"] == [TypeError, TypeError]


@pytest.mark.parametrize("concurrency", [1, 10])
async def test_a_call_that_cancels_itself_fails_its_own_key_and_makes_no_other_key_absent(concurrency):
    leaked = await leaked_cancellation()

    async def load(key):
        await sleep(1)
        if key == 3:
            raise leaked
        return key

    async with BackfillCache(each(load, concurrency=concurrency)) as cache:
        ended = await outcomes(cache.get, *((key, "absent") for key in range(6)))

    assert [outcome for key, outcome in enumerate(ended) if key != 3] == [0, 1, 2, 4, 5]
    assert isinstance(ended[3], LoadError)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("keys", [("a",), ("a", "b")])
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_exception_that_ends_the_process_is_no_failure_of_a_key(backend, keys, error):
    async def load(key):
        await sleep(1 if key == "a" else 1000)
        raise error

    async def main():
        return await each(load).load_many(keys)

    with pytest.raises(BaseException) as raised:
        run(main, backend)

    assert raised.type is error or raised.group_contains(error)


async def test_cancelling_the_source_cancels_its_calls():
    load = Gauge()
    async with create_task_group() as tasks:
        tasks.start_soon(each(load, concurrency=10).load_many, tuple(range(20)))
        await wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()

    assert (len(load.keys), load.running) == (10, 10)


async def test_a_cache_sees_the_value_the_absence_and_the_failure_of_each_key():
    async def load(key):
        if key == "gone":
            raise KeyNotFoundError("no such row", key=key)
        if key == "bad":
            raise ValueError("bad row")
        return key.upper()

    async with BackfillCache(each(load)) as cache:
        good, gone, bad = await outcomes(cache.get, ("good",), ("gone", "absent"), ("bad",))

        assert (good, gone) == ("GOOD", "absent")
        assert isinstance(bad, LoadError)
        assert isinstance(bad.__cause__, ValueError)
        assert cache.stats.size == 1


@pytest.mark.parametrize("concurrency", [0, -1, True, 1.0, "1", None])
def test_a_concurrency_that_is_no_whole_number_of_one_or_more_is_refused(concurrency):
    with pytest.raises(ConfigurationError) as refused:
        each(Gauge(), concurrency=concurrency)

    assert refused.value.setting == "concurrency"
