from __future__ import annotations

import time
from dataclasses import replace

import pytest

from async_backfill._runner.replay.held_journal import HeldJournal
from async_backfill.contracts import Heats
from async_backfill.errors import JournalError
from async_backfill.records import Provenance

pytestmark = pytest.mark.anyio

OLD, NEW, NEWER = (Heats(keys={key: 1.0}, hit_rate=None) for key in ("old", "new", "newer"))


class MemoryJournal:
    """Keeps what is saved, counts what is done; ``damage`` is raised instead of what it holds."""

    def __init__(self, holds=None, damage=None) -> None:
        self.holds = holds
        self.loads = self.saves = 0
        self._damage = damage

    async def load(self):
        self.loads += 1
        if self._damage is not None:
            raise self._damage
        return self.holds

    async def save(self, heats, /):
        self.saves += 1
        self.holds = heats


@pytest.mark.parametrize("holds", [None, OLD])
async def test_what_the_journal_held_is_read_once_and_loaded_as_often_as_wanted(holds):
    journal = MemoryJournal(holds)
    held = await HeldJournal.of(journal)
    assert [await held.load(), await held.load()] == [holds, holds]
    assert journal.loads == 1


async def test_a_damaged_journal_says_so_when_it_is_loaded():
    held = await HeldJournal.of(MemoryJournal(damage=JournalError("damaged")))
    with pytest.raises(JournalError, match="damaged"):
        await held.load()


async def test_what_was_saved_last_is_written_and_nothing_before_that():
    journal = MemoryJournal(OLD)
    held = await HeldJournal.of(journal)
    await held.save(NEW)
    await held.save(NEWER)
    assert (journal.holds, journal.saves) == (OLD, 0)
    await held.write()
    assert (journal.holds, journal.saves) == (NEWER, 1)


async def test_it_is_written_with_the_time_of_the_machine_not_that_of_the_replay():
    journal = MemoryJournal()
    held = await HeldJournal.of(journal)
    before = time.time()
    await held.save(replace(NEW, provenance=Provenance(time=12.5, host="web-1", cache="products")))
    await held.write()

    written = journal.holds.provenance
    assert (written.host, written.cache) == ("web-1", "products")
    assert before <= written.time <= time.time()


async def test_a_journal_in_which_nothing_was_saved_is_left_alone():
    journal = MemoryJournal(OLD)
    await (await HeldJournal.of(journal)).write()
    assert journal.saves == 0
