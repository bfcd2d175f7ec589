"""`RetryingSource`: retries only errors that may pass, a few times, and never after a cancellation."""

from __future__ import annotations

import math

import pytest
import stamina
from anyio import create_task_group, current_time, sleep_forever
from anyio.lowlevel import checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backfill import (
    BackfillCache,
    ConfigurationError,
    Failed,
    LoadError,
    LoadPolicy,
    LoadTimeoutError,
    each,
)
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


class ByKey:
    """Answers with the next of the ``outcomes`` of each key; raises one that stands for the whole call."""

    def __init__(self, *calls):
        self.answers = list(calls)
        self.calls = []

    async def load_many(self, keys):
        self.calls.append(tuple(keys))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


GONE, BUG = ConnectionError("gone"), ValueError("a bug")


@pytest.mark.anyio
async def test_keys_that_failed_by_themselves_are_asked_for_again_alone():
    first = {"a": 1, "b": Failed(GONE), "c": Failed(BUG), "d": Failed(GONE)}
    source = ByKey(first, {"b": Failed(GONE)}, {"b": 2})

    answers = await retrying(source).load_many(["a", "b", "c", "d"])
    assert answers == {"a": 1, "b": 2, "c": Failed(BUG)}
    assert source.calls == [("a", "b", "c", "d"), ("b", "d"), ("b",)]


@pytest.mark.anyio
async def test_a_key_that_keeps_failing_is_asked_for_as_often_as_allowed():
    source = ByKey(*[{"a": Failed(GONE)}] * 9)

    assert await retrying(source).load_many(["a"]) == {"a": Failed(GONE)}
    assert source.calls == [("a",)] * 3


@pytest.mark.anyio
async def test_what_was_found_is_kept_when_the_next_attempts_raise():
    for error, calls in ((BUG, 2), (GONE, 3)):
        source = ByKey({"a": 1, "b": Failed(GONE)}, error, error)

        assert await retrying(source).load_many(["a", "b", "c"]) == {"a": 1, "b": Failed(error)}
        assert len(source.calls) == calls


@pytest.mark.anyio
async def test_the_error_is_raised_when_nothing_was_found_before():
    source = ByKey({"a": Failed(ConnectionError("one"))}, GONE, GONE)
    with pytest.raises(ConnectionError) as raised:
        await retrying(source).load_many(["a"])

    assert raised.value is GONE


@pytest.mark.anyio
async def test_where_retries_are_switched_off_what_was_found_is_kept():
    with stamina.set_testing(True, attempts=1):
        source = ByKey({"a": 1, "b": Failed(GONE)})
        assert await retrying(source).load_many(["a", "b"]) == {"a": 1, "b": Failed(GONE)}
    assert len(source.calls) == 1


@pytest.mark.anyio
async def test_a_function_of_one_key_is_called_again():
    asked = []

    async def load(key):
        asked.append(key)
        if len(asked) < 3:
            raise GONE
        return key

    async with BackfillCache(retrying(each(load), on=ConnectionError)) as cache:
        assert await cache.get("a") == "a"
        assert (asked, cache.stats.source_calls) == (["a"] * 3, 1)


@pytest.mark.anyio
async def test_an_answer_that_is_no_mapping_is_for_the_cache_to_refuse():
    async with BackfillCache(retrying(ByKey([1]))) as cache:
        with pytest.raises(LoadError, match="must return a mapping, not list"):
            await cache.get("a")


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
