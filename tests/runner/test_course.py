"""What a course knows of a replay, beside an account made by hand and the figures of the cache."""

from __future__ import annotations

import anyio
import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from async_backfill._runner.replay.course import Course
from async_backfill._runner.replay.lookups import replay
from async_backfill._runner.scenario.build import make_cache
from async_backfill._runner.scenario.model import Settings
from async_backfill.sources.simulated import SimulatedSource

SETTINGS = st.builds(
    Settings,
    miss_threshold=st.sampled_from([0.1, 0.5, 1.0]),
    backfill_batch=st.sampled_from([1, 3]),
    max_backfills=st.sampled_from([None, 2]),
    capacity=st.sampled_from([None, 1, 3, 6]),
    backfill_evicts=st.booleans(),
    eviction=st.sampled_from(["fifo", "lru", "s3-fifo"]),
    concurrency=st.sampled_from([1, 4]),
    successors=st.sampled_from([0, 2]),
    flush_at=st.sampled_from([None, 7]),
    absent_ttl=st.sampled_from([None, 2.0]),
    ttl=st.sampled_from([None, 0.5]),
)
KEYS = st.lists(st.sampled_from("abcdefghx"), min_size=1, max_size=40)


async def followed(lookups, settings, arrivals=None, **source):
    told = SimulatedSource(dict.fromkeys("abcdefgh", 1), **source)
    course = Course(len(lookups), expires=settings.ttl is not None)
    async with make_cache(told, settings, observers=[course], clock=anyio.current_time) as cache:
        course.starts(cache)
        await replay(
            cache,
            lookups,
            concurrency=settings.concurrency,
            keep=False,
            flush_at=settings.flush_at,
            progress=lambda *_: None,
            arrivals=arrivals,
            watch=course,
        )
        course.finishes()
        held = sum(cache.freshness_of(key) is not None for key in "abcdefgh")
        assert sum(map(waiting, (*course.receipts.values(), course.successors))) <= held
        return course, cache.stats


def waiting(receipt) -> int:
    """Return how many keys of ``receipt`` the page shows as not read yet."""
    return receipt.loaded - receipt.read - receipt.left


@hypothesis_settings(max_examples=60, deadline=None)
@given(
    lookups=KEYS, settings=SETTINGS, stale_for=st.sampled_from([0.0, 5.0]), errors=st.sampled_from([0, 0.3])
)
@pytest.mark.anyio
async def test_a_course_agrees_with_the_figures_of_the_cache(lookups, settings, stale_for, errors):
    if settings.ttl is not None:
        settings = msgspec.structs.replace(settings, stale_for=stale_for)
    course, stats = await followed(lookups, settings, latency=0.1, error_rate=errors)

    assert sum(course.causes.values()) == sum(course.missed.values()) == stats.misses
    assert course.causes["absent"] == stats.absent
    assert course.causes["failed"] == stats.failed
    assert sum(calls.calls for calls in course.calls.values()) == stats.source_calls
    assert sum(calls.delivered for calls in course.calls.values()) == stats.source_keys
    loaded = sum(receipt.loaded for receipt in course.receipts.values())
    assert loaded + course.successors.loaded == stats.backfill_keys
    assert len(course.receipts) == stats.backfills
    for receipt in (*course.receipts.values(), course.successors):
        assert 0 <= waiting(receipt) <= receipt.loaded
    last = course.points[-1]
    assert (last.lookups, last.hits, last.backfills) == (stats.lookups, stats.hits, stats.backfills)
    assert [point.lookups for point in course.points] == sorted({point.lookups for point in course.points})


@pytest.mark.anyio
async def test_each_miss_has_the_cause_that_an_account_by_hand_gives_it():
    settings = Settings(capacity=2, max_backfills=0, flush_at=7)
    course, _ = await followed([*"abca", "x", "a", "c"], settings)

    # a b c are cold, c pushes a out; x is absent; a hits; the flush makes c cold again.
    assert course.causes == {"cold": 4, "evicted": 1, "absent": 1}
    assert course.missed["a"] == 2


@pytest.mark.anyio
async def test_a_key_that_its_own_load_pushed_out_was_evicted():
    settings = Settings(capacity=4, max_backfills=0, successors=2)
    course, _ = await followed([*"abcabdaxefgh" * 3], settings)

    assert set(course.causes) == {"cold", "evicted", "absent"}


@pytest.mark.anyio
async def test_a_receipt_says_how_many_keys_of_a_backfill_were_read():
    settings = Settings(min_lookups=1, miss_threshold=0.01, backfill_batch=3, max_backfills=1, capacity=4)
    course, _ = await followed([*"habefg"], settings)

    (receipt,) = course.receipts.values()
    # h loads a b c; a and b are read; e, f and g push a, b and c out.
    assert (receipt.lookup, receipt.loaded, receipt.read, receipt.left) == (1, 3, 2, 1)


EXPIRING = Settings(min_lookups=1, miss_threshold=0.01, backfill_batch=3, ttl=1.0)


@pytest.mark.anyio
async def test_a_key_that_expired_and_was_backfilled_again_left_unread_before():
    course, _ = await followed([*"hh"], EXPIRING, [0.0, 5.0])

    # h loads a b c each time; the second time they are in the cache, and nobody has read them yet.
    first, second = course.receipts.values()
    assert (first.loaded, first.read, first.left) == (3, 0, 3)
    assert (second.loaded, second.read, second.left) == (3, 0, 0)


@pytest.mark.anyio
async def test_keys_that_have_expired_at_the_end_left_unread():
    settings = msgspec.structs.replace(EXPIRING, max_backfills=1)
    course, _ = await followed([*"haha"], settings, [0.0, 0.5, 5.0, 5.0])

    (receipt,) = course.receipts.values()
    assert (receipt.loaded, receipt.read, receipt.left) == (3, 1, 2)


@pytest.mark.anyio
async def test_what_is_served_stale_is_no_miss_and_read():
    settings = msgspec.structs.replace(EXPIRING, max_backfills=1, stale_for=100.0)
    course, stats = await followed([*"haah"], settings, [0.0, 5.0, 10.0, 15.0])

    (receipt,) = course.receipts.values()
    assert (receipt.loaded, receipt.read, receipt.left) == (3, 1, 0)  # b and c may still be served
    assert (stats.stale, course.missed, course.causes) == (3, {"h": 1}, {"cold": 1})


@pytest.mark.anyio
async def test_a_long_replay_has_at_most_some_two_hundred_points():
    course, _ = await followed([*"abcd"] * 1001, Settings())
    assert 100 < len(course.points) <= 202


@pytest.mark.anyio
async def test_a_replay_without_lookups_has_a_course():
    course, _ = await followed([], Settings())
    assert [point.lookups for point in course.points] == [0]
