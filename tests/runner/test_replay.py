from __future__ import annotations

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backfill import BackfillCache, BackfillPolicy, LoadPolicy, MappingSource, SimulatedSource
from async_backfill._runner.replay.lookups import LookupFailure, replay
from async_backfill.outcomes import ABSENT

pytestmark = pytest.mark.asyncio

ROWS = {"a": 1, "b": None, "c": [3]}


def silent(done: int, total: int) -> None:
    """Show nothing."""


class CountingSource(MappingSource):
    """Knows how many keys were being loaded at once."""

    def __init__(self, rows) -> None:
        super().__init__(rows)
        self.most = 0
        self._now = 0

    async def load_many(self, keys, /):
        self._now += len(keys)
        self.most = max(self.most, self._now)
        await checkpoint()
        await checkpoint()
        self._now -= len(keys)
        return await super().load_many(keys)


@pytest.mark.parametrize("concurrency", [1, 2, 100])
async def test_each_lookup_has_its_outcome_in_the_order_of_the_lookups(concurrency):
    async with BackfillCache(MappingSource(ROWS)) as cache:
        lookups = ["c", "x", "b", "a", "c", "x"]
        outcomes = await replay(cache, lookups, concurrency=concurrency, keep=True, progress=silent)
        assert outcomes == [[3], ABSENT, None, 1, [3], ABSENT]
        assert cache.stats.lookups == 6


async def test_nothing_is_kept_unless_asked_for():
    async with BackfillCache(MappingSource(ROWS)) as cache:
        assert await replay(cache, ["a", "x"], concurrency=1, keep=False, progress=silent) == []
        assert cache.stats.lookups == 2


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_a_replay_without_lookups_ends_at_once(concurrency):
    async with BackfillCache(MappingSource(ROWS)) as cache:
        assert await replay(cache, [], concurrency=concurrency, keep=True, progress=silent) == []
        assert cache.stats.lookups == 0


@pytest.mark.parametrize("concurrency", [1, 4])
async def test_a_source_that_fails_fails_its_lookup_and_no_other(concurrency):
    rows = {str(number): number for number in range(20)}
    source = SimulatedSource(rows, error_rate=0.5, seed=1)
    async with BackfillCache(source, load=LoadPolicy(max_batch=1)) as cache:
        outcomes = await replay(cache, list(rows), concurrency=concurrency, keep=True, progress=silent)
        failures = [outcome for outcome in outcomes if isinstance(outcome, LookupFailure)]
        assert 0 < len(failures) < 20
        assert len(failures) == cache.stats.failed == source.failures
        assert all("SimulatedError" in failure.error and failure.error.isprintable() for failure in failures)
        loaded = [outcome for outcome in outcomes if not isinstance(outcome, LookupFailure)]
        assert loaded == [number for number, key in enumerate(rows) if cache.peek(key) is not None]


@pytest.mark.parametrize("concurrency", [1, 3, 8])
async def test_so_many_lookups_are_in_flight_and_no_more(concurrency):
    source = CountingSource({str(number): number for number in range(100)})
    async with BackfillCache(source) as cache:
        await replay(cache, list(map(str, range(100))), concurrency=concurrency, keep=False, progress=silent)
    assert source.most == concurrency


async def test_backfills_in_the_background_have_ended_when_the_replay_ends():
    rows = {str(number): number for number in range(50)}
    source = CountingSource(rows)
    policy = BackfillPolicy(min_lookups=1)
    async with BackfillCache(source, scan=source, backfill_batch=50, backfill=policy) as cache:
        await replay(cache, ["0", "1"], concurrency=2, keep=False, progress=silent)
        assert cache.stats.size == 50
        assert cache.audit_log[-1].status == "completed"


@pytest.mark.parametrize("concurrency", [1, 7])
async def test_progress_is_shown_from_the_first_lookup_to_the_last(concurrency):
    shown = []
    async with BackfillCache(MappingSource(ROWS)) as cache:
        await replay(
            cache,
            ["a"] * 4500,
            concurrency=concurrency,
            keep=False,
            progress=lambda done, total: shown.append((done, total)),
        )
    assert shown == [(done, 4500) for done in range(0, 4501, 10)]


async def test_a_replay_of_nothing_but_hits_can_be_cancelled():
    shown = []
    with anyio.CancelScope() as scope:

        def cancel(done: int, _: int) -> None:
            shown.append(done)
            if done == 3900:
                scope.cancel()

        async with BackfillCache(MappingSource(ROWS)) as cache:
            await replay(cache, ["a"] * 100_000, concurrency=1, keep=False, progress=cancel)
    assert scope.cancelled_caught
    assert shown == list(range(0, 4001, 100))  # every 2,000 lookups others have a turn


@settings(max_examples=80, deadline=None)
@given(
    rows=st.dictionaries(st.sampled_from("abcdefgh"), st.integers() | st.none()),
    lookups=st.lists(st.sampled_from("abcdefghxyz"), max_size=40),
    concurrency=st.integers(1, 6),
    capacity=st.none() | st.integers(1, 4),
    evicts=st.booleans(),
    max_backfills=st.none() | st.integers(0, 2),
)
async def test_whatever_is_in_flight_each_lookup_tells_the_truth(
    rows, lookups, concurrency, capacity, evicts, max_backfills
):
    source = CountingSource(rows)
    async with BackfillCache(
        source,
        scan=source,
        capacity=capacity,
        backfill_batch=2,
        max_backfills=max_backfills,
        backfill=BackfillPolicy(min_lookups=1, evicts=evicts, inline=concurrency == 1),
    ) as cache:
        outcomes = await replay(cache, lookups, concurrency=concurrency, keep=True, progress=silent)
        stats = cache.stats
    assert outcomes == [rows.get(key, ABSENT) for key in lookups]
    assert stats.lookups == stats.hits + stats.misses == len(lookups)
    assert stats.misses == stats.led + stats.joined
    assert stats.absent == outcomes.count(ABSENT)
    assert stats.source_keys == stats.miss_keys + stats.backfill_keys >= stats.size + stats.evictions
    assert capacity is None or stats.size <= capacity
    assert max_backfills is None or stats.backfills <= max_backfills
    assert stats.in_flight == 0
