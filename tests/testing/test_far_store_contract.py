"""The suites for a far tier (L2): each way to break a contract fails a test."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from types import MappingProxyType

import anyio
import pytest

from async_backfill.testing import (
    FarStoreContract,
    InvalidationsContract,
    LeasesContract,
    MemoryFarStore,
    MemoryPermits,
    PermitsContract,
)
from tests.testing.suites import failed_tests

ITEMS = {"a": 1, "b": 2, "none": None}


class StoreSuite(FarStoreContract):
    items = ITEMS
    odd_keys = ("", " a", "a ", "\ud800")


class LeasesSuite(LeasesContract):
    items = ITEMS


class InvalidationsSuite(InvalidationsContract):
    keys = ("a", "b", "c ")


class PermitsSuite(PermitsContract):
    granted = 3


class ForgetsTheTtl(MemoryFarStore):
    async def set_many(self, items, /, *, ttl=None):
        await super().set_many(items)


class NeedsATtl(MemoryFarStore):
    async def set_many(self, items, /, *, ttl=None):
        await super().set_many(items, ttl=ttl or 0.01)


class InheritsTheTtl(MemoryFarStore):
    """A later value keeps the ttl of the first."""

    async def set_many(self, items, /, *, ttl=None):
        self.ttl = getattr(self, "ttl", ttl)
        await super().set_many(items, ttl=self.ttl)


class IsAlwaysNew(MemoryFarStore):
    async def get_many(self, keys, /):
        found = await super().get_many(keys)
        return {key: replace(copy, age=0.0) for key, copy in found.items()}


class TellsTheTimeInMilliseconds(MemoryFarStore):
    async def get_many(self, keys, /):
        found = await super().get_many(keys)
        return {key: replace(copy, age=copy.age * 1000) for key, copy in found.items()}


class TakesNoneForAbsent(MemoryFarStore):
    async def get_many(self, keys, /):
        found = await super().get_many(keys)
        return {key: copy for key, copy in found.items() if copy.value is not None}


class AnswersByPosition(MemoryFarStore):
    """Leaves absent keys out before it puts keys and values together."""

    async def get_many(self, keys, /):
        found = await super().get_many(keys)
        return dict(zip(keys, found.values(), strict=False))


class KeepsTheFirstValue(MemoryFarStore):
    async def set_many(self, items, /, *, ttl=None):
        there = await self.get_many(tuple(items))
        new = {key: value for key, value in items.items() if key not in there}
        if new:
            await super().set_many(new, ttl=ttl)


class StripsItsKeys(MemoryFarStore):
    async def get_many(self, keys, /):
        found = await super().get_many(tuple({key.strip() for key in keys}))
        return {key: found[key.strip()] for key in keys if key.strip() in found}

    async def set_many(self, items, /, *, ttl=None):
        await super().set_many({key.strip(): value for key, value in items.items()}, ttl=ttl)

    async def delete_many(self, keys, /):
        await super().delete_many(tuple({key.strip() for key in keys}))


class EncodesItsKeys(MemoryFarStore):
    async def set_many(self, items, /, *, ttl=None):
        "".join(items).encode()
        await super().set_many(items, ttl=ttl)


class DeletesOnlyWhatIsThere(MemoryFarStore):
    async def delete_many(self, keys, /):
        if len(await self.get_many(keys)) < len(keys):
            raise KeyError
        await super().delete_many(keys)


class DeletesEverything(MemoryFarStore):
    async def delete_many(self, keys, /):
        await super().clear()


class ClearsNothing(MemoryFarStore):
    async def clear(self):
        pass


class AnswersOutOfStep(MemoryFarStore):
    """One connection, on which the next reader gets the next reply, also that to a cancelled call."""

    answers = ()

    async def get_many(self, keys, /):
        self.answers = (*self.answers, await super().get_many(keys))
        await anyio.sleep(0.01)
        answer, *self.answers = self.answers
        return dict(zip(keys, answer.values(), strict=False))


class TearsWhatIsCancelled(MemoryFarStore):
    async def set_many(self, items, /, *, ttl=None):
        done = False
        try:
            await anyio.sleep(0.01)
            await super().set_many(items, ttl=ttl)
            done = True
        finally:
            if not done:
                self._server.keep(dict.fromkeys(items, "torn"), ttl)


@pytest.mark.parametrize(
    ("store", "test"),
    [
        (ForgetsTheTtl, "test_a_value_is_gone_when_its_time_is_over"),
        (ForgetsTheTtl, "test_a_value_with_a_ttl_replaces_one_without"),
        (NeedsATtl, "test_a_value_without_a_ttl_does_not_inherit_one"),
        (InheritsTheTtl, "test_a_value_without_a_ttl_does_not_inherit_one"),
        (InheritsTheTtl, "test_a_value_with_a_ttl_replaces_one_without"),
        (IsAlwaysNew, "test_a_copy_knows_its_age"),
        (TellsTheTimeInMilliseconds, "test_a_copy_knows_its_age"),
        (TakesNoneForAbsent, "test_what_was_set_is_found"),
        (AnswersByPosition, "test_keys_that_are_not_there_are_left_out"),
        (AnswersByPosition, "test_deleted_keys_are_gone_and_others_stay"),
        (KeepsTheFirstValue, "test_a_new_value_replaces_the_old_one"),
        (StripsItsKeys, "test_odd_keys_are_keys_like_others"),
        (EncodesItsKeys, "test_odd_keys_are_keys_like_others"),
        (DeletesOnlyWhatIsThere, "test_keys_that_are_not_there_can_be_deleted"),
        (DeletesEverything, "test_deleted_keys_are_gone_and_others_stay"),
        (ClearsNothing, "test_a_cleared_store_is_empty_and_can_be_filled_again"),
        (AnswersOutOfStep, "test_a_cancelled_get_does_not_answer_another_key"),
        (AnswersOutOfStep, "test_a_get_beside_a_cancelled_one_has_its_own_answer"),
        (TearsWhatIsCancelled, "test_a_cancelled_set_was_made_or_was_not"),
    ],
)
def test_a_far_store_that_breaks_a_promise_fails_the_test_of_it(store, test):
    assert test in failed_tests(StoreSuite(), store=store, other=store)


def test_a_far_store_that_keeps_its_promises_passes():
    assert failed_tests(StoreSuite(), store=MemoryFarStore, other=MemoryFarStore) == set()


def test_two_stores_that_are_one_fail_the_names_of_namespaces():
    failed = failed_tests(StoreSuite(), store=MemoryFarStore, other=lambda made: made["store"].peer())

    assert failed == {
        "test_two_namespaces_do_not_see_each_other",
        "test_what_is_removed_in_one_namespace_stays_in_another",
    }


class Leases:
    """The leases of a `MemoryFarStore`, of which a test breaks one part."""

    def __init__(self, store):
        self._leases = store.leases
        self._server = store._server

    def __getattr__(self, name):
        return getattr(self._leases, name)


class LeasesValues(Leases):
    async def acquire_many(self, keys, token, /, *, outdated=()):
        return {**await self._leases.acquire_many(keys, token), **dict.fromkeys(keys, token)}


class MakesItsOwnTokens(Leases):
    async def acquire_many(self, keys, token, /, *, outdated=()):
        return await self._leases.acquire_many(keys, token[::-1], outdated=outdated)


class HidesTheHolder(Leases):
    async def acquire_many(self, keys, token, /, *, outdated=()):
        tokens = await self._leases.acquire_many(keys, token, outdated=outdated)
        return {key: held for key, held in tokens.items() if held == token}


class LeasesNothingOutdated(Leases):
    async def acquire_many(self, keys, token, /, *, outdated=()):
        return await self._leases.acquire_many(keys, token)


class DropsWhatIsOutdated(Leases):
    async def acquire_many(self, keys, token, /, *, outdated=()):
        self._server.forget([key for key in outdated if key not in self._server._leases])
        return await self._leases.acquire_many(keys, token, outdated=outdated)


class TellsNothing(Leases):
    async def release_many(self, tokens, /, *, told=MappingProxyType({}), unkept=()):
        await self._leases.release_many(tokens, unkept=unkept)


class TellsWhatIsNotItsOwn(Leases):
    async def release_many(self, tokens, /, *, told=MappingProxyType({}), unkept=()):
        self._server._tell(tuple(told), told)
        await self._leases.release_many(tokens, told=told, unkept=unkept)


class KeepsWhatIsAbsent(Leases):
    async def release_many(self, tokens, /, *, told=MappingProxyType({}), unkept=()):
        kept = {key: self._server._kept[key] for key in told if key in self._server._kept}
        await self._leases.release_many(tokens, told=told, unkept=unkept)
        self._server._kept.update(kept)


class KeepsTheCopyOfWhatIsUnkept(Leases):
    async def release_many(self, tokens, /, *, told=MappingProxyType({}), unkept=()):
        await self._leases.release_many(tokens, told=told)


class RemovesWhatIsUnkeptInAnyCase(Leases):
    async def release_many(self, tokens, /, *, told=MappingProxyType({}), unkept=()):
        await self._leases.release_many(tokens, told=told)
        self._server.forget(unkept)


class TakesNothingOver(Leases):
    async def acquire_many(self, keys, token, /, *, outdated=()):
        tokens = await self._leases.acquire_many(keys, token[::-1], outdated=outdated)
        return {key: held[::-1] for key, held in tokens.items()}

    async def set_many(self, items, tokens, /, *, ttl=None):
        tokens = {key: token[::-1] for key, token in tokens.items()}
        return await self._leases.set_many(items, {key: tokens[key] for key in self._server.standing(tokens)})


class TakesAnythingOver(Leases):
    async def acquire_many(self, keys, token, /, *, outdated=()):
        for key in self._server._leases.keys() & set(keys):
            self._server._leases[key] = replace(self._server._leases[key], token=token)
        return await self._leases.acquire_many(keys, token, outdated=outdated)


class HasNoFence(Leases):
    async def set_many(self, items, tokens, /, *, ttl=None):
        self._server.keep(items, ttl)
        return list(items)


class SaysThatAllWereKept(Leases):
    async def set_many(self, items, tokens, /, *, ttl=None):
        await self._leases.set_many(items, tokens, ttl=ttl)
        return list(items)


class ForgetsTheTtlOfLoads(Leases):
    async def set_many(self, items, tokens, /, *, ttl=None):
        return await self._leases.set_many(items, tokens)


class KeepsAllOrNothing(Leases):
    async def set_many(self, items, tokens, /, *, ttl=None):
        if set(self._server.standing(tokens)) != set(items):
            return []
        return await self._leases.set_many(items, tokens, ttl=ttl)


class ReleasesWhatIsNotItsOwn(Leases):
    async def release_many(self, tokens, /, *, told=MappingProxyType({}), unkept=()):
        self._server.end(tokens, told)


class NeverReleases(Leases):
    async def release_many(self, tokens, /, *, told=MappingProxyType({}), unkept=()):
        pass


class HearsNothing(Leases):
    @contextmanager
    def watch(self, keys, /):
        yield anyio.sleep_forever


class HearsOnlyWhileItWaits(Leases):
    @contextmanager
    def watch(self, keys, /):
        async def ended():
            with self._leases.watch(keys) as wait:
                await wait()

        yield ended


class NoticesNoLeaseThatIsOver(Leases):
    @contextmanager
    def watch(self, keys, /):
        with self._leases.watch(keys) as ended:

            async def wait():
                self._server.next_end = lambda _: float("inf")
                await ended()

            yield wait


def leases_of(kind):
    return {
        "store": lambda: MemoryFarStore(lease=600.0),
        "leases": lambda made: kind(made["store"]),
        "rival": lambda made: kind(made["store"].peer()),
        "brief": lambda made: kind(made["store"].peer(lease=LeasesSuite.brief_lease)),
    }


def test_leases_that_keep_their_promises_pass():
    assert failed_tests(LeasesSuite(), **leases_of(Leases)) == set()


@pytest.mark.parametrize(
    ("leases", "test"),
    [
        (LeasesValues, "test_a_key_with_a_value_is_not_leased"),
        (LeasesValues, "test_a_leased_key_is_not_leased_again"),
        (LeasesValues, "test_of_all_who_ask_at_once_one_gets_the_lease"),
        (TakesNothingOver, "test_a_lease_is_taken_over_once"),
        (TakesNothingOver, "test_under_a_lease_that_was_taken_over_both_may_keep_a_value"),
        (TakesAnythingOver, "test_a_lease_is_taken_over_once"),
        (HasNoFence, "test_under_a_lease_that_was_taken_over_both_may_keep_a_value"),
        (DropsWhatIsOutdated, "test_a_lease_that_is_taken_over_keeps_its_outdated_value"),
        (HasNoFence, "test_nothing_is_kept_without_the_right_token"),
        (HasNoFence, "test_a_lease_ends_by_itself_and_what_comes_too_late_is_not_kept"),
        (HasNoFence, "test_who_comes_too_late_harms_nobody"),
        (HasNoFence, "test_a_put_wins_over_a_lease"),
        (HasNoFence, "test_a_delete_wins_over_a_lease"),
        (HasNoFence, "test_clear_wins_over_all_leases"),
        (HasNoFence, "test_a_released_key_can_be_leased_by_another"),
        (SaysThatAllWereKept, "test_of_several_leases_those_that_still_stand_keep_their_values"),
        (ForgetsTheTtlOfLoads, "test_what_is_loaded_under_a_lease_has_a_ttl"),
        (KeepsAllOrNothing, "test_of_several_leases_those_that_still_stand_keep_their_values"),
        (ReleasesWhatIsNotItsOwn, "test_who_comes_too_late_harms_nobody"),
        (NeverReleases, "test_a_released_key_can_be_leased_by_another"),
        (NeverReleases, "test_who_watches_hears_when_a_lease_ends"),
        (HearsNothing, "test_who_watches_hears_when_a_lease_ends"),
        (MakesItsOwnTokens, "test_a_key_without_a_value_and_a_lease_is_leased"),
        (HidesTheHolder, "test_who_gets_no_lease_learns_the_token_of_the_one_there_is"),
        (HasNoFence, "test_who_waited_may_keep_a_value_under_the_lease_of_another"),
        (LeasesNothingOutdated, "test_an_outdated_value_can_be_read_while_its_key_is_leased"),
        (DropsWhatIsOutdated, "test_an_outdated_value_can_be_read_while_its_key_is_leased"),
        (DropsWhatIsOutdated, "test_an_outdated_value_outlives_a_lease_that_ends_by_itself"),
        (TellsNothing, "test_who_watches_is_told_of_an_absent_key_and_of_a_failure"),
        (TellsWhatIsNotItsOwn, "test_who_has_no_lease_any_more_tells_nothing"),
        (KeepsWhatIsAbsent, "test_a_release_leaves_an_outdated_value_but_not_that_of_an_absent_key"),
        (
            KeepsTheCopyOfWhatIsUnkept,
            "test_an_outdated_value_goes_with_the_lease_of_a_value_that_is_not_kept",
        ),
        (
            RemovesWhatIsUnkeptInAnyCase,
            "test_an_outdated_value_goes_with_the_lease_of_a_value_that_is_not_kept",
        ),
        (HearsOnlyWhileItWaits, "test_who_watches_hears_of_a_lease_that_ended_before_it_waited"),
        (NoticesNoLeaseThatIsOver, "test_who_watches_hears_when_a_lease_ends_by_itself"),
    ],
)
def test_leases_that_break_a_promise_fail_the_test_of_it(leases, test):
    assert test in failed_tests(LeasesSuite(), **leases_of(leases))


class Invalidations:
    """The invalidations of a `MemoryFarStore`, of which a test breaks one part."""

    def __init__(self, store):
        self._invalidations = store.invalidations

    async def publish(self, keys, /):
        await self._invalidations.publish(keys)

    async def listen(self, forget, /):
        await self._invalidations.listen(forget)


class PublishesNothing(Invalidations):
    async def publish(self, keys, /):
        pass


class StripsWhatItPublishes(Invalidations):
    async def publish(self, keys, /):
        await super().publish(keys and [key.strip() for key in keys])


class CannotSayEverything(Invalidations):
    async def publish(self, keys, /):
        await super().publish(keys or ())


class HearsItself(Invalidations):
    async def listen(self, forget, /):
        self.forget = forget
        await super().listen(forget)

    async def publish(self, keys, /):
        await super().publish(keys)
        getattr(self, "forget", len)(keys or ())


class ListensOnce(Invalidations):
    is_over = False

    async def listen(self, forget, /):
        if self.is_over:
            await anyio.sleep_forever()
        self.is_over = True
        await super().listen(forget)


class BreaksWhenCancelled(Invalidations):
    is_broken = False

    async def publish(self, keys, /):
        if self.is_broken:
            raise ConnectionError
        self.is_broken = True
        await anyio.sleep(0.01)
        await super().publish(keys)
        self.is_broken = False


def invalidations_of(kind):
    return {
        "store": MemoryFarStore,
        "first": lambda made: kind(made["store"]),
        "second": lambda made: kind(made["store"].peer()),
    }


class ForgetsEverythingEachTime(Invalidations):
    async def listen(self, forget, /):
        await super().listen(lambda _: forget(None))


@pytest.mark.parametrize("kind", [Invalidations, ForgetsEverythingEachTime])
def test_invalidations_that_keep_their_promises_pass(kind):
    assert failed_tests(InvalidationsSuite(), **invalidations_of(kind)) == set()


@pytest.mark.parametrize(
    ("kind", "test"),
    [
        (PublishesNothing, "test_what_one_publishes_the_other_hears"),
        (PublishesNothing, "test_each_can_publish_and_listen"),
        (StripsWhatItPublishes, "test_what_one_publishes_the_other_hears"),
        (CannotSayEverything, "test_what_one_publishes_the_other_hears"),
        (HearsItself, "test_who_publishes_does_not_hear_it"),
        (ListensOnce, "test_who_stopped_listening_can_begin_again"),
        (BreaksWhenCancelled, "test_a_cancelled_publication_disturbs_no_other"),
    ],
)
def test_invalidations_that_break_a_promise_fail_the_test_of_it(kind, test):
    assert test in failed_tests(InvalidationsSuite(), **invalidations_of(kind))


class LooksBeforeItSpends(MemoryPermits):
    async def acquire(self):
        if not await self.left():
            return False, 0
        await anyio.sleep(0.01)
        self._left -= 1
        return True, self._left


class LookingSpends(MemoryPermits):
    async def left(self):
        await self.acquire()
        return await super().left()


class ReplacesWhatIsLeft(MemoryPermits):
    async def approve(self, permits, /, *, by, reason):
        await super().approve(permits, by=by, reason=reason)
        self._left = permits
        return permits


class KeepsApprovalsToItself(MemoryPermits):
    async def approvals(self):
        return ()


class TakesBackHere(MemoryPermits):
    async def revoke(self, permits, /, *, by, reason):
        return (min(permits or self._left, self._left), 0)


class TakesBackInSilence(MemoryPermits):
    def _note(self, permits, by, reason):
        if permits > 0:
            super()._note(permits, by, reason)


class SpendsMoreWhenCancelled(MemoryPermits):
    async def acquire(self):
        spent = await super().acquire()
        try:
            await anyio.sleep(0.01)
        except BaseException:
            self._left -= 1
            raise
        return spent


def permits_of(kind):
    return {"permits": lambda: kind(PermitsSuite.granted), "others": lambda made: made["permits"]}


@pytest.mark.parametrize(
    ("kind", "test"),
    [
        (LooksBeforeItSpends, "test_all_at_once_spend_what_there_is_and_no_more"),
        (LookingSpends, "test_looking_spends_nothing"),
        (ReplacesWhatIsLeft, "test_approved_permits_are_there_for_all"),
        (TakesBackHere, "test_permits_that_are_left_are_taken_back_from_all"),
        (TakesBackInSilence, "test_who_took_permits_back_and_why_is_told_to_all"),
        (KeepsApprovalsToItself, "test_who_approved_and_why_is_told_to_all_oldest_first"),
        (SpendsMoreWhenCancelled, "test_a_cancelled_acquire_spends_one_at_the_most"),
    ],
)
def test_permits_that_break_a_promise_fail_the_test_of_it(kind, test):
    assert test in failed_tests(PermitsSuite(), **permits_of(kind))


def test_permits_of_two_budgets_fail_the_names_of_one_budget():
    failed = failed_tests(PermitsSuite(), permits=lambda: MemoryPermits(3), others=lambda _: MemoryPermits(3))

    assert "test_approved_permits_are_there_for_all" in failed
