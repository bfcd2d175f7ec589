"""`SimulatedSource`: the given latency and error rate, repeatable from the seed."""

from __future__ import annotations

import math

import pytest
from anyio import create_task_group, current_time
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backfill import BackfillCache, ConfigurationError, LoadError, LoadPolicy, SimulatedSource
from async_backfill.sources.simulated import SimulatedError
from async_backfill.testing import ManualClock
from tests.callers import outcomes

pytestmark = pytest.mark.anyio

ROWS = {key: key.upper() for key in "abcdefgh"}


async def calls_of(count, **options):
    """Return how long each of ``count`` calls took, and whether it failed."""
    clock = ManualClock()
    source = SimulatedSource(ROWS, sleep=clock.sleep, **options)
    calls = []
    for _ in range(count):
        began, failed = clock(), False
        try:
            await source.load_many(("a",))
        except SimulatedError:
            failed = True
        calls.append((clock() - began, failed))
    return calls


async def test_it_answers_with_what_the_mapping_has():
    assert await SimulatedSource({"a": 1, "n": None}).load_many(("a", "n", "gone")) == {"a": 1, "n": None}


async def test_a_call_takes_its_latency_and_that_of_each_of_its_keys():
    source = SimulatedSource(ROWS, latency=2.0, key_latency=0.5)
    began = current_time()
    await source.load_many(("a", "b", "gone"))

    assert current_time() - began == pytest.approx(3.5)


async def test_calls_at_the_same_time_wait_at_the_same_time():
    source = SimulatedSource(ROWS, latency=1.0)
    began = current_time()
    async with create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(source.load_many, ("a",))

    assert current_time() - began == pytest.approx(1.0)


async def test_a_source_without_latency_does_not_wait_at_all():
    async def refuse(duration):
        pytest.fail(f"waited {duration}")

    source = SimulatedSource(ROWS, sleep=refuse)

    assert await source.load_many(("a",)) == {"a": "A"}
    assert len((await source.scan(None, 3)).keys) == 3


async def test_a_page_of_a_scan_takes_the_latency_of_a_call_whatever_its_size():
    clock = ManualClock()
    source = SimulatedSource(ROWS, latency=2.0, key_latency=100.0, error_rate=1.0, sleep=clock.sleep)
    first = await source.scan(None, 5)
    second = await source.scan(first.cursor, 5)

    assert [*first.keys, *second.keys] == list(ROWS)
    assert second.cursor is None
    assert clock() == 4.0


async def test_jitter_is_added_between_nothing_and_its_whole():
    times = [duration for duration, _ in await calls_of(500, latency=1.0, jitter=0.5)]

    assert all(1.0 <= duration <= 1.5 + 1e-9 for duration in times)
    assert min(times) < 1.05
    assert max(times) > 1.45


@settings(deadline=None)
@given(seed=st.integers(0, 2**32), error_rate=st.floats(0, 1))
async def test_the_same_seed_is_the_same_story(seed, error_rate):
    story = {"seed": seed, "error_rate": error_rate, "latency": 1.0, "jitter": 1.0}

    assert await calls_of(20, **story) == await calls_of(20, **story)


async def test_another_seed_is_another_story():
    stories = [await calls_of(30, seed=seed, error_rate=0.5, jitter=1.0) for seed in range(5)]

    assert all(one != other for place, one in enumerate(stories) for other in stories[:place])


async def test_switching_one_of_jitter_and_errors_off_leaves_the_other_as_it_was():
    both = await calls_of(50, seed=7, error_rate=0.4, jitter=1.0)
    no_jitter = await calls_of(50, seed=7, error_rate=0.4)
    no_errors = await calls_of(50, seed=7, jitter=1.0)

    assert [failed for _, failed in both] == [failed for _, failed in no_jitter]
    assert [duration for duration, _ in both] == [duration for duration, _ in no_errors]


async def test_whether_a_call_fails_says_nothing_about_how_long_it_takes():
    calls = await calls_of(400, error_rate=0.5, jitter=1.0)
    failed = [duration for duration, failed in calls if failed]
    answered = [duration for duration, failed in calls if not failed]

    assert abs(sum(failed) / len(failed) - sum(answered) / len(answered)) < 0.1


async def test_calls_fail_as_often_as_they_are_told_to():
    assert sum(failed for _, failed in await calls_of(2000, error_rate=0.25)) == pytest.approx(500, abs=100)
    assert sum(failed for _, failed in await calls_of(200, error_rate=0.0)) == 0
    assert sum(failed for _, failed in await calls_of(200, error_rate=1.0)) == 200


async def test_a_failure_takes_as_long_as_an_answer():
    assert await calls_of(1, latency=2.0, error_rate=1.0) == [(2.0, True)]


async def test_a_failure_is_a_connection_error_that_counts_itself():
    source = SimulatedSource(ROWS, error_rate=1.0)
    for number in (1, 2):
        with pytest.raises(ConnectionError, match=f"failure {number} of call {number}"):
            await source.load_many(("a",))


async def test_it_counts_its_calls_its_keys_and_its_failures():
    source = SimulatedSource(ROWS, error_rate=0.5, seed=1)
    failures = 0
    for _ in range(10):
        try:
            await source.load_many(("a", "gone"))
        except SimulatedError:
            failures += 1
    await source.scan(None, 3)

    assert (source.calls, source.keys, source.failures) == (10, 20, failures)
    assert 0 < failures < 10
    assert len(source) == 8


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *(
            (name, value)
            for name in ("latency", "key_latency", "jitter")
            for value in (-1, math.inf, math.nan)
        ),
        *((name, value) for name in ("latency", "key_latency", "jitter") for value in (True, "1", None)),
        *(("error_rate", value) for value in (-0.01, 1.01, math.nan, True, "0.5", None)),
        *(("seed", value) for value in (-1, 1.0, True, "1", None)),
    ],
)
def test_a_setting_outside_its_limits_is_refused_by_name(setting, value):
    with pytest.raises(ConfigurationError) as refused:
        SimulatedSource(ROWS, **{setting: value})

    assert refused.value.setting == setting


async def test_a_cache_in_front_of_it_fails_and_times_out_like_in_front_of_a_real_one():
    source = SimulatedSource(ROWS, latency=5.0)
    async with BackfillCache(source, load=LoadPolicy(timeout=4.0)) as cache:
        began = current_time()
        ended = await outcomes(cache.get, *((key,) for key in ROWS))

        assert all(isinstance(outcome, LoadError) for outcome in ended)
        assert current_time() - began == pytest.approx(4.0)
        assert source.calls == 1
