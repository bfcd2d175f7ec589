"""What a backfill was good for, and what follows when it was good for nothing."""

from __future__ import annotations

import pytest

from async_backfill import BackfillCache, BackfillCause, BackfillPolicy, LoadPolicy, MappingSource, Status
from async_backfill.contracts import Heats
from async_backfill.outcomes import LoadCause

pytestmark = pytest.mark.anyio

ROWS = {f"k{number:03}": number for number in range(200)}


def cache_of(**settings):
    source = MappingSource(ROWS)
    policy = BackfillPolicy(probation=True, inline=True, min_lookups=1, window=20)
    return BackfillCache(
        source, scan=source, **{"capacity": 50, "backfill_batch": 10, "backfill": policy, **settings}
    )


def receipts(cache):
    return [
        (record.backfill, record.loaded, record.read, record.calls)
        for record in cache.audit_log
        if record.status is Status.RECEIPT
    ]


async def test_a_receipt_follows_when_every_key_was_read_or_left():
    async with cache_of(max_backfills=1) as cache:
        await cache.get("k100")
        for number in range(6):
            await cache.get(f"k{number:03}")
        await cache.clear()
        await cache.get("k100")

        assert receipts(cache) == [(1, 10, 6, 1)]


async def test_a_receipt_follows_at_the_latest_after_a_window_of_lookups():
    async with cache_of(max_backfills=1) as cache:
        await cache.get("k100")
        await cache.get("k003")
        for _ in range(30):
            await cache.get("k100")
        await cache.get("k101")

        assert receipts(cache) == [(1, 10, 1, 1)]


async def test_a_key_that_a_caller_waited_for_counts_as_read():
    async with cache_of(max_backfills=1) as cache:
        await cache.get("k003")
        await cache.clear()
        await cache.get("k100")

        assert receipts(cache) == [(1, 10, 1, 1)]


class Remembered:
    async def load(self):
        return Heats(keys=dict.fromkeys(list(ROWS)[:20], 5.0), hit_rate=0.9)

    async def save(self, _):
        pass


@pytest.mark.parametrize("rate", [None, 16.0], ids=["at once", "paced"])
@pytest.mark.parametrize("most", [1, 4, 10])
@pytest.mark.parametrize("journal", [None, Remembered()], ids=["forced", "recovery"])
async def test_a_receipt_counts_the_source_calls_of_its_backfill(journal, most, rate):
    selection = "source" if journal is None else "history"
    policy = BackfillPolicy(probation=True, inline=True, min_lookups=10_000, window=20, selection=selection)
    load = LoadPolicy(max_batch=most, concurrency=2)
    async with cache_of(backfill=policy, journal=journal, load=load) as cache:
        await cache.control.retune(rate=rate, by="ada", reason="the source is slow")
        if journal is None:
            await cache.force_backfill()
        for number in (100, *range(20), 150, *[100] * 40, 151):
            await cache.get(f"k{number:03}")
            await cache.settle()

        ended = [record for record in cache.audit_log if record.status is Status.RECEIPT]
        assert len(ended) == cache.stats.backfills > 0
        assert sum(record.calls for record in ended) == cache.stats.calls[LoadCause.BACKFILL]
        assert min(record.calls for record in ended) >= 10 // most


@pytest.mark.parametrize("cause", [cause for cause in BackfillCause if cause is not BackfillCause.SUCCESSORS])
async def test_a_receipt_has_the_cause_of_its_backfill(cause):
    is_from_history = cause in {BackfillCause.RECOVERY, BackfillCause.READY}
    selection = "history" if is_from_history else "source"
    policy = BackfillPolicy(probation=True, inline=True, min_lookups=1, window=20, selection=selection)
    journal = Remembered() if is_from_history else None
    threshold = 0.01 if cause is BackfillCause.THRESHOLD else 1.0
    async with cache_of(backfill=policy, journal=journal, miss_threshold=threshold) as cache:
        if cause is BackfillCause.MANUAL:
            await cache.force_backfill(by="ada", reason="a deploy")
        elif cause is BackfillCause.READY:
            await cache.ready()
        for number in (100, *range(20), 150):
            await cache.get(f"k{number:03}")

        causes = {one.backfill: one.cause for one in cache.audit_log if one.status is Status.STARTED}
        ended = [record for record in cache.audit_log if record.status is Status.RECEIPT]
        assert ended[0].cause is cause
        assert all(record.cause is causes[record.backfill] for record in ended)


@pytest.mark.parametrize("wakes", ["clear", "approve", "open again"])
async def test_two_useless_backfills_put_the_trigger_to_rest_until_something_changes(wakes):
    policy = BackfillPolicy(probation=True, inline=True, min_lookups=1, window=5)
    cache = cache_of(capacity=200, backfill_batch=2, max_backfills=50, backfill=policy)
    async with cache:
        for number in range(100, 180):
            await cache.get(f"k{number}")
        before = cache.stats.backfills
        reasons = {record.reason for record in cache.audit_log if record.status is Status.SKIPPED}

        assert 2 <= before < 10
        assert reasons == {"at rest: hardly a key of the last two backfills was read"}
        if wakes == "clear":
            await cache.clear()
        elif wakes == "approve":
            await cache.approve_backfills(1, by="me", reason="to see")
        if wakes != "open again":
            await cache.get("k190")
    async with cache:
        await cache.get("k191")

        assert cache.stats.backfills > before
