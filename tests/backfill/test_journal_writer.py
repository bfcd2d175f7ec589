"""Saving the heat of keys now and then."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager

import pytest
from anyio import create_task_group, sleep, wait_all_tasks_blocked

from async_backfill.backfill._history.writer import JournalWriter
from async_backfill.contracts import Heats

pytestmark = pytest.mark.anyio


class Shelf:
    """A journal in memory that can fail and be slow."""

    def __init__(self):
        self.saved = []
        self.error = None
        self.seconds = 0.0

    async def load(self):
        return self.saved[-1] if self.saved else None

    async def save(self, heats):
        await sleep(self.seconds)
        if self.error is not None:
            raise self.error
        self.saved.append(heats)


@asynccontextmanager
async def writing(shelf, interval=10.0):
    """A writer whose snapshots are numbered; ``changes`` holds those that are still to come."""
    changes = []

    def snapshot():
        return Heats(keys={changes.pop(): 1.0}, hit_rate=None) if changes else None

    def spawn(work):
        tasks.start_soon(work)

    async with create_task_group() as tasks:
        yield JournalWriter(shelf, snapshot, interval=interval, spawn=spawn), changes
        tasks.cancel_scope.cancel()


def saved(shelf):
    return [key for heats in shelf.saved for key in heats.keys]


async def test_it_saves_once_an_interval_as_long_as_something_changes():
    shelf = Shelf()
    async with writing(shelf) as (_, changes):
        changes.append("a")
        await sleep(9.9)
        assert saved(shelf) == []
        await sleep(0.2)
        assert saved(shelf) == ["a"]
        await sleep(100)
        changes.append("b")
        await sleep(10)

    assert saved(shelf) == ["a", "b"]


async def test_a_flush_saves_at_once_and_only_what_is_new():
    shelf = Shelf()
    async with writing(shelf) as (writer, changes):
        changes.append("a")
        await writer.flush()
        await writer.flush()

    assert saved(shelf) == ["a"]


async def test_a_save_that_fails_is_logged_once_and_tried_again(caplog):
    shelf = Shelf()
    shelf.error = OSError("no space left")
    async with writing(shelf) as (_, changes):
        changes.append("a")
        await sleep(35)
        assert [record.levelno for record in caplog.records] == [logging.ERROR]
        shelf.error = None
        await sleep(10)
        assert saved(shelf) == ["a"]
        shelf.error = OSError("again")
        changes.append("b")
        await sleep(10)

    assert len(caplog.records) == 2


async def test_two_saves_never_run_at_once():
    shelf = Shelf()
    shelf.seconds = 15.0
    async with writing(shelf) as (writer, changes):
        changes.extend("ba")
        await sleep(11)
        await writer.flush()

    assert saved(shelf) == ["a", "b"]


async def test_a_save_that_is_cancelled_is_made_by_the_next():
    shelf = Shelf()
    shelf.seconds = 5.0
    async with writing(shelf, interval=1000.0) as (writer, changes):
        changes.append("a")
        async with create_task_group() as tasks:
            tasks.start_soon(writer.flush)
            await wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        assert saved(shelf) == []
        await writer.flush()

    assert saved(shelf) == ["a"]
