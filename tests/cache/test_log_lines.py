"""What a cache says in its log: one line for what its operator must know, with fields, and never a value."""

from __future__ import annotations

import logging

import pytest
from anyio import CancelScope, current_time, sleep

from async_backfill import (
    BackfillCache,
    BackfillPolicy,
    CircuitPolicy,
    Failed,
    FarTier,
    FreshnessPolicy,
    LoadPolicy,
    MappingSource,
    ReadinessPolicy,
    WeighedStore,
    each,
)
from async_backfill._jobs._event_lines import ALL as LINES_OF_JOBS
from async_backfill._session.event_lines import ALL as LINES_OF_CACHES
from async_backfill.contracts import Heats
from async_backfill.testing import MemoryFarStore
from tests.callers import outcomes
from tests.docs.test_log_lines import documented_fields

pytestmark = pytest.mark.anyio

ROWS = {number: f"secret {number}" for number in range(100)}
AT_EVERY_MISS = {"miss_threshold": 0.01, "backfill": BackfillPolicy(inline=True, min_lookups=1)}
EVERY_SECOND = 1.5
OF_A_RECORD = {*vars(logging.makeLogRecord({})), "message", "asctime"}


class Source(MappingSource):
    """A source that fails while ``is_down``, and for each key of ``bad``."""

    def __init__(self, *, bad=()):
        super().__init__(ROWS)
        self.is_down = False
        self.bad = set(bad)

    async def load_many(self, keys):
        if self.is_down or self.bad & set(keys):
            raise ConnectionError("down")
        return await super().load_many(keys)


HEATS = Heats(keys={key: 1000.0 - key for key in range(10)}, hit_rate=0.9)


class Shelf:
    """A journal of ten hot keys."""

    def __init__(self, error=None, heats=HEATS):
        self.error = error
        self.heats = heats

    async def load(self):
        if self.error is not None:
            raise self.error
        return self.heats

    async def save(self, heats):
        pass


def cache_of(source=None, **settings):
    defaults = {"name": "products", "clock": current_time}
    return BackfillCache(MappingSource(ROWS) if source is None else source, **(defaults | settings))


def scanned(**settings):
    return cache_of(Source(), scan=MappingSource(ROWS), **(AT_EVERY_MISS | settings))


@pytest.fixture
def said(caplog):
    """Returns the lines that were said with a level of a logger: level and text, without the cache's name."""
    caplog.set_level(logging.DEBUG, logger="async_backfill")

    def lines(logger, least=logging.INFO):
        found = []
        for record in caplog.records:
            if record.name == f"async_backfill.{logger}".rstrip(".") and record.levelno >= least:
                assert record.getMessage().startswith("products: ")
                assert record.cache == "products"
                assert vars(record).keys() - OF_A_RECORD <= documented_fields()
                found.append((record.levelname, record.getMessage().removeprefix("products: ")))
        return found

    return lines


async def test_the_log_says_that_a_backfill_began_and_how_it_ended(said, caplog):
    async with cache_of(scan=MappingSource(ROWS), backfill_batch=5) as cache:
        await cache.force_backfill(by="ada", reason="a restart")

    assert said("backfill") == [
        ("INFO", "backfill 1 started because of manual: 5 keys"),
        ("INFO", "backfill 1 ended after 0.0 s: 5 of 5 keys loaded"),
    ]
    ended = caplog.records[-1]
    assert (ended.backfill, ended.cause, ended.keys, ended.loaded) == (1, "manual", 5, 5)
    assert (ended.by, ended.reason, ended.seconds) == ("ada", "a restart", 0.0)


async def test_the_log_says_what_was_wrong_with_a_backfill(said):
    source = Source()
    source.is_down = True
    async with cache_of(source, scan=MappingSource(ROWS)) as cache:
        await cache.force_backfill()
    partly = Source(bad=[0])
    load = LoadPolicy(split_failed=True)
    async with cache_of(partly, scan=MappingSource(ROWS), backfill_batch=5, load=load) as cache:
        await cache.force_backfill()

    assert said("backfill", logging.WARNING) == [
        ("WARNING", "backfill 1 failed: ConnectionError: down"),
        (
            "WARNING",
            "backfill 1 ended after 0.0 s: 4 of 5 keys loaded, 1 of 5 keys failed: ConnectionError: down",
        ),
    ]


async def test_the_log_says_once_that_approval_is_needed_and_denials_once_a_minute(said, caplog):
    async with scanned(max_backfills=1, backfill_batch=1) as cache:
        for key in range(1000, 1100):
            await cache.get(key)
            await sleep(EVERY_SECOND)
        await cache.approve_backfills(2, by="ada", reason="after the deploy")

    needed, *denied = said("backfill", logging.WARNING)
    assert needed == (
        "WARNING",
        "the last permit was spent, and no backfill starts any more: approve_backfills allows more",
    )
    assert len(denied) == 3
    assert all(text.startswith("a backfill was denied, no permit is left (") for _, text in denied)
    assert denied[1][1].endswith("approve_backfills allows more (39 more since the last line)")
    assert said("backfill")[-1] == (
        "INFO",
        "ada approved more backfills, 2 may start now: after the deploy",
    )
    assert caplog.records[-1].permits_left == 2


async def test_a_skipped_backfill_is_a_line_for_who_debugs(said):
    async with cache_of(Source(), scan=MappingSource({}), **AT_EVERY_MISS) as cache:
        await cache.get(1000)

    assert said("backfill") == []
    assert said("backfill", logging.DEBUG) == [
        ("DEBUG", "a backfill was skipped: no key is left to load, or there is no free room")
    ]


async def test_the_log_says_that_a_circuit_opened_and_closed(said, caplog):
    source = Source()
    source.is_down = True
    async with cache_of(source, load=LoadPolicy(circuit=CircuitPolicy(failures=2, open_for=10.0))) as cache:
        for _ in range(5):
            await outcomes(cache.get, (1,))
        source.is_down = False
        await sleep(10.0)
        await cache.get(1)

    assert said("circuit") == [
        (
            "WARNING",
            "the circuit of the source is open: it failed 2 times in a row, and is not called for a while",
        ),
        ("INFO", "the circuit of the source is closed: it answers again"),
    ]
    assert [(record.circuit, record.state, record.failures) for record in caplog.records] == [
        ("source", "open", 2),
        ("source", "closed", 0),
    ]


async def test_the_log_says_that_the_far_tier_failed_and_that_its_circuit_opened(said):
    store = MemoryFarStore()
    store.link.fail()
    async with cache_of(far=FarTier(store=store, circuit=CircuitPolicy(failures=2, open_for=10.0))) as cache:
        for key in range(4):
            await cache.get(key)

    failed, opened = said("far")
    assert failed[0] == "WARNING"
    assert failed[1].startswith(
        "the far tier failed, reads go on without it: get: ConnectionError: the network"
    )
    assert opened[1].startswith("the circuit of the far tier is open: it failed 2 times in a row")


async def test_the_log_says_how_far_the_warming_is(said, caplog):
    warm = {"capacity": 10, "backfill": BackfillPolicy(selection="history")}
    policy = ReadinessPolicy(warm_on_open=True)
    async with cache_of(scan=MappingSource(ROWS), journal=Shelf(), readiness=policy, **warm) as cache:
        await cache.ready()
        assert caplog.records[-1].coverage == 1.0
        assert caplog.records[-1].state == "ready"
    async with cache_of(journal=Shelf(), max_backfills=0, readiness=policy, **warm) as cache:
        await cache.ready()

    lines = [line for line in said("backfill") if "backfill 1" not in line[1]]
    assert [level for level, _ in lines] == ["INFO", "INFO", "INFO", "WARNING"]
    assert lines[0][1] == "the cache is being warmed: the hot keys are being ranked"
    assert lines[1][1].startswith("the cache is ready: ")
    assert lines[3][1].startswith(
        "the cache is not warm, and traffic may come nevertheless: no permit is left"
    )


async def test_the_log_says_what_came_of_the_journal(said, caplog):
    async with cache_of(journal=Shelf()):
        pass
    async with cache_of(journal=Shelf(OSError("no such disk"))):
        pass

    assert said("journal") == [
        ("INFO", "the journal of hot keys was read: 10 keys"),
        ("WARNING", "the journal of hot keys is ignored: OSError: no such disk"),
    ]
    assert [record.keys for record in caplog.records if record.name.endswith("journal")] == [10, 0]


async def test_the_log_says_that_a_refresh_failed_because_no_caller_is_told(said):
    source = Source()
    async with cache_of(source, freshness=FreshnessPolicy(ttl=5.0, stale_for=60.0)) as cache:
        await cache.get(1)
        source.is_down = True
        await sleep(6.0)
        assert await cache.get(1) == ROWS[1]
        await cache.settle()
        with pytest.raises(Exception, match="down"):
            await cache.get(2)

    assert said("load.refresh") == [
        (
            "WARNING",
            "a refresh of 1 keys failed, and what is stale is served while it may be: ConnectionError: down",
        )
    ]


async def test_a_refresh_of_a_source_that_answers_with_failures_is_no_secret(said):
    bad, events = set(), []

    async def load(key):
        if key in bad:
            raise ConnectionError("down")
        return ROWS[key]

    freshness = FreshnessPolicy(ttl=5.0, stale_for=60.0)
    async with cache_of(each(load), freshness=freshness, observers=[events.append]) as cache:
        await cache.get(1)
        bad.add(1)
        await sleep(6.0)
        assert await cache.get(1) == ROWS[1]
        await cache.settle()

    text = "a refresh of 1 keys failed, and what is stale is served while it may be: ConnectionError: down"
    assert said("load.refresh") == [("WARNING", text)]
    assert repr([event.error for event in events]) == "[None, ConnectionError('down')]"


async def test_the_log_says_how_many_keys_of_a_refresh_failed(said):
    class Partly(Source):
        async def load_many(self, keys):
            failed = {key: Failed(ConnectionError("down")) for key in self.bad & set(keys)}
            return {**{key: ROWS[key] for key in keys}, **failed}

    source, events = Partly(), []
    freshness = FreshnessPolicy(ttl=5.0, stale_for=60.0)
    async with cache_of(source, freshness=freshness, observers=[events.append]) as cache:
        await cache.get_many(range(5))
        source.bad = {1, 2}
        await sleep(6.0)
        await cache.get_many(range(5))
        await cache.settle()

    text = "a refresh of 2 keys failed, and what is stale is served while it may be: ConnectionError: down"
    assert said("load.refresh") == [("WARNING", text)]
    assert [(event.keys, event.error) for event in events] == [((0, 1, 2, 3, 4), None)] * 2


async def test_a_refresh_that_closing_ends_is_no_failure(said):
    class Slow(Source):
        async def load_many(self, keys):
            await sleep(5.0)
            return await super().load_many(keys)

    async with cache_of(Slow(), freshness=FreshnessPolicy(ttl=5.0, stale_for=60.0)) as cache:
        await cache.get(1)
        await sleep(6.0)
        await cache.get(1)

    assert said("load.refresh") == []


async def test_the_log_says_that_the_cache_was_emptied_here_or_elsewhere(said):
    here = MemoryFarStore()
    there = here.peer()
    async with (
        cache_of(far=FarTier(store=here, invalidations=here.invalidations)) as cache,
        cache_of(far=FarTier(store=there, invalidations=there.invalidations)) as other,
    ):
        await sleep(1.0)
        await cache.get(1)
        await other.clear()
        await sleep(1.0)

    assert said("") == [("INFO", "the cache was cleared")]
    assert said("far") == [
        (
            "INFO",
            "the memory was emptied: another process cleared the cache, or a message of one may be lost",
        )
    ]


def failing(*_):
    raise ValueError("failing")


async def test_each_line_about_a_cache_names_it(said):
    class Deaf(Source):
        async def load_many(self, keys):
            with CancelScope(shield=True):
                await sleep(3.0)
            return await super().load_many(keys)

    no_such = dict.fromkeys(map(str, range(600)), 1.0)
    journal = Shelf(heats=Heats(keys=no_such, hit_rate=0.9))
    async with cache_of(journal=journal, backfill=BackfillPolicy(selection="history")) as cache:
        await cache.force_backfill()
    assert "the source has none of the 500 hottest keys" in said("journal", logging.WARNING)[0][1]
    async with cache_of(store=WeighedStore(10, failing), observers=[failing]) as cache:
        await cache.get(1)
    async with cache_of(freshness=FreshnessPolicy(absent_ttl=9.0)) as cache:
        await cache.get("x" * 5000, None)
    texts = [text for _, text in said("", logging.WARNING)]
    for begin in ("the value of 1 was not kept", "observer <function failing", "a key of more than 4096"):
        assert any(text.startswith(begin) for text in texts)
    async with cache_of(Deaf(), load=LoadPolicy(timeout=1.0)) as cache:
        await outcomes(cache.get, (1,))
        await sleep(5.0)
    assert len(said("load")) == 1
    store = MemoryFarStore()
    async with cache_of(far=FarTier(store=store)) as cache:
        store.link.fail()
        await outcomes(cache.clear, ())
        store.link.recover()
        await sleep(2.0)
        await cache.get(1)
        await cache.settle()
        await sleep(1.0)
    assert [text.split(" ")[3] for _, text in said("far")] == ["failed,", "is", "was"]


async def test_a_name_with_a_percent_sign_is_a_name(caplog):
    caplog.set_level(logging.INFO, logger="async_backfill")
    async with cache_of(
        name="100 %s", observers=[failing], freshness=FreshnessPolicy(absent_ttl=9.0)
    ) as cache:
        await cache.get("x" * 5000, None)
        await cache.clear()

    assert len(caplog.messages) == 3
    assert all(message.startswith("100 %s: ") for message in caplog.messages)


async def test_a_cache_without_a_name_says_no_name(caplog):
    caplog.set_level(logging.INFO, logger="async_backfill")
    async with cache_of(name=None) as cache:
        await cache.clear()

    assert caplog.messages == ["the cache was cleared"]
    assert caplog.records[0].cache is None


async def test_no_line_shows_a_value(caplog):
    caplog.set_level(logging.DEBUG, logger="async_backfill")
    async with scanned(max_backfills=1, capacity=10, journal=Shelf()) as cache:
        await cache.get_many(range(50))
        await cache.put(1, "secret")
        await cache.invalidate(1)
        await cache.force_backfill()
        await cache.clear()

    assert caplog.records
    assert all("secret" not in str(vars(record)) + record.getMessage() for record in caplog.records)


def test_no_field_of_a_line_is_one_that_a_record_has_already():
    for line in (*LINES_OF_CACHES, *LINES_OF_JOBS):
        shown = {part.split(")")[0] for part in line.text.split("%(")[1:]}
        assert not shown & OF_A_RECORD
