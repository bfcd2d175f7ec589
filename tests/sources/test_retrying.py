"""`RetryingSource`: retries only errors that may pass, a few times, and never after a cancellation."""

from __future__ import annotations

import math

import pytest
from anyio import create_task_group, current_time, sleep_forever
from anyio.lowlevel import checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backfill import BackfillCache, ConfigurationError, LoadError, LoadPolicy, LoadTimeoutError
from async_backfill.sources.retrying import RetryingSource
from tests.callers import CANCELLED, run, start

ROWS = {"a": 1, "b": None}


class Failing:
    """Raises each of ``errors`` in turn, then answers."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.calls = []

    async def load_many(self, keys):
        self.calls.append(tuple(keys))
        if self.errors:
            raise self.errors.pop(0)
        return {key: ROWS[key] for key in keys if key in ROWS}


def retrying(source, *, on=ConnectionError, **options):
    return RetryingSource(source, on=on, **({"jitter": 0.0} | options))


@pytest.mark.anyio
async def test_an_error_that_passes_is_not_seen():
    source = Failing(ConnectionError("one"), ConnectionResetError("two"))

    assert await retrying(source).load_many(["a", "b", "c"]) == ROWS
    assert source.calls == [("a", "b", "c")] * 3


@pytest.mark.anyio
async def test_what_works_at_once_is_asked_once():
    source = Failing()

    assert await retrying(source).load_many(["a"]) == {"a": 1}
    assert len(source.calls) == 1


@pytest.mark.anyio
async def test_an_error_that_is_not_named_is_raised_at_once():
    failure = ValueError("a bug")
    source = Failing(failure)
    with pytest.raises(ValueError, match="a bug") as raised:
        await retrying(source).load_many(["a"])

    assert raised.value is failure
    assert len(source.calls) == 1


@pytest.mark.anyio
async def test_any_of_several_named_errors_is_tried_again():
    source = Failing(KeyError(1), OSError(2))

    assert await retrying(source, on=(LookupError, OSError)).load_many(["a"]) == {"a": 1}


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@settings(deadline=None, max_examples=20)
@given(attempts=st.integers(2, 6), failures=st.integers(0, 8))
def test_it_is_asked_as_often_as_allowed_and_the_last_error_is_raised_as_it_is(backend, attempts, failures):
    errors = [ConnectionError(number) for number in range(failures)]
    source = Failing(*errors)

    async def main():
        return await retrying(source, attempts=attempts).load_many(["a"])

    if failures < attempts:
        assert run(main, backend) == {"a": 1}
        assert len(source.calls) == failures + 1
    else:
        with pytest.raises(ConnectionError) as raised:
            run(main, backend)
        assert raised.value is errors[attempts - 1]
        assert len(source.calls) == attempts


@pytest.mark.anyio
async def test_it_waits_twice_as_long_each_time_up_to_the_most():
    source = retrying(Failing(*[OSError()] * 5), on=OSError, attempts=6, wait_initial=1.0, wait_max=4.0)
    before = current_time()
    await source.load_many(["a"])

    assert current_time() - before == pytest.approx(1 + 2 + 4 + 4 + 4)


@pytest.mark.anyio
async def test_it_can_be_cancelled_while_it_waits():
    source = Failing(*[OSError()] * 5)
    async with create_task_group() as tasks:
        before = current_time()
        caller = start(tasks, retrying(source, on=OSError, wait_initial=100, wait_max=100).load_many, ["a"])
        while not source.calls:
            await checkpoint()
        caller.cancel()

    assert caller.outcome == CANCELLED
    assert current_time() - before < 1
    assert len(source.calls) == 1


@pytest.mark.anyio
async def test_a_cancellation_is_never_retried():
    class Hanging(Failing):
        async def load_many(self, keys):
            self.calls.append(keys)
            await sleep_forever()

    source = Hanging()
    load = LoadPolicy(timeout=5)
    async with BackfillCache(retrying(source, on=Exception), load=load) as cache:
        with pytest.raises(LoadTimeoutError):
            await cache.get("a")

    assert len(source.calls) == 1


@pytest.mark.anyio
async def test_all_attempts_are_one_call_of_the_cache_under_its_one_timeout():
    source = Failing(*[OSError("down")] * 100)
    patient = retrying(source, on=OSError, attempts=50, wait_initial=1, wait_max=1)
    async with BackfillCache(patient, load=LoadPolicy(timeout=4.5)) as cache:
        before = current_time()
        with pytest.raises(LoadTimeoutError):
            await cache.get("a")

        assert current_time() - before == pytest.approx(4.5)
        assert (len(source.calls), cache.stats.source_calls) == (5, 1)


@pytest.mark.anyio
async def test_the_cause_that_callers_see_is_the_last_error():
    errors = [OSError("first"), OSError("second")]
    async with BackfillCache(retrying(Failing(*errors), on=OSError, attempts=2)) as cache:
        with pytest.raises(LoadError) as failed:
            await cache.get("a")

    assert failed.value.__cause__ is errors[1]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *(("attempts", value) for value in (1, 0, -1, 2.0, True, "3", None, math.inf)),
        *(("wait_initial", value) for value in (0, 0.0, -1, math.nan, math.inf, True, "1", None)),
        *(("wait_max", value) for value in (0, 0.0, -1, math.nan, math.inf, True, "1", None)),
        *(("jitter", value) for value in (-0.1, math.nan, math.inf, True, "1", None)),
        *(("on", value) for value in ((), None, "OSError", BaseException, KeyboardInterrupt, OSError(), 5)),
        ("on", (OSError, BaseException)),
        ("on", [OSError]),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_by_name(setting, value):
    with pytest.raises(ConfigurationError) as refused:
        RetryingSource(Failing(), **({"on": OSError} | {setting: value}))

    assert refused.value.setting == setting
