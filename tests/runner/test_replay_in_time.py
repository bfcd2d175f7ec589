"""A replay with arrival times, on each backend in virtual time."""

from __future__ import annotations

import pytest
from anyio import current_time, sleep

from async_backfill import BackfillCache, LoadPolicy, MappingSource, SimulatedSource
from async_backfill._runner.replay.lookups import replay

pytestmark = pytest.mark.anyio


class DiarySource(MappingSource):
    """Takes ``latency`` seconds, and writes down when which keys were asked for."""

    def __init__(self, rows, *, latency: float = 0.0) -> None:
        super().__init__(rows)
        self.began = current_time()
        self.diary = []
        self._latency = latency

    async def load_many(self, keys, /):
        self.diary.extend((key, round(current_time() - self.began, 3)) for key in keys)
        await sleep(self._latency)
        return await super().load_many(keys)


async def replayed(cache, lookups: str, arrivals=None, *, concurrency: int = 10) -> list[float]:
    """Replay and return the seconds that each lookup took, in the order in which they ended."""
    latencies = []
    async with cache:
        await replay(
            cache,
            lookups,
            concurrency=concurrency,
            keep=False,
            progress=lambda *_: None,
            arrivals=arrivals,
            took=lambda seconds: latencies.append(round(seconds, 3)),
        )
    return latencies


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_each_lookup_begins_at_its_moment(concurrency):
    source = DiarySource(dict.fromkeys("abcd"))
    await replayed(BackfillCache(source), "abcd", [0.5, 2.0, 2.25, 3600.0], concurrency=concurrency)
    assert source.diary == [("a", 0.5), ("b", 2.0), ("c", 2.25), ("d", 3600.0)]


async def test_a_lookup_does_not_wait_for_the_one_before():
    source = DiarySource(dict.fromkeys("ab"), latency=10.0)
    assert await replayed(BackfillCache(source), "ab", [1.0, 2.0]) == [10.0, 10.0]
    assert source.diary == [("a", 1.0), ("b", 2.0)]


async def test_at_most_the_concurrency_is_in_flight_and_the_wait_for_it_is_latency():
    source = DiarySource(dict.fromkeys("abc"), latency=10.0)
    latencies = await replayed(BackfillCache(source), "abc", [1.0, 2.0, 3.0], concurrency=2)
    assert source.diary == [("a", 1.0), ("b", 2.0), ("c", 11.0)]
    assert latencies == [10.0, 10.0, 18.0]


async def test_a_hit_takes_no_time_and_a_failure_the_time_of_its_call():
    source = SimulatedSource({"a": 1}, latency=0.25)
    assert await replayed(BackfillCache(source), "aa", [1.0, 2.0]) == [0.25, 0.0]
    source = SimulatedSource({"a": 1}, latency=0.25, error_rate=1.0)
    assert await replayed(BackfillCache(source, load=LoadPolicy(max_batch=1)), "aa", [1.0, 2.0]) == [0.25] * 2


async def test_without_moments_the_next_lookup_begins_when_one_has_ended():
    source = DiarySource(dict.fromkeys("abc"), latency=2.0)
    assert await replayed(BackfillCache(source), "abc", concurrency=1) == [2.0, 2.0, 2.0]
    assert source.diary == [("a", 0.0), ("b", 2.0), ("c", 4.0)]


async def test_the_cache_is_emptied_at_the_moment_of_its_lookup():
    source = DiarySource({"a": 1})
    async with BackfillCache(source) as cache:
        await replay(
            cache,
            "aaa",
            concurrency=1,
            keep=False,
            flush_at=3,
            progress=lambda *_: None,
            arrivals=[1.0, 2.0, 3.0],
        )
    assert source.diary == [("a", 1.0), ("a", 3.0)]
