"""The hit rate over time: noted while nobody looks, in little memory and time."""

from __future__ import annotations

import gc
import logging
import time
from contextlib import asynccontextmanager

import pytest
from anyio import create_memory_object_stream, create_task_group, sleep

from async_backfill import BackfillCache, MappingSource, MemoryStore
from async_backfill._common.line_a_second import LineASecond
from async_backfill.admin import Access, Application
from async_backfill.admin._cache_course import APART, Courses
from tests.admin.conftest import browser_on

pytestmark = pytest.mark.anyio
LOGGER = logging.getLogger("async_backfill.admin")
ADA = Access(local_user="ada")


@pytest.fixture
def courses():
    return Courses(LineASecond(LOGGER, time.monotonic))


@pytest.fixture
async def cache():
    async with BackfillCache(MappingSource({0: 0})) as cache:
        yield cache


@asynccontextmanager
async def lifespan(app):
    """What a server tells an application when it begins, and when it ends."""
    told, heard = create_memory_object_stream(1)
    sent, said = create_memory_object_stream(2)
    with told, heard, sent, said:
        async with create_task_group() as group:
            group.start_soon(app, {"type": "lifespan"}, heard.receive, sent.send)
            await told.send({"type": "lifespan.startup"})
            assert (await said.receive())["type"] == "lifespan.startup.complete"
            yield
            await told.send({"type": "lifespan.shutdown"})
            assert (await said.receive())["type"] == "lifespan.shutdown.complete"


async def drawn_after_a_minute_of_lookups(browser, cache):
    address = next(
        given["href"]
        for _, given in (await browser.get("/")).page.elements
        if given.get("href", "").startswith("/caches/")
    )
    await sleep(APART / 2)
    for _ in range(6):
        await cache.get(0)
        await sleep(APART)
    return len(browser.app._courses.stretches(cache)), (await browser.get(address)).text


@pytest.mark.parametrize("begun", [lifespan, Application.running])
async def test_the_hit_rate_is_noted_while_nobody_looks(cache, begun):
    browser = browser_on(Application(caches={"prices": cache}, access=ADA))
    async with begun(browser.app):
        stretches, page = await drawn_after_a_minute_of_lookups(browser, cache)

    assert stretches == 6
    assert "lowest 0.0 %, highest 100.0 %" in page


async def test_an_application_that_does_not_run_it_notes_while_somebody_looks(cache):
    browser = browser_on(Application(caches={"prices": cache}, access=ADA))
    stretches, page = await drawn_after_a_minute_of_lookups(browser, cache)

    assert stretches == 0
    assert "<polyline" not in page


async def test_an_hour_is_kept_of_a_cache(courses, cache):
    for _ in range(500):
        await cache.get(0)
        courses.note(cache, cache.stats)
        await sleep(APART)
    stretches = courses.stretches(cache)

    assert len(stretches) == 360
    assert {(one.seconds, one.lookups, one.hit_rate) for one in stretches} == {(APART, 1, 1.0)}


async def test_nothing_is_kept_of_a_cache_that_is_gone(courses):
    for _ in range(100):
        gone = BackfillCache(MappingSource({}))
        courses.note(gone, gone.stats)
    del gone
    gc.collect()

    assert len(courses._samples) == 0


async def test_a_cache_that_cannot_say_how_it_is_ends_the_notes_of_no_other(courses, cache, caplog):
    class Broken(MemoryStore):
        def __len__(self):
            raise RuntimeError("<no>")

    broken = BackfillCache(MappingSource({}), store=Broken())
    async with create_task_group() as group:
        group.start_soon(courses.note_all, lambda: (broken, cache))
        await sleep(APART / 2)
        for _ in range(3):
            await cache.get(0)
            await sleep(APART)
        group.cancel_scope.cancel()

    assert len(courses.stretches(cache)) == 3
    assert "a cache cannot say how it is" in caplog.text


async def test_to_note_a_thousand_caches_takes_no_hundredth_of_a_processor(courses):
    caches = [BackfillCache(MappingSource({})) for _ in range(1_000)]
    async with create_task_group() as group:
        group.start_soon(courses.note_all, lambda: caches)
        await sleep(1)
        taken = []
        for _ in range(5):
            before = time.thread_time()
            await sleep(APART)
            taken.append(time.thread_time() - before)
        group.cancel_scope.cancel()

    assert min(taken) / APART < 0.01
