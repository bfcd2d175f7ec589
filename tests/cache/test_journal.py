"""What a cache knows of hot keys, kept from one process to the next."""

from __future__ import annotations

import anyio
import pytest
from anyio import create_task_group, sleep, wait_all_tasks_blocked

from async_backfill import (
    BackfillCache,
    BackfillPolicy,
    CacheClosedError,
    HistoryPolicy,
    JournalError,
    MappingSource,
)
from async_backfill.backfill.journal_file import JournalFile
from async_backfill.contracts import Heats
from async_backfill.testing import GatedSource
from tests.callers import start

ROWS = {f"key_{number}": number for number in range(100)}
HOT = [f"key_{number}" for number in (70, 10, 40)]


class Shelf:
    """A journal in memory."""

    def __init__(self, keys=None, hit_rate=None):
        self.heats = None if keys is None else Heats(keys=keys, hit_rate=hit_rate)
        self.loads = 0
        self.error = None

    async def load(self):
        self.loads += 1
        if self.error is not None:
            raise self.error
        return self.heats

    async def save(self, heats):
        if self.error is not None:
            raise self.error
        self.heats = heats


def cache_of(journal, source=None, **settings):
    source = source or MappingSource(ROWS)
    return BackfillCache(
        source,
        capacity=20,
        backfill_batch=10,
        journal=journal,
        backfill=BackfillPolicy(selection="history", inline=True),
        **settings,
    )


async def warm(cache):
    async with cache:
        for key in HOT * 5:
            await cache.get(key)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_new_process_loads_what_was_hot_in_the_old_one(tmp_path, backend):
    async def main():
        await warm(cache_of(JournalFile(tmp_path / "hot.journal")))
        async with cache_of(JournalFile(tmp_path / "hot.journal")) as cache:
            for key in ("key_1", "key_2", "key_3"):
                await cache.get(key)
            return [cache.peek(key) for key in HOT], cache.stats

    found, stats = anyio.run(main, backend=backend)
    assert found == [70, 10, 40]
    assert (stats.backfill_keys, stats.source_calls) == (3, 4)


@pytest.mark.anyio
@pytest.mark.parametrize("error", [JournalError, OSError])
async def test_a_journal_that_cannot_be_used_is_reported_and_ignored(caplog, error):
    journal = Shelf()
    journal.error = error("rubbish")
    async with cache_of(journal) as cache:
        journal.error = None
        await cache.get("key_1")

    assert caplog.messages == [f"the journal of hot keys is ignored: {error.__name__}: rubbish"]
    assert set(journal.heats.keys) == {"key_1"}


@pytest.mark.anyio
async def test_a_journal_whose_heats_are_no_heats_is_reported_and_ignored(caplog):
    async with cache_of(Shelf({"key_1": "very hot", "key_2": 1.0})) as cache:
        assert await cache.get("key_1") == 1

    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("the journal of hot keys is ignored: TypeError: ")


@pytest.mark.anyio
async def test_it_is_saved_now_and_then_and_when_the_cache_closes():
    journal = Shelf()
    async with cache_of(journal, history=HistoryPolicy(save_every=5.0)) as cache:
        await cache.get("key_1")
        await sleep(4.9)
        assert journal.heats is None
        await sleep(1.0)
        assert set(journal.heats.keys) == {"key_1"}
        await cache.get("key_2")

    assert set(journal.heats.keys) == {"key_1", "key_2"}


@pytest.mark.anyio
async def test_traffic_that_never_misses_leaves_its_trace_too():
    journal = Shelf()
    async with cache_of(journal, history=HistoryPolicy(save_every=5.0)) as cache:
        await cache.get_many(["key_1", "key_2"])
        for _ in range(3):
            await sleep(6)
            for _ in range(50):
                await cache.get("key_2")

    assert journal.heats.keys["key_2"] > 50 * journal.heats.keys["key_1"]
    assert journal.heats.hit_rate > 0.9


@pytest.mark.anyio
async def test_what_was_noted_since_is_kept_when_the_cache_is_opened_again():
    journal = Shelf({"key_5": 100.0})
    cache = BackfillCache(MappingSource(ROWS), journal=journal)
    for _ in range(2):
        async with cache:
            await cache.get("key_6")

    assert journal.loads == 1
    assert set(journal.heats.keys) == {"key_5", "key_6"}


@pytest.mark.anyio
async def test_a_journal_that_cannot_be_saved_breaks_nothing(caplog):
    journal = Shelf()
    async with cache_of(journal) as cache:
        journal.error = OSError("the disk is full")
        assert await cache.get("key_1") == 1

    assert "was not saved" in caplog.text


@pytest.mark.anyio
async def test_closing_with_a_load_under_way_saves_as_well():
    journal = Shelf()
    async with create_task_group() as tasks, cache_of(journal, GatedSource(ROWS)) as cache:
        caller = start(tasks, cache.get, "key_1")
        await wait_all_tasks_blocked()

    assert isinstance(caller.outcome, CacheClosedError)
    assert set(journal.heats.keys) == {"key_1"}


@pytest.mark.anyio
async def test_who_is_cancelled_while_the_journal_is_read_leaves_nothing_behind():
    class Slow(Shelf):
        async def load(self):
            await sleep(3600)

    cache = cache_of(Slow())
    with anyio.move_on_after(1) as waited:
        async with cache:
            pytest.fail("the journal takes an hour")
    assert waited.cancelled_caught

    with pytest.raises(CacheClosedError):
        await cache.get("key_1")


@pytest.mark.anyio
async def test_a_closed_cache_with_a_journal_answers_no_more():
    cache = cache_of(Shelf())
    async with cache:
        await cache.get("key_1")

    with pytest.raises(CacheClosedError):
        await cache.get("key_1")
    with pytest.raises(CacheClosedError):
        await cache.get_many(["key_1"])
