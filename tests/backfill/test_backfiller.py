"""One backfill from its offer to its record: permitted, selected, loaded, and never raising."""

from __future__ import annotations

import contextlib

import pytest
from anyio import create_task_group, current_time, fail_after, sleep, sleep_forever, wait_all_tasks_blocked
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backfill import BackfillCause, CacheClosedError, Failed, LoadError, MappingSource, Status
from async_backfill.backfill._audit.log import AuditLog
from async_backfill.backfill._backfiller import Backfiller
from async_backfill.backfill._bulk_load import BulkLoad
from async_backfill.backfill._history.recovery import Recovery
from async_backfill.backfill._pace import Pace
from async_backfill.backfill._receipts.receipts import Receipts
from async_backfill.backfill._source_order import SourceOrder
from async_backfill.backfill.budget import BackfillBudget
from async_backfill.outcomes import ELSEWHERE
from async_backfill.testing import GatedSource, ManualClock
from tests.callers import PENDING, leaked_cancellation, run, start

ROWS = dict.fromkeys("abcdef", 1)


class UnreliableScan(MappingSource):
    """A scan that raises ``error`` if it is set, after it took ``pause`` seconds."""

    def __init__(self, rows):
        super().__init__(rows)
        self.error = None
        self.pause = 0.0
        self.pages = 0

    async def scan(self, cursor, limit):
        self.pages += 1
        await sleep(self.pause)
        if self.error is not None:
            raise self.error
        return await super().scan(cursor, limit)


class Rig:
    """A backfiller among real parts; ``cached`` is what it loaded, as a store would keep it."""

    def __init__(
        self, spawn, *, rows, max_backfills=None, limit=3, concurrent=1, timeout=30.0, scans_freely=False
    ):
        self.scan = UnreliableScan(rows)
        self.source = GatedSource(rows)
        self.cached = set()
        self.loading = set()
        self.limit = limit
        self.lookups = 0
        self.budget = BackfillBudget(max_backfills)
        self.audit = AuditLog(keep=1000, wall_clock=ManualClock(), report=lambda _: None)
        selection = SourceOrder(
            self.scan,
            is_cached=self.cached.__contains__,
            is_loading=self.loading.__contains__,
            removals=lambda: 0,
        )
        self.backfiller = Backfiller(
            selection=selection,
            bulk=BulkLoad(
                self,
                selection,
                None,
                lookups=lambda: self.lookups,
                pace=Pace(lambda: None),
                is_cached=self.cached.__contains__,
            ),
            budget=self.budget,
            audit=self.audit,
            limit=lambda: self.limit,
            concurrent=concurrent,
            timeout=timeout,
            lookups=lambda: self.lookups,
            reading=lambda: (2, 5),
            scans_freely=scans_freely,
            recovery=Recovery(
                first_step=500,
                a_call=500,
                most=lambda: 0,
                patience=1000,
                reads=Receipts(window=1000, report=lambda *_: None),
                wanted=lambda: 0,
                lookups=lambda: self.lookups,
                usual=lambda: None,
                reading=lambda: (2, 5),
            ),
            spawn=spawn,
        )

    async def load_many(self, keys, _=None):
        self.loading.update(keys)
        try:
            answers = await self.source.load_many(keys)
        finally:
            self.loading.difference_update(keys)
        self.cached.update(key for key, answer in answers.items() if answer == 1)
        return answers

    @property
    def statuses(self):
        return [record.status.value for record in self.audit.records]


@contextlib.asynccontextmanager
async def backfilling(*, is_open=True, **options):
    ran_to_its_end = False
    with fail_after(1e6):
        async with create_task_group() as tasks:
            rig = Rig(tasks.start_soon, **({"rows": ROWS} | options))
            if is_open:
                rig.source.open()
            yield rig, tasks
            ran_to_its_end = True
            tasks.cancel_scope.cancel()
    assert ran_to_its_end, "something cancelled the tasks and with them the test"


async def offer(rig):
    """Offer a backfill and wait until the one that was taken up, if any, has ended."""
    episode = rig.backfiller.offer()
    if episode is not None:
        await episode.done.wait()
    return episode


@pytest.mark.anyio
async def test_a_backfill_loads_the_selected_keys_and_is_audited_from_start_to_end():
    async with backfilling(max_backfills=2) as (rig, _):
        rig.lookups = 5
        await offer(rig)
        started, completed = rig.audit.records

        assert rig.source.calls == [("a", "b", "c")]
        assert (started.status, completed.status) == (Status.STARTED, Status.COMPLETED)
        for record in (started, completed):
            assert (record.cause, record.backfill, record.keys) == (BackfillCause.THRESHOLD, 1, 3)
            assert (record.window_misses, record.window_lookups, record.lookup) == (2, 5, 5)
            assert (record.permits_left, record.by, record.reason, record.error) == (1, None, None, None)
        assert (started.loaded, completed.loaded) == (0, 3)


@pytest.mark.anyio
async def test_an_offer_does_not_wait():
    async with backfilling(is_open=False) as (rig, _):
        episode = rig.backfiller.offer()
        assert rig.scan.pages == 0
        await wait_all_tasks_blocked()

        assert (rig.source.waiting, episode.done.is_set(), bool(rig.backfiller.running)) == (1, False, True)


@pytest.mark.anyio
async def test_an_empty_source_is_never_backfilled_and_costs_no_permit():
    async with backfilling(rows={}, max_backfills=1) as (rig, _):
        for _ in range(3):
            await offer(rig)

        assert rig.statuses == ["skipped"]
        assert (rig.audit.records[0].repeats, rig.budget.permits_left) == (3, 1)
        assert (rig.scan.pages, rig.source.calls) == (1, [])


@pytest.mark.anyio
async def test_without_room_a_backfill_is_skipped_at_once_and_the_source_is_not_scanned():
    async with backfilling(limit=0, max_backfills=1) as (rig, _):
        assert rig.backfiller.offer() is None
        assert (rig.statuses, rig.budget.permits_left, rig.scan.pages) == (["skipped"], 1, 0)


@pytest.mark.anyio
async def test_room_that_is_gone_when_the_backfill_begins_skips_it():
    async with backfilling(max_backfills=1) as (rig, _):
        episode = rig.backfiller.offer()
        rig.limit = 0
        await episode.done.wait()

        assert (rig.statuses, rig.budget.permits_left, rig.source.calls) == (["skipped"], 1, [])


@pytest.mark.anyio
async def test_when_everything_is_loaded_the_next_backfill_is_skipped():
    async with backfilling(limit=4) as (rig, _):
        for _ in range(3):
            await offer(rig)

        assert rig.source.calls == [("a", "b", "c", "d"), ("e", "f")]
        assert rig.statuses == ["started", "completed", "started", "completed", "skipped"]


@pytest.mark.anyio
@pytest.mark.parametrize("max_backfills", [0, 1, 2])
async def test_no_more_backfills_start_than_there_are_permits_and_the_others_are_denied(max_backfills):
    async with backfilling(max_backfills=max_backfills, limit=1) as (rig, _):
        for _ in range(6):
            await offer(rig)

        assert rig.audit.backfills == len(rig.source.calls) == max_backfills
        assert rig.statuses == ["started", "completed"] * max_backfills + ["denied"]
        assert (rig.audit.records[-1].repeats, rig.budget.permits_left) == (6 - max_backfills, 0)


@pytest.mark.anyio
async def test_without_a_permit_an_offer_is_denied_once_the_scan_has_seen_what_is_left():
    async with backfilling(max_backfills=1, limit=1) as (rig, _):
        await offer(rig)
        pages = rig.scan.pages

        assert rig.backfiller.offer() is None
        assert (rig.statuses[-1], rig.scan.pages) == ("denied", pages)


@pytest.mark.anyio
async def test_without_a_permit_the_source_is_not_scanned_whatever_it_holds():
    for rows in ({}, ROWS):
        async with backfilling(rows=rows, max_backfills=0) as (rig, _):
            for _ in range(2):
                await offer(rig)

            assert (rig.statuses, rig.audit.records[0].repeats, rig.scan.pages) == (["denied"], 2, 0)


@pytest.mark.anyio
async def test_without_a_permit_a_scan_that_costs_nothing_tells_what_is_empty():
    for rows, status in (({}, "skipped"), (ROWS, "denied")):
        async with backfilling(rows=rows, max_backfills=0, scans_freely=True) as (rig, _):
            for _ in range(2):
                await offer(rig)

            assert (rig.statuses, rig.audit.records[0].repeats) == ([status], 2)


@pytest.mark.anyio
async def test_a_scan_that_fails_is_tried_again_less_and_less_often():
    async with backfilling() as (rig, _):
        rig.scan.error = OSError("disk gone")
        for _ in range(6000):
            await offer(rig)
            await sleep(0.1)

        assert rig.scan.pages == 6 + 9  # after 1, 2, 4, 8, 16 and 32 s, then once a minute
        assert rig.statuses.count("failed") == rig.scan.pages
        assert "the scan failed" in rig.audit.records[1].reason


@pytest.mark.anyio
async def test_after_a_scan_that_succeeded_the_pause_begins_anew():
    async with backfilling(limit=1) as (rig, _):
        for error in (OSError("gone"), OSError("gone"), None, OSError("gone")):
            rig.scan.error = error
            rig.backfiller._selection._start_again()
            await sleep(10.0)
            await offer(rig)
        await sleep(1.0)
        await offer(rig)

        assert rig.statuses[-1] == "failed"


@pytest.mark.anyio
async def test_a_permit_that_is_spent_while_the_source_is_scanned_denies_the_backfill():
    async with backfilling(max_backfills=1) as (rig, _):
        episode = rig.backfiller.offer()
        rig.budget.acquire_nowait()
        await episode.done.wait()

        assert (rig.statuses, rig.source.calls) == (["denied"], [])


@pytest.mark.anyio
async def test_a_permit_is_spent_when_the_backfill_starts_and_not_given_back_when_it_fails():
    async with backfilling(is_open=False, max_backfills=2) as (rig, _):
        episode = rig.backfiller.offer()
        await wait_all_tasks_blocked()
        assert (rig.budget.permits_left, rig.statuses) == (1, ["started"])
        rig.source.release(ConnectionError("down"))
        await episode.done.wait()

        assert (rig.budget.permits_left, rig.statuses) == (1, ["started", "failed"])


@pytest.mark.anyio
async def test_keys_that_failed_are_selected_again():
    async with backfilling(is_open=False) as (rig, _):
        rig.backfiller.offer()
        await wait_all_tasks_blocked()
        rig.source.release(ConnectionError("down"))
        await rig.backfiller.running.quiet()
        rig.source.open()
        await offer(rig)

        assert rig.source.calls == [("a", "b", "c")] * 2


@pytest.mark.anyio
async def test_keys_that_the_source_no_longer_has_are_not_asked_for_again():
    async with backfilling() as (rig, _):
        rig.source.rows = {"b": 1, "d": 1}
        for _ in range(3):
            await offer(rig)

        assert rig.source.calls == [("a", "b", "c"), ("d", "e", "f")]
        assert [record.loaded for record in rig.audit.records if record.status is Status.COMPLETED] == [1, 1]


@pytest.mark.anyio
async def test_a_key_that_another_load_has_is_neither_loaded_nor_failed_nor_forgotten():
    async with backfilling() as (rig, _):
        rig.source.rows = ROWS | {"a": ELSEWHERE, "b": Failed(ValueError("bad row"))}
        episode = await offer(rig)
        assert (episode.record.status, episode.record.keys, episode.record.loaded) == (Status.COMPLETED, 3, 1)
        assert episode.record.error == "1 of 2 keys failed: ValueError: bad row"
        rig.source.rows = ROWS
        await offer(rig)

        assert rig.source.calls == [("a", "b", "c"), ("a", "b", "d")]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ConnectionError("down"), "ConnectionError: down"),
        (ConnectionError("two\n  lines"), "ConnectionError: two lines"),
        (KeyError(), "KeyError"),
    ],
)
async def test_a_load_that_fails_is_a_record_that_says_why_in_one_line(error, line):
    async with backfilling(is_open=False) as (rig, _):
        episode = rig.backfiller.offer()
        await wait_all_tasks_blocked()
        rig.source.release(error)
        await episode.done.wait()

        assert (episode.record.status, episode.record.error) == (Status.FAILED, line)
        assert (episode.record.keys, episode.record.loaded) == (3, 0)


@pytest.mark.anyio
async def test_a_failure_that_has_a_cause_is_told_by_it():
    async with backfilling(is_open=False) as (rig, _):
        episode = rig.backfiller.offer()
        await wait_all_tasks_blocked()
        failure = LoadError("loading 'a' failed", key="a")
        failure.__cause__ = OSError("no route")
        rig.source.release(failure)
        await episode.done.wait()

        assert episode.record.error == "OSError: no route"


@pytest.mark.anyio
async def test_keys_that_fail_alone_are_told_and_the_others_are_loaded():
    async with backfilling() as (rig, _):
        rig.source.rows = {"a": 1, "b": Failed(ValueError("bad row")), "c": 1}
        episode = await offer(rig)

        assert (episode.record.status, episode.record.loaded) == (Status.COMPLETED, 2)
        assert episode.record.error == "1 of 3 keys failed: ValueError: bad row"


@pytest.mark.anyio
async def test_a_backfill_of_which_every_key_failed_has_failed():
    async with backfilling() as (rig, _):
        rig.source.rows = dict.fromkeys("abc", Failed(ValueError("bad row")))
        episode = await offer(rig)

        assert (episode.record.status, episode.record.loaded) == (Status.FAILED, 0)
        assert episode.record.error == "3 of 3 keys failed: ValueError: bad row"


@pytest.mark.anyio
async def test_a_scan_that_fails_spends_one_permit_and_loads_nothing():
    async with backfilling(max_backfills=3) as (rig, _):
        rig.scan.error = OSError("disk gone")
        for _ in range(2):
            await offer(rig)
            await sleep(1.0)

        assert (rig.budget.permits_left, rig.source.calls, rig.audit.backfills) == (1, [], 2)
        assert [(record.status, record.backfill, record.error) for record in rig.audit.records] == [
            (Status.FAILED, number, "OSError: disk gone") for number in (1, 2)
        ]


@pytest.mark.anyio
async def test_a_scan_that_fails_when_no_permit_is_left_is_denied():
    async with backfilling(max_backfills=0) as (rig, _):
        rig.scan.error = OSError("disk gone")
        await offer(rig)

        assert (rig.statuses, rig.audit.backfills, rig.budget.permits_left) == (["denied"], 0, 0)


@pytest.mark.anyio
async def test_a_scan_that_hangs_times_out_and_spends_one_permit():
    async with backfilling(max_backfills=2, timeout=7.0) as (rig, _):
        rig.scan.pause = 1e6
        began = current_time()
        episode = await offer(rig)

        assert current_time() - began == pytest.approx(7.0)
        assert (episode.record.status, rig.budget.permits_left) == (Status.FAILED, 1)
        assert episode.record.error == "TimeoutError: the selection took longer than 7.0 s"


@pytest.mark.anyio
async def test_after_a_scan_that_hung_the_next_backfill_works():
    async with backfilling(timeout=7.0) as (rig, _):
        rig.scan.pause = 1e6
        await offer(rig)
        rig.scan.pause = 0.0
        await sleep(1.0)
        await offer(rig)

        assert rig.source.calls == [("a", "b", "c")]


@pytest.mark.anyio
async def test_without_a_timeout_a_scan_may_take_a_day():
    async with backfilling(timeout=None) as (rig, _):
        rig.scan.pause = 86_400.0
        await offer(rig)

        assert rig.statuses == ["started", "completed"]


@pytest.mark.anyio
@pytest.mark.parametrize("where", ["scan", "load"])
async def test_a_scan_or_a_load_that_cancels_itself_fails_and_cancels_nobody(where):
    leaked = await leaked_cancellation()
    async with backfilling(is_open=where == "scan") as (rig, tasks):
        bystander = start(tasks, sleep_forever)
        if where == "scan":
            rig.scan.error = leaked
        episode = rig.backfiller.offer()
        await wait_all_tasks_blocked()
        if where == "load":
            rig.source.release(leaked)
        await episode.done.wait()
        await wait_all_tasks_blocked()

        assert (episode.record.status, bystander.outcome) == (Status.FAILED, PENDING)
        rig.scan.error = None
        rig.source.open()
        await sleep(1.0)
        await offer(rig)
        assert rig.statuses[-2:] == ["started", "completed"]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize(("max_backfills", "status"), [(1, "failed"), (0, "denied")])
def test_an_exception_that_ends_the_process_is_audited_and_goes_on(backend, error, max_backfills, status):
    rigs = []

    async def main():
        async with backfilling(max_backfills=max_backfills, scans_freely=True) as (rig, _):
            rigs.append(rig)
            rig.scan.error = error()
            rig.backfiller.offer()
            await wait_all_tasks_blocked()

    with pytest.raises(BaseException) as raised:
        run(main, backend)

    assert raised.type is error or raised.group_contains(error)
    assert (rigs[0].statuses, bool(rigs[0].backfiller.running)) == ([status], False)


@pytest.mark.anyio
async def test_one_backfill_runs_at_a_time_and_an_offer_meanwhile_points_to_it():
    async with backfilling(is_open=False, max_backfills=9) as (rig, _):
        first = rig.backfiller.offer()
        await wait_all_tasks_blocked()

        assert [rig.backfiller.offer() for _ in range(3)] == [first] * 3
        assert (rig.statuses, len(rig.source.calls), rig.budget.permits_left) == (["started"], 1, 8)


@pytest.mark.anyio
async def test_two_run_at_a_time_where_that_is_allowed_and_load_different_keys():
    async with backfilling(is_open=False, concurrent=2, limit=2) as (rig, _):
        first, second = rig.backfiller.offer(), rig.backfiller.offer()
        await wait_all_tasks_blocked()

        assert first is not second
        assert rig.backfiller.offer() in (first, second)
        assert sorted(rig.source.calls) == [("a", "b"), ("c", "d")]
        rig.source.open()
        await rig.backfiller.running.quiet()
        assert sorted(record.backfill for record in rig.audit.records) == [1, 1, 2, 2]


@pytest.mark.anyio
async def test_a_forced_backfill_needs_no_permit_and_says_who_and_why():
    async with backfilling(max_backfills=0) as (rig, _):
        record = await rig.backfiller.force("ada", "after the deploy")

        assert rig.source.calls == [("a", "b", "c")]
        assert (record.status, record.loaded, record.permits_left) == (Status.COMPLETED, 3, 0)
        for kept in rig.audit.records:
            assert (kept.cause, kept.by, kept.reason) == (BackfillCause.MANUAL, "ada", "after the deploy")


@pytest.mark.anyio
async def test_a_forced_backfill_spends_no_permit():
    async with backfilling(max_backfills=1) as (rig, _):
        await rig.backfiller.force(None, None)

        assert rig.budget.permits_left == 1


@pytest.mark.anyio
async def test_a_forced_backfill_never_raises_what_the_source_raised():
    async with backfilling() as (rig, _):
        rig.scan.error = OSError("disk gone")
        record = await rig.backfiller.force("ada", None)

        assert (record.status, record.error) == (Status.FAILED, "OSError: disk gone")


@pytest.mark.anyio
async def test_a_forced_backfill_with_nothing_to_load_is_skipped_and_says_who_asked():
    async with backfilling(rows={}) as (rig, _):
        records = [await rig.backfiller.force(by, None) for by in ("ada", "bob")]

        assert [(record.status, record.by) for record in records] == [
            (Status.SKIPPED, "ada"),
            (Status.SKIPPED, "bob"),
        ]


@pytest.mark.anyio
async def test_a_forced_backfill_waits_for_the_one_under_way():
    async with backfilling(is_open=False) as (rig, tasks):
        rig.backfiller.offer()
        await wait_all_tasks_blocked()
        forced = start(tasks, rig.backfiller.force, "ada", None)
        await wait_all_tasks_blocked()
        assert len(rig.source.calls) == 1
        rig.source.open()
        await wait_all_tasks_blocked()

        assert rig.source.calls == [("a", "b", "c"), ("d", "e", "f")]
        assert forced.outcome.backfill == 2


@pytest.mark.anyio
async def test_forced_backfills_run_one_after_the_other():
    async with backfilling(limit=2) as (rig, tasks):
        callers = [start(tasks, rig.backfiller.force, None, None) for _ in range(3)]
        await wait_all_tasks_blocked()

        assert rig.source.calls == [("a", "b"), ("c", "d"), ("e", "f")]
        assert {caller.outcome.backfill for caller in callers} == {1, 2, 3}


@pytest.mark.anyio
async def test_a_forced_backfill_goes_on_when_who_forced_it_is_cancelled():
    async with backfilling(is_open=False) as (rig, tasks):
        forced = start(tasks, rig.backfiller.force, None, None)
        await wait_all_tasks_blocked()
        forced.cancel()
        rig.source.open()
        await rig.backfiller.running.quiet()

        assert rig.statuses == ["started", "completed"]


@pytest.mark.anyio
async def test_stopping_cancels_what_is_loading_and_audits_it():
    async with backfilling(is_open=False) as (rig, _):
        episode = rig.backfiller.offer()
        await wait_all_tasks_blocked()
        rig.backfiller.stop()
        await rig.backfiller.running.quiet()

        assert rig.source.cancelled == [("a", "b", "c")]
        assert rig.statuses == ["started", "cancelled"]
        assert episode.done.is_set()
        assert not rig.backfiller.running


@pytest.mark.anyio
async def test_stopping_during_the_scan_leaves_no_record_because_nothing_was_decided():
    async with backfilling(max_backfills=1) as (rig, _):
        rig.scan.pause = 10.0
        rig.backfiller.offer()
        await wait_all_tasks_blocked()
        rig.backfiller.stop()
        await rig.backfiller.running.quiet()

        assert (rig.statuses, rig.budget.permits_left) == ([], 1)


@pytest.mark.anyio
async def test_who_forced_a_backfill_that_never_started_is_told_that_the_cache_closed():
    async with backfilling() as (rig, tasks):
        rig.scan.pause = 10.0
        forced = start(tasks, rig.backfiller.force, None, None)
        await wait_all_tasks_blocked()
        rig.backfiller.stop()
        await wait_all_tasks_blocked()

        assert isinstance(forced.outcome, CacheClosedError)


@pytest.mark.anyio
async def test_a_forced_backfill_that_waits_for_its_turn_is_not_begun_after_the_stop():
    async with backfilling(is_open=False) as (rig, tasks):
        rig.backfiller.offer()
        await wait_all_tasks_blocked()
        pages = rig.scan.pages
        forced = start(tasks, rig.backfiller.force, None, None)
        await wait_all_tasks_blocked()
        rig.backfiller.stop()
        await wait_all_tasks_blocked()

        assert isinstance(forced.outcome, CacheClosedError)
        assert (rig.scan.pages, rig.statuses) == (pages, ["started", "cancelled"])


@pytest.mark.anyio
async def test_nothing_is_taken_up_after_the_stop():
    async with backfilling() as (rig, _):
        rig.backfiller.stop()

        assert rig.backfiller.offer() is None
        with pytest.raises(CacheClosedError):
            await rig.backfiller.force(None, None)
        assert (rig.statuses, rig.scan.pages) == ([], 0)


@pytest.mark.anyio
async def test_quiet_waits_for_all_that_is_under_way_and_else_for_nothing():
    async with backfilling(is_open=False, concurrent=2, limit=1) as (rig, tasks):
        await rig.backfiller.running.quiet()
        rig.backfiller.offer()
        rig.backfiller.offer()
        quiet = start(tasks, rig.backfiller.running.quiet)
        await wait_all_tasks_blocked()
        rig.source.release()
        await wait_all_tasks_blocked()
        assert (quiet.outcome, bool(rig.backfiller.running)) == (PENDING, True)
        rig.source.release()
        await wait_all_tasks_blocked()

        assert (quiet.outcome, bool(rig.backfiller.running)) == (None, False)


@pytest.mark.anyio
@settings(deadline=None)
@given(
    max_backfills=st.integers(0, 4),
    concurrent=st.integers(1, 3),
    story=st.lists(
        st.sampled_from(["offer", "offer", "force", "approve", "answer", "fail", "break", "mend", "forget"]),
        max_size=40,
    ),
)
async def test_whatever_happens_no_more_backfills_start_than_were_allowed(max_backfills, concurrent, story):
    allowed = max_backfills
    options = {"is_open": False, "max_backfills": max_backfills, "concurrent": concurrent, "limit": 2}
    async with backfilling(**options) as (rig, tasks):
        for step in story:
            match step:
                case "offer":
                    rig.backfiller.offer()
                case "force":
                    start(tasks, rig.backfiller.force, "ada", None)
                case "approve":
                    rig.budget.approve(1)
                    allowed += 1
                case "answer" | "fail" if rig.source.waiting:
                    rig.source.release(ConnectionError("down") if step == "fail" else None)
                case "break" | "mend":
                    rig.scan.error = OSError("disk gone") if step == "break" else None
                case "forget":
                    rig.cached.clear()
            await wait_all_tasks_blocked()
            spent = {
                record.backfill for record in rig.audit.records if record.cause is BackfillCause.THRESHOLD
            } - {None}
            assert len(spent) + rig.budget.permits_left == allowed
            assert rig.source.waiting <= concurrent
        rig.source.open()
        await rig.backfiller.running.quiet()
        await wait_all_tasks_blocked()

        begun = [record.backfill for record in rig.audit.records if record.status is Status.STARTED]
        ended = [
            record.backfill
            for record in rig.audit.records
            if record.backfill is not None and record.status is not Status.STARTED
        ]
        assert sorted(ended) == list(range(1, rig.audit.backfills + 1))
        assert set(begun) <= set(ended)
