"""Used outside of the event loop that opened it: one error that says what to do, and nothing else happens."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager

import pytest
from anyio.from_thread import start_blocking_portal

from async_backfill import BackfillCache, BackfillPolicy, CacheClosedError, FreshnessPolicy, MappingSource
from async_backfill.testing import GatedSource
from tests.cache.test_opening_tasks import close
from tests.cache.uses import ROWS, USES, new_cache
from tests.callers import run

BACKENDS = [("asyncio", "asyncio"), ("asyncio", "trio"), ("trio", "asyncio"), ("trio", "trio")]
OTHERS = {
    **USES,
    "refresh": lambda cache: cache.refresh("a"),
    "try_many": lambda cache: cache.try_many("ab"),
    "get of a stale key": lambda cache: cache.get("stale"),
}


@contextmanager
def open_in_a_thread(backend, cache):
    """Open ``cache`` in an event loop that runs in another thread."""
    with start_blocking_portal(backend) as portal, portal.wrap_async_context_manager(cache):
        yield portal


@pytest.mark.parametrize("use", OTHERS)
@pytest.mark.parametrize(("home", "here"), BACKENDS)
def test_no_use_reaches_a_cache_of_another_event_loop_and_it_says_where_to_go(home, here, use):
    source = GatedSource(ROWS)
    cache = new_cache(source, freshness=FreshnessPolicy(ttl=60, stale_for=60))
    with open_in_a_thread(home, cache) as portal:
        before = cache.stats

        async def elsewhere():
            with pytest.raises(CacheClosedError, match=r"another|does not run here.*one cache for each"):
                await OTHERS[use](cache)

        run(elsewhere, here)

        assert (cache.stats, source.calls) == (before, [])
        source.open()
        assert portal.call(cache.get, "a") == 1


@pytest.mark.parametrize(("home", "here"), BACKENDS)
def test_a_cache_that_is_open_in_another_event_loop_cannot_be_opened_or_closed(home, here):
    cache = new_cache()
    with open_in_a_thread(home, cache) as portal:

        async def elsewhere():
            with pytest.raises(RuntimeError, match=r"another event loop.*close it there first"):
                await cache.__aenter__()
            with pytest.raises(RuntimeError, match="must be closed there"):
                await close(cache)

        run(elsewhere, here)

        assert portal.call(cache.get, "a") == 1


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_thread_without_an_event_loop_may_look_but_not_act(backend):
    history = BackfillPolicy(selection="history")
    cache = BackfillCache(MappingSource(ROWS), scan=MappingSource(ROWS), backfill=history)
    with open_in_a_thread(backend, cache) as portal:
        portal.call(cache.get, "a")

        assert (cache.peek("a"), len(cache), cache.stats.misses) == (1, 1, 1)
        for act in (cache.evict_oldest, cache.is_ready, lambda: cache.readiness):
            with pytest.raises(CacheClosedError, match=r"from_thread\.run"):
                act()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_cache_whose_event_loop_has_ended_says_so_and_can_be_opened(backend):
    cache = new_cache()

    async def leave_it_open():
        await cache.__aenter__()
        await cache.get("a")
        if backend == "trio":
            cache._opening._body.__exit__(None, None, None)  # trio itself would complain

    async def later():
        with pytest.raises(CacheClosedError, match=r"its event loop has ended.*open it again"):
            await cache.get("a")
        await close(cache)
        async with cache:
            return await cache.get("a")

    run(leave_it_open, backend)
    assert run(later, "asyncio") == 1


def test_a_loop_that_only_rests_still_has_its_cache():
    cache = new_cache()
    first, second = asyncio.SelectorEventLoop(), asyncio.SelectorEventLoop()
    first.run_until_complete(cache.__aenter__())
    with pytest.raises(RuntimeError, match="close it there first"):
        second.run_until_complete(cache.__aenter__())
    assert first.run_until_complete(cache.get("a")) == 1
    first.run_until_complete(close(cache))
    second.run_until_complete(cache.__aenter__())
    second.run_until_complete(close(cache))
    for loop in (first, second):
        loop.close()
