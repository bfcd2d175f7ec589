"""Contract tests for where durable jobs are kept."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from async_backfill.testing._calls import give_up, moments, together
from async_backfill.testing._claims import holds, same

if TYPE_CHECKING:
    from async_backfill.contracts import JobState, Transaction

_NEW: Final = (
    "INSERT INTO job (id, name, plan_hash, status, wanted, reason, settings, planned_by, created, started,"
    " ended, seconds_running, log_head, live_until, plan)"
    " VALUES (?, ?, 'h', 'planned', 'run', NULL, '{}', 'ada', 0.0, NULL, NULL, 0.0, '', 0.0, ?)"
)
_ROW: Final = "INSERT INTO dead (job, digest, key, shard, error, at, rows) VALUES (1, ?, ?, ?, ?, ?, ?)"


class _BrokenError(Exception):
    pass


class JobStateContract:
    """Tests of the promises of `JobState`; inherit from it, and give the fixtures ``state`` and ``others``.

    They are one state without jobs, opened twice: by two processes, or on two hosts. Use it as
    `FarStoreContract`.
    """

    async def test_what_was_committed_is_seen_by_all(self, state: JobState, others: JobState) -> None:
        same(await state.transact(partial(_add, number=1)), 1, "the result of the work is returned")
        same(await others.transact(_numbers), [1], "what was committed is there for others")

    async def test_what_raises_is_rolled_back(self, state: JobState, others: JobState) -> None:
        def fail(tx: Transaction) -> None:
            _add(tx, 1)
            raise _BrokenError

        try:
            await state.transact(fail)
        except _BrokenError:
            pass
        else:
            raise AssertionError("what the work raises is raised")
        for asked in (state, others):
            same(await asked.transact(_numbers), [], "what raised has left nothing")

    async def test_work_runs_alone(self, state: JobState, others: JobState) -> None:
        def one_more(tx: Transaction) -> int:
            return _add(tx, len(_numbers(tx)) + 1)

        calls = [partial(each.transact, one_more) for each in (state, others) * 10]
        same(sorted(await together(*calls)), [*range(1, 21)], "no work sees half of another's")

    async def test_a_statement_that_fails_leaves_nothing_and_the_next_call_works(
        self, state: JobState, others: JobState
    ) -> None:
        def twice(tx: Transaction) -> None:
            _add(tx, 1)
            _add(tx, 1)

        try:
            await state.transact(twice)
        except Exception as error:  # noqa: BLE001 - it is of a floor above this one
            same("\n" in str(error), False, "an error is one line")
        else:
            raise AssertionError("a second job of one number is an error")
        same(await others.transact(_numbers), [], "what failed has left nothing")
        same(await state.transact(partial(_add, number=2)), 2, "the next call works")

    async def test_values_come_back_as_they_were(self, state: JobState, others: JobState) -> None:
        rows = [
            (b"", b"", 0, "", 0.0, 1),
            (b"1", bytes(range(256)), 2**63 - 1, "Zo\u00eb \U0001f600\n'?$1", 1e-300, 2),
            (b"2", b"x" * 10_000, -(2**63), "e" * 10_000, 1_796_038_617.048472, 3),
        ]

        def keep(tx: Transaction) -> None:
            _add(tx, 1)
            for row in rows:
                tx.rows(_ROW, *row)

        await state.transact(keep)
        query = "SELECT digest, key, shard, error, at, rows FROM dead ORDER BY rows"
        found = await others.transact(lambda tx: [tuple(row) for row in tx.rows(query)])
        same(found, rows, "integers of 64 bits, floats, text and bytes are kept as they are")

    async def test_a_transaction_has_one_time_and_a_later_one_no_earlier_time(
        self, state: JobState, others: JobState
    ) -> None:
        def times(tx: Transaction) -> tuple[float, float]:
            before = tx.now()
            _numbers(tx)
            return before, tx.now()

        latest = 0.0
        for asked in (state, others) * 3:
            before, after = await asked.transact(times)
            same(after, before, "a transaction has one time")
            holds(f"{before} is before {latest}, the time of an earlier one", kept=before >= latest)
            latest = before

    async def test_a_cancelled_call_is_kept_as_a_whole_or_not_at_all(
        self, state: JobState, others: JobState
    ) -> None:
        numbers = iter(range(1, 1000))

        def two(tx: Transaction) -> None:
            first = next(numbers)
            _add(tx, 2 * first)
            _add(tx, 2 * first + 1)

        for moment in await moments(partial(state.transact, two)):
            await give_up(partial(state.transact, two), moment)
            found: Any = await others.transact(_numbers)
            same(len(found) % 2, 0, "a cancelled call is kept as a whole or not at all")
        await state.transact(two)


def _add(tx: Transaction, number: int) -> int:
    tx.rows(_NEW, number, f"job {number}", b"plan")
    return number


def _numbers(tx: Transaction) -> list[int]:
    return [number for (number,) in tx.rows("SELECT id FROM job ORDER BY id")]
