"""A journal names who wrote it and when: one that does not fit is not used, and an old one counts less."""

from __future__ import annotations

import anyio
import pytest

from async_backfill import BackfillCache, BackfillPolicy, ConfigurationError, HistoryPolicy, MappingSource
from async_backfill.backfill.journal_file import JournalFile
from async_backfill.contracts import Heats
from async_backfill.events import JournalRead
from async_backfill.records import Provenance

ROWS = {number: number for number in range(100)}
HOT = [7, 1, 4]


class Shelf:
    """A journal in memory."""

    def __init__(self, heats=None):
        self.heats = heats

    async def load(self):
        return self.heats

    async def save(self, heats):
        self.heats = Heats(dict(heats.keys), heats.hit_rate, heats.provenance, heats.pace)


def cache_of(journal, **settings):
    return BackfillCache(
        MappingSource(ROWS),
        capacity=20,
        backfill_batch=10,
        journal=journal,
        backfill=BackfillPolicy(selection="history", inline=True),
        **settings,
    )


async def warmed(journal, **settings):
    async with cache_of(journal, **settings) as cache:
        for key in HOT * 5:
            await cache.get(key)
    return journal


def from_(time=1000.0, **who):
    return Provenance(time=time, host="web-1", **who)


def test_a_journal_names_the_time_the_host_the_cache_and_its_fingerprint(tmp_path):
    async def main():
        journal = JournalFile(tmp_path / "hot.journal")
        await warmed(journal, name="products", fingerprint="v1", wall_clock=lambda: 1234.5)
        return await journal.load()

    written = anyio.run(main).provenance
    assert (written.time, written.cache, written.fingerprint) == (1234.5, "products", "v1")
    assert written.host


@pytest.mark.anyio
async def test_what_came_of_reading_it_is_in_the_statistics_and_an_event():
    journal, events = await warmed(Shelf(), wall_clock=lambda: 1000.0), []
    async with cache_of(journal, wall_clock=lambda: 1060.0, observers=[events.append]) as cache:
        reading = cache.stats.journal

    assert (reading.keys, reading.age, reading.ignored) == (3, 60.0, None)
    assert reading.provenance.time == 1000.0
    assert JournalRead(reading=reading) in events


@pytest.mark.anyio
async def test_without_a_journal_nothing_was_read():
    assert BackfillCache(MappingSource(ROWS)).stats.journal is None


@pytest.mark.parametrize(
    ("wrote", "reads", "reason"),
    [
        ({"name": "users"}, {"name": "products"}, "saved by the cache 'users'"),
        ({"fingerprint": "v1"}, {"fingerprint": "v2"}, "with fingerprint 'v1', and this cache has"),
        ({}, {"fingerprint": "v2"}, "with no fingerprint, and this cache has fingerprint 'v2'"),
        ({"fingerprint": "v1"}, {}, "and this cache has no fingerprint"),
    ],
)
@pytest.mark.anyio
async def test_one_that_does_not_fit_is_not_used_and_that_is_said_once(caplog, wrote, reads, reason):
    journal, events = await warmed(Shelf(), **wrote), []
    async with cache_of(journal, observers=[events.append], **reads) as cache:
        reading = cache.stats.journal
        await cache.get(50)
        assert cache.peek(7) is None
        assert cache.readiness.may_take_traffic
        why = cache.readiness.reason

    assert len(caplog.messages) == 1
    assert reason in caplog.messages[0]
    named = f"{reads['name']}: " if "name" in reads else ""
    assert caplog.messages[0] == f"{named}the journal of hot keys is ignored: {reading.ignored}"
    assert why.endswith(f": the journal was ignored; {reading.ignored}")
    assert (reading.keys, reading.weight) == (0, 0.0)
    assert JournalRead(cache=reads.get("name"), reading=reading) in events


@pytest.mark.parametrize(("wrote", "reads"), [({"name": "users"}, {}), ({}, {"name": "users"})])
@pytest.mark.anyio
async def test_a_name_that_only_one_of_them_has_is_no_reason(wrote, reads):
    async with cache_of(await warmed(Shelf(), **wrote), **reads) as cache:
        assert cache.stats.journal.ignored is None


@pytest.mark.anyio
async def test_what_replaces_it_names_the_cache_that_did_not_use_it():
    journal = await warmed(Shelf(), name="users")
    await warmed(journal, name="products")

    assert journal.heats.provenance.cache == "products"


def test_a_damaged_one_is_in_the_statistics_as_well(tmp_path):
    (tmp_path / "hot.journal").write_text("rubbish")

    async def main():
        async with cache_of(JournalFile(tmp_path / "hot.journal")) as cache:
            return cache.stats.journal.ignored, cache.readiness.reason

    ignored, reason = anyio.run(main)
    assert "is not a hot-key journal" in ignored
    assert "is not a hot-key journal" in reason


@pytest.mark.anyio
async def test_the_heats_of_an_old_one_fade_by_the_lookups_that_it_has_missed():
    # 10 lookups a second for 20 s at a half-life of 100 lookups: two halvings.
    journal = Shelf(Heats({7: 8.0, 1: 4.0}, None, from_(1000.0), 10.0))
    async with cache_of(journal, wall_clock=lambda: 1020.0, history=HistoryPolicy(half_life=100.0)) as cache:
        weight = cache.stats.journal.weight
        await cache.get(50)

    assert weight == pytest.approx(0.25)
    assert journal.heats.keys[7] == pytest.approx(2.0, rel=0.1)
    assert journal.heats.keys[1] == pytest.approx(1.0, rel=0.1)


@pytest.mark.anyio
async def test_one_of_an_earlier_age_still_tells_which_keys_were_hotter():
    journal = Shelf(Heats({7: 8.0, 1: 4.0, 4: 2.0}, None, from_(0.0), 1e6))
    async with cache_of(journal, wall_clock=lambda: 1e9) as cache:
        assert cache.stats.journal.weight == 0.0
        for key in (50, 51, 52):
            await cache.get(key)
        assert [cache.peek(key) for key in (7, 1, 4)] == [7, 1, 4]

    assert sorted(HOT, key=journal.heats.keys.get) == [4, 1, 7]
    assert journal.heats.keys[50] > 1e6 * journal.heats.keys[7]


@pytest.mark.parametrize("heats", [(from_(1000.0), None), (None, 10.0), (from_(9999.0), 10.0)])
@pytest.mark.anyio
async def test_they_do_not_fade_where_age_or_pace_are_not_known(heats):
    async with cache_of(Shelf(Heats({7: 8.0}, None, *heats)), wall_clock=lambda: 1020.0) as cache:
        assert cache.stats.journal.weight == 1.0


@pytest.mark.anyio
async def test_a_journal_knows_the_pace_of_the_lookups():
    now = [100.0]
    journal = Shelf()
    async with cache_of(journal, clock=lambda: now[0]) as cache:
        for _ in range(30):
            await cache.get(7)
        now[0] = 110.0

    assert journal.heats.pace == pytest.approx(3.0)


@pytest.mark.parametrize("fingerprint", ["", " ", 7])
def test_a_fingerprint_is_a_text_that_is_not_blank(fingerprint):
    with pytest.raises(ConfigurationError, match="fingerprint"):
        BackfillCache(MappingSource(ROWS), fingerprint=fingerprint)
