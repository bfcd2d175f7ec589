"""From the audit log to a sink: complete, in order, in few writes, and never in a caller's way."""

from __future__ import annotations

import contextlib
import dataclasses

import pytest
from anyio import (
    create_task_group,
    current_time,
    fail_after,
    move_on_after,
    sleep,
    sleep_forever,
    wait_all_tasks_blocked,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backfill import AuditRecord, Status
from async_backfill.backfill._audit.writer import AuditWriter
from tests.callers import CANCELLED, PENDING, leaked_cancellation, run, start

pytestmark = pytest.mark.anyio


def record(number, repeats=1):
    return AuditRecord(
        number=number,
        status=Status.DENIED,
        cause=None,
        time=0.0,
        lookup=number,
        last_lookup=number,
        repeats=repeats,
    )


class Shelf:
    """A sink: each write takes ``pause`` seconds, then fails with ``error`` if that is set."""

    def __init__(self):
        self.pause = 0.0
        self.error = None
        self.times = []
        self.writes = []
        self.at_once = 0
        self.most_at_once = 0

    async def write(self, records):
        self.times.append(current_time())
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await sleep(self.pause)
        finally:
            self.at_once -= 1
        if self.error is not None:
            raise self.error
        self.writes.append(tuple(records))

    @property
    def numbers(self):
        return [[record.number for record in write] for write in self.writes]

    @property
    def kept(self):
        """What a reader of the sink knows: of each number the record that was written last."""
        return {record.number: record for write in self.writes for record in write}


@contextlib.asynccontextmanager
async def writing(interval=1.0):
    ran_to_its_end = False
    with fail_after(1e6):
        async with create_task_group() as tasks:
            shelf = Shelf()
            yield AuditWriter(shelf, interval=interval, spawn=tasks.start_soon), shelf, tasks
            ran_to_its_end = True
            tasks.cancel_scope.cancel()
    assert ran_to_its_end, "something cancelled the tasks and with them the test"


def report(writer, *numbers):
    for number in numbers:
        writer.report(record(number))


async def test_a_record_is_written_without_anybody_waiting_for_it():
    async with writing() as (writer, shelf, _):
        report(writer, 1)
        assert shelf.numbers == []
        await wait_all_tasks_blocked()

        assert shelf.numbers == [[1]]


async def test_records_reported_together_are_one_write_in_their_order():
    async with writing() as (writer, shelf, _):
        report(writer, *range(1, 200))
        await wait_all_tasks_blocked()

        assert shelf.numbers == [list(range(1, 200))]


async def test_a_record_that_changed_before_it_was_written_is_written_once_as_it_was_last():
    async with writing() as (writer, shelf, _):
        for repeats in range(1, 6):
            writer.report(record(1, repeats))
        await wait_all_tasks_blocked()

        assert shelf.writes == [(record(1, 5),)]


async def test_a_record_that_changes_after_it_was_written_is_written_again():
    async with writing() as (writer, shelf, _):
        writer.report(record(1))
        await wait_all_tasks_blocked()
        writer.report(record(1, 2))
        await writer.flush()

        assert shelf.writes == [(record(1),), (record(1, 2),)]


async def test_a_record_that_comes_after_a_long_silence_is_written_as_well():
    async with writing() as (writer, shelf, _):
        for number in (1, 2, 3):
            report(writer, number)
            await sleep(1000.0)

        assert shelf.numbers == [[1], [2], [3]]


@pytest.mark.parametrize("pause", [0.0, 0.3])
async def test_while_nobody_waits_there_is_at_most_one_write_in_each_interval(pause):
    async with writing(interval=10.0) as (writer, shelf, _):
        shelf.pause = pause
        for number in range(1, 301):
            report(writer, number)
            await sleep(0.5)
        await sleep(20.0)

        gaps = [later - earlier for earlier, later in zip(shelf.times, shelf.times[1:], strict=False)]
        assert min(gaps) >= 10.0
        assert set(shelf.kept) == set(range(1, 301))


async def test_a_sink_that_fails_is_not_tried_more_often_than_that_either(caplog):
    async with writing(interval=10.0) as (writer, shelf, _):
        shelf.error = OSError("disk full")
        for number in range(1, 201):
            report(writer, number)
            await sleep(0.5)

        gaps = [later - earlier for earlier, later in zip(shelf.times, shelf.times[1:], strict=False)]
        assert min(gaps) >= 10.0
        assert len(caplog.records) == len(shelf.times)


async def test_a_flush_does_not_wait_for_the_interval():
    async with writing(interval=1000.0) as (writer, shelf, _):
        report(writer, 1)
        await wait_all_tasks_blocked()
        report(writer, 2)
        began = current_time()
        await writer.flush()

        assert current_time() == began
        assert set(shelf.kept) == {1, 2}


async def test_after_a_flush_the_interval_is_kept_again():
    async with writing(interval=10.0) as (writer, shelf, _):
        await writer.flush()
        shelf.pause = 0.3
        for number in range(1, 101):
            report(writer, number)
            await sleep(0.1)

        assert len(shelf.times) <= 2


async def test_a_flush_waits_for_the_write_under_way_and_for_what_came_since():
    async with writing() as (writer, shelf, tasks):
        shelf.pause = 5.0
        report(writer, 1)
        await wait_all_tasks_blocked()
        report(writer, 2)
        flush = start(tasks, writer.flush)
        await sleep(5.5)
        assert (shelf.numbers, flush.outcome) == ([[1]], PENDING)
        await sleep(5.0)

        assert (shelf.numbers, flush.outcome) == ([[1], [2]], None)


async def test_a_flush_of_nothing_writes_nothing():
    async with writing() as (writer, shelf, _):
        await writer.flush()
        report(writer, 1)
        await writer.flush()
        await writer.flush()

        assert shelf.numbers == [[1]]


async def test_several_flushes_at_once_make_one_write():
    async with writing() as (writer, shelf, tasks):
        shelf.pause = 1.0
        report(writer, 1)
        flushes = [start(tasks, writer.flush) for _ in range(5)]
        await sleep(3.0)

        assert shelf.numbers == [[1]]
        assert [flush.outcome for flush in flushes] == [None] * 5


async def test_a_failing_sink_loses_nothing_and_is_logged(caplog):
    async with writing() as (writer, shelf, _):
        shelf.error = OSError("disk full")
        report(writer, 1, 2)
        await wait_all_tasks_blocked()
        assert (shelf.writes, len(caplog.records)) == ([], 1)
        assert "2 audit records were not written" in caplog.text
        assert "disk full" in caplog.text
        shelf.error = None
        report(writer, 3)
        await writer.flush()

        assert shelf.numbers == [[1, 2, 3]]
        assert writer.lost == 0


async def test_a_sink_that_recovers_gets_everything_at_the_next_flush():
    async with writing() as (writer, shelf, _):
        shelf.error = OSError("disk full")
        report(writer, 1, 2)
        await writer.flush()
        shelf.error = None
        await writer.flush()

        assert shelf.numbers == [[1, 2]]


async def test_a_flush_ends_although_the_sink_fails():
    async with writing() as (writer, shelf, _):
        shelf.error = OSError("disk full")
        report(writer, 1)
        with move_on_after(100.0) as scope:
            for _ in range(3):
                await writer.flush()

        assert not scope.cancelled_caught
        assert len(shelf.times) >= 3


async def test_a_record_that_changed_while_its_write_failed_is_tried_again_as_it_is_now():
    async with writing() as (writer, shelf, _):
        shelf.error, shelf.pause = OSError("disk full"), 1.0
        writer.report(record(1))
        await wait_all_tasks_blocked()
        writer.report(record(1, 2))
        await sleep(1.5)
        shelf.error = None
        await writer.flush()

        assert shelf.writes == [(record(1, 2),)]


async def test_there_is_one_write_at_once_and_no_older_record_after_a_newer_one():
    async with writing() as (writer, shelf, tasks):
        shelf.error = OSError("disk full")
        writer.report(record(1))
        await writer.flush()
        shelf.pause = 2.0
        start(tasks, writer.flush)
        await wait_all_tasks_blocked()
        shelf.error = None
        writer.report(record(1, 2))
        await sleep(1.0)
        shelf.error = OSError("disk full")
        await sleep(1.5)
        shelf.error = None
        await sleep(20.0)
        await writer.flush()

        assert shelf.most_at_once == 1
        assert shelf.kept == {1: record(1, 2)}


async def test_a_flush_that_is_cancelled_loses_nothing():
    async with writing() as (writer, shelf, tasks):
        shelf.error = OSError("disk full")
        report(writer, 1)
        await writer.flush()
        shelf.error, shelf.pause = None, 1000.0
        flush = start(tasks, writer.flush)
        await wait_all_tasks_blocked()
        flush.cancel()
        await wait_all_tasks_blocked()
        assert flush.outcome == CANCELLED
        shelf.pause = 0.0
        with move_on_after(5000.0):
            await writer.flush()

        assert set(shelf.kept) == {1}


async def test_a_last_flush_writes_what_was_being_written_when_tasks_were_cancelled():
    shelf = Shelf()
    async with create_task_group() as tasks:
        writer = AuditWriter(shelf, interval=1.0, spawn=tasks.start_soon)
        shelf.pause = 1000.0
        report(writer, 1)
        await wait_all_tasks_blocked()
        report(writer, 2)
        tasks.cancel_scope.cancel()
    shelf.pause = 0.0
    await writer.flush()

    assert set(shelf.kept) == {1, 2}


async def test_a_sink_that_cancels_itself_cancels_nobody_and_loses_nothing():
    leaked = await leaked_cancellation()
    async with writing() as (writer, shelf, tasks):
        bystander = start(tasks, sleep_forever)
        shelf.error = leaked
        report(writer, 1)
        await wait_all_tasks_blocked()
        assert bystander.outcome == PENDING
        shelf.error = None
        await writer.flush()

        assert set(shelf.kept) == {1}


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_exception_that_ends_the_process_goes_through_and_loses_nothing(backend, error):
    shelf = Shelf()
    writers = []

    async def main():
        async with create_task_group() as tasks:
            writers.append(AuditWriter(shelf, interval=1.0, spawn=tasks.start_soon))
            shelf.error = error()
            report(writers[0], 1)
            await sleep(100.0)

    with pytest.raises(BaseException) as raised:
        run(main, backend)
    assert raised.type is error or raised.group_contains(error)

    shelf.error = None
    run(writers[0].flush, backend)
    assert shelf.kept == {1: record(1)}


async def test_a_sink_that_hangs_is_in_nobodys_way():
    async with writing() as (writer, shelf, _):
        shelf.pause = 1e6
        for number in range(1, 100):
            report(writer, number)
            await sleep(1.0)

        assert len(shelf.times) == 1


async def test_above_ten_thousand_waiting_records_the_oldest_are_given_up_and_counted():
    async with writing() as (writer, shelf, _):
        shelf.error = OSError("disk full")
        report(writer, *range(1, 10_011))
        await writer.flush()
        shelf.error = None
        await writer.flush()

        assert shelf.numbers == [list(range(11, 10_011))]
        assert writer.lost == 10


async def test_the_bound_holds_also_for_what_comes_while_a_write_fails():
    async with writing() as (writer, shelf, _):
        shelf.error, shelf.pause = OSError("disk full"), 1.0
        report(writer, *range(1, 9_001))
        await wait_all_tasks_blocked()
        report(writer, *range(9_001, 12_001))
        await writer.flush()
        await sleep(5.0)
        shelf.error = None
        await writer.flush()

        written = [number for write in shelf.numbers for number in write]
        assert written == list(range(2_001, 12_001))
        assert writer.lost == 2_000


@settings(deadline=None)
@given(
    interval=st.sampled_from([1.0, 4.0]),
    story=st.lists(
        st.sampled_from(["new", "again", "flush", "break", "mend", "slow", "quick"])
        | st.floats(0.1, 4.0).map(lambda seconds: round(seconds, 1)),
        max_size=30,
    ),
)
async def test_whatever_happens_the_sink_has_every_record_as_it_was_last(interval, story):
    async with writing(interval) as (writer, shelf, tasks):
        latest = {}
        for step in story:
            match step:
                case "new":
                    latest[len(latest) + 1] = record(len(latest) + 1)
                    writer.report(latest[len(latest)])
                case "again" if latest:
                    last = latest[len(latest)]
                    latest[len(latest)] = dataclasses.replace(last, repeats=last.repeats + 1)
                    writer.report(latest[len(latest)])
                case "flush":
                    start(tasks, writer.flush)
                case "break" | "mend":
                    shelf.error = OSError("disk full") if step == "break" else None
                case "slow" | "quick":
                    shelf.pause = 2.0 if step == "slow" else 0.0
                case float():
                    await sleep(step)
        await sleep(10.0)
        shelf.error = None
        await writer.flush()

        assert shelf.kept == latest
        assert shelf.most_at_once <= 1
        assert all(write == tuple(sorted(write, key=lambda kept: kept.number)) for write in shelf.writes)
