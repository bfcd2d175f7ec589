"""The suite for sources: each way to break the contract fails a test of it."""

from __future__ import annotations

import anyio
import pytest

from async_backfill import Failed, MappingSource
from async_backfill.testing import PartialFailureContract, SourceContract
from tests.testing.suites import failed_tests

ROWS = {"a": 1, "b": 2, "c": 3, "none": None}


class Suite(SourceContract):
    known = ROWS
    missing = ("x", "")


class PartialSuite(PartialFailureContract):
    known = ROWS
    missing = ("x",)
    failing = ("bad", "worse")


class Rows:
    """A source that does as it should, slowly."""

    def __init__(self):
        self.calls = 0

    async def load_many(self, keys):
        self.calls += 1
        await anyio.sleep(0.01)
        return {key: ROWS[key] for key in keys if key in ROWS}


class SaysMoreThanIsAsked(Rows):
    async def load_many(self, keys):
        found = await super().load_many(keys)
        return {**found, "y": 1} if len(found) == len(keys) else found


class SaysAllItHas(Rows):
    async def load_many(self, keys):
        await super().load_many(keys)
        return ROWS


class AnswersInUpperCase(Rows):
    async def load_many(self, keys):
        found = await super().load_many(keys)
        return {**found, **{key.upper(): 1 for key in keys if key not in found}}


class ForgetsTheLast(Rows):
    async def load_many(self, keys):
        return await super().load_many(keys[: max(1, len(keys) - 1)])


class SaysNoneForAbsent(Rows):
    async def load_many(self, keys):
        found = await super().load_many(keys)
        return {key: found.get(key) for key in keys}


class RaisesForAbsent(Rows):
    async def load_many(self, keys):
        return {key: ROWS[key] for key in keys}


class TakesNoneForAbsent(Rows):
    async def load_many(self, keys):
        found = await super().load_many(keys)
        return {key: value for key, value in found.items() if value is not None}


class AnswersInItsOwnOrder(Rows):
    async def load_many(self, keys):
        values = [ROWS[key] for key in sorted(keys, key=list(ROWS).index)] if set(keys) <= set(ROWS) else None
        return await super().load_many(keys) if values is None else dict(zip(keys, values, strict=True))


class EmptiesTheList(Rows):
    async def load_many(self, keys):
        found = await super().load_many(keys)
        if isinstance(keys, list):
            keys.clear()
        return found


class WantsTuples(Rows):
    async def load_many(self, keys):
        return await super().load_many(tuple.__add__(keys, ()))


class WorksOnce(Rows):
    async def load_many(self, keys):
        if self.calls:
            raise ConnectionError
        return await super().load_many(keys)


class MixesCalls(Rows):
    asked = ()

    async def load_many(self, keys):
        self.asked = tuple(keys)
        await anyio.sleep(0.01)
        return {key: ROWS[key] for key in self.asked if key in ROWS}


class KeepsItsLockWhenCancelled(Rows):
    def __init__(self):
        super().__init__()
        self.lock = anyio.Semaphore(1)

    async def load_many(self, keys):
        await self.lock.acquire()
        found = await super().load_many(keys)
        self.lock.release()
        return found


class LosesOneOfTwentyPlacesWhenCancelled(KeepsItsLockWhenCancelled):
    def __init__(self):
        super().__init__()
        self.lock = anyio.Semaphore(20)


class IsCancelledByOthers(Rows):
    """All loads at the same time share one, and who is cancelled takes the others along."""

    is_broken = False
    loading = 0

    async def load_many(self, keys):
        self.loading += 1
        try:
            found = await super().load_many(keys)
        except BaseException:
            self.is_broken = self.loading > 1
            raise
        finally:
            self.loading -= 1
        if self.is_broken:
            self.is_broken = False
            raise ConnectionError
        return found


@pytest.mark.parametrize("source", [Rows, SaysMoreThanIsAsked, lambda: MappingSource(ROWS)])
def test_a_source_that_keeps_its_promises_passes(source):
    assert failed_tests(Suite(), source=source) == set()


@pytest.mark.parametrize(
    ("source", "test"),
    [
        (ForgetsTheLast, "test_all_known_keys_at_once_have_their_values"),
        (SaysAllItHas, "test_a_missing_key_is_not_answered_under_another"),
        (AnswersInUpperCase, "test_a_missing_key_is_not_answered_under_another"),
        (SaysNoneForAbsent, "test_a_missing_key_is_left_out_of_the_answer"),
        (SaysNoneForAbsent, "test_only_missing_keys_have_an_empty_answer"),
        (RaisesForAbsent, "test_missing_keys_among_known_ones_disturb_nobody"),
        (TakesNoneForAbsent, "test_each_known_key_alone_has_its_value"),
        (AnswersInItsOwnOrder, "test_the_order_of_the_keys_does_not_matter"),
        (EmptiesTheList, "test_a_list_of_keys_will_do_and_is_not_changed"),
        (WantsTuples, "test_a_list_of_keys_will_do_and_is_not_changed"),
        (WorksOnce, "test_a_second_load_answers_like_the_first"),
        (MixesCalls, "test_loads_at_the_same_time_do_not_mix"),
        (KeepsItsLockWhenCancelled, "test_a_cancelled_load_leaves_the_source_usable"),
        (LosesOneOfTwentyPlacesWhenCancelled, "test_many_loads_cancelled_at_once_leave_the_source_usable"),
        (IsCancelledByOthers, "test_a_cancelled_load_disturbs_no_other"),
    ],
)
def test_a_source_that_breaks_a_promise_fails_the_test_of_it(source, test):
    assert test in failed_tests(Suite(), source=source)


def failing_rows(of_failed):
    class FailsInPart(Rows):
        async def load_many(self, keys):
            failed = {key: of_failed(key, keys) for key in keys if key in PartialSuite.failing}
            return {**await super().load_many(keys), **failed}

    return FailsInPart


def test_a_source_whose_keys_fail_one_by_one_passes():
    assert failed_tests(PartialSuite(), source=failing_rows(lambda *_: Failed(OSError()))) == set()


def test_a_source_that_fails_with_its_key_fails_the_test_of_it():
    def fail(*_):
        raise OSError

    assert failed_tests(PartialSuite(), source=failing_rows(fail)) == {
        "test_a_key_that_fails_spares_the_others",
        "test_a_key_that_fails_is_not_missing",
    }


def test_a_source_that_takes_what_failed_for_absent_fails_the_test_of_it():
    assert failed_tests(PartialSuite(), source=Rows) == {
        "test_a_key_that_fails_spares_the_others",
        "test_a_key_that_fails_is_not_missing",
    }


def test_a_test_that_fails_says_what_was_promised_and_what_came():
    suite = Suite()
    with pytest.raises(AssertionError, match=r"one call has all values: expected \{'a': 1.*got \{\}"):
        anyio.run(suite.test_all_known_keys_at_once_have_their_values, MappingSource({}))
