"""The suite for stores that seal values: each way to break the contract fails a test."""

from __future__ import annotations

import copy

import pytest

from async_backfill.contracts import Sealing
from async_backfill.testing import MemoryFarStore, SealingContract
from tests.testing.suites import failed_tests


class Suite(SealingContract):
    keys = ("a", "b")
    refused = object()

    def value(self):
        return {"tags": ["new"]}

    def change(self, value):
        value["tags"].append("mine")


class Seals(MemoryFarStore, Sealing):
    def seal(self, items, /, *, read_at=None):
        return {key: copy.deepcopy(value) for key, value in items.items() if value is not Suite.refused}


class SaysNothing(MemoryFarStore):
    seal = Seals.seal


class SealsTheSurface(Seals):
    def seal(self, items, /, *, read_at=None):
        return {key: copy.copy(value) for key, value in items.items() if value is not Suite.refused}


class KeepsAtOnce(Seals):
    def seal(self, items, /, *, read_at=None):
        sealed = super().seal(items)
        self._server.keep(sealed, None)
        return sealed


class SealsWhatItCannotKeep(Seals):
    def seal(self, items, /, *, read_at=None):
        return copy.deepcopy(dict(items))


class RefusesThemAll(Seals):
    def seal(self, items, /, *, read_at=None):
        sealed = super().seal(items)
        return sealed if len(sealed) == len(items) else {}


def test_a_store_that_keeps_the_contract_passes():
    assert failed_tests(Suite(), store=Seals) == set()


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (SaysNothing, "test_a_store_says_that_it_seals"),
        (SealsTheSurface, "test_a_value_that_changes_after_it_was_sealed_is_kept_as_it_was"),
        (KeepsAtOnce, "test_sealing_keeps_nothing_yet"),
        (SealsWhatItCannotKeep, "test_what_cannot_be_kept_is_left_out_and_spoils_no_other"),
        (RefusesThemAll, "test_what_cannot_be_kept_is_left_out_and_spoils_no_other"),
    ],
)
def test_a_store_that_breaks_a_promise_fails_its_test(broken, test):
    assert failed_tests(Suite(), store=broken) == {test}
