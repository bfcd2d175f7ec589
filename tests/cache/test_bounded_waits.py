"""Opening, settling and closing beside user code that hangs and does not yield to cancellation."""

from __future__ import annotations

import logging

import pytest
from anyio import CancelScope, current_time, sleep, sleep_forever

from async_backfill import BackfillCache, BackfillPolicy, LoadPolicy, LoadTimeoutError, MappingSource

pytestmark = pytest.mark.anyio

ROWS = {f"k{number}": number for number in range(10)}
LONG = 3600.0


async def hang(*, ignores):
    with CancelScope(shield=ignores):
        await sleep(LONG)
    await sleep_forever()


class Silent:
    """A journal, an audit sink, permits and a source behind a server that says nothing."""

    def __init__(self, *, ignores):
        self._ignores = ignores

    async def load(self):
        await hang(ignores=self._ignores)

    async def save(self, _):
        await hang(ignores=self._ignores)

    async def write(self, _):
        await hang(ignores=self._ignores)

    async def left(self):
        await hang(ignores=self._ignores)

    async def acquire(self):
        await hang(ignores=self._ignores)

    async def approve(self, _):
        await hang(ignores=self._ignores)

    async def load_many(self, _):
        await hang(ignores=self._ignores)


@pytest.fixture(params=[False, True], ids=["hangs", "ignores"])
def silent(request):
    return Silent(ignores=request.param)


async def test_it_opens_without_a_journal_that_says_nothing_and_logs_that(silent, caplog):
    began = current_time()
    history = BackfillPolicy(selection="history")
    with caplog.at_level(logging.WARNING):
        async with BackfillCache(MappingSource(ROWS), journal=silent, backfill=history) as cache:
            assert current_time() - began == pytest.approx(5)
            assert await cache.get("k1") == 1
            opened = len(caplog.records)

    assert "the journal of hot keys is ignored: it took longer than 5.0 s to read" in caplog.text
    assert opened == 1
    assert current_time() - began < 30
    await sleep(LONG)


async def test_it_opens_without_permits_that_say_nothing_and_starts_no_backfill(silent, caplog):
    source = MappingSource(ROWS)
    began = current_time()
    with caplog.at_level(logging.WARNING):
        async with BackfillCache(source, scan=source, permits=silent) as cache:
            assert current_time() - began <= 5
            assert await cache.get("k1") == 1
            assert cache.stats.permits_left == 0

    assert "no backfill is started" in caplog.text
    assert current_time() - began < 30
    await sleep(LONG)


async def test_settling_and_closing_end_beside_an_audit_sink_that_says_nothing(silent):
    source = MappingSource(ROWS)
    began = current_time()
    async with BackfillCache(source, scan=source, audit_sink=silent) as cache:
        await cache.force_backfill()
        await cache.settle()
        assert current_time() - began <= 6
        began = current_time()

    assert current_time() - began <= 15
    await sleep(LONG)


async def test_closing_ends_beside_a_call_that_ignores_its_cancellation_and_says_so(caplog):
    source = Silent(ignores=True)
    with caplog.at_level(logging.WARNING):
        async with BackfillCache(source, load=LoadPolicy(timeout=2.0)) as cache:
            with pytest.raises(LoadTimeoutError):
                await cache.get("k1")
            began = current_time()

    assert current_time() - began == pytest.approx(5)
    assert "the cache is closed, but calls of its source or far tier go on" in caplog.text
    await sleep(LONG)


async def test_it_can_be_opened_again_while_a_call_of_the_last_opening_goes_on():
    class Source:
        ignores = True

        async def load_many(self, keys):
            if self.ignores:
                self.ignores = False
                await hang(ignores=True)
            return dict.fromkeys(keys, "new")

    cache = BackfillCache(Source(), load=LoadPolicy(timeout=2.0))
    async with cache:
        with pytest.raises(LoadTimeoutError):
            await cache.get("k1")
    async with cache:
        assert await cache.get("k1") == "new"
        await sleep(LONG)
        assert (cache.peek("k1"), cache.stats.abandoned) == ("new", 0)
