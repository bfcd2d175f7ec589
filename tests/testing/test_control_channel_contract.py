"""The contract suite for channels finds what breaks a promise."""

from __future__ import annotations

from dataclasses import replace

import pytest
from anyio import sleep_forever
from anyio.lowlevel import checkpoint

from async_backfill.testing import ControlChannelContract, MemoryControl
from tests.testing.suites import failed_tests, names_of


class LosesTheKey(MemoryControl):
    async def send(self, order, /):
        return await super().send(replace(order, key=None))


class CountsTwiceAtOnce(MemoryControl):
    """Looks, waits, and counts from what it has seen."""

    async def send(self, order, /):
        version = self._version + 1
        await checkpoint()
        order = replace(order, version=version)
        self._version = version
        self._orders.append(order)
        self._standing.update(dict.fromkeys(order.decides, order))
        return version


class KeepsWhatDecidesNothing(MemoryControl):
    async def standing(self):
        version, _ = await super().standing()
        return version, list(self._orders)


class DecidesAsAWhole(MemoryControl):
    """A later order to retune takes the place of all of an earlier one."""

    async def standing(self):
        version, standing = await super().standing()
        tuned = [order for order in standing if order.verb == "retune"]
        return version, [order for order in standing if order not in tuned[:-1]]


class BeginsWithTheVersion(MemoryControl):
    async def since(self, version, /):
        return await super().since(version - 1)


class ForgetsWhatStands(MemoryControl):
    async def standing(self):
        version, standing = await super().standing()
        return version, [order for order in standing if order in self._orders]


class KeepsAll(MemoryControl):
    def __init__(self):
        super().__init__()
        self._orders = []


class HearsNothing(MemoryControl):
    async def listen(self, heard, /):
        await sleep_forever()


class SendsTwice(MemoryControl):
    async def send(self, order, /):
        try:
            return await super().send(order)
        finally:
            if order.verb == "cancel":
                self._version += 2
                self._orders += [replace(order, version=self._version - at) for at in (1, 0)]


def failed(kind):
    made = {"channel": kind, "others": lambda made: made["channel"]}
    return failed_tests(ControlChannelContract(), **made)


@pytest.mark.parametrize(
    ("kind", "test"),
    [
        (LosesTheKey, "test_what_is_sent_comes_back_as_it_was"),
        (CountsTwiceAtOnce, "test_orders_given_at_once_are_in_one_order_for_all"),
        (KeepsWhatDecidesNothing, "test_the_latest_order_that_decides_something_stands"),
        (DecidesAsAWhole, "test_each_setting_of_a_retune_stands_by_itself"),
        (BeginsWithTheVersion, "test_since_has_what_came_later_oldest_first"),
        (ForgetsWhatStands, "test_a_hundred_orders_are_kept_and_what_stands_for_ever"),
        (KeepsAll, "test_a_hundred_orders_are_kept_and_what_stands_for_ever"),
        (HearsNothing, "test_who_listens_hears_that_there_are_orders"),
        (SendsTwice, "test_a_cancelled_order_is_taken_once_at_the_most"),
    ],
)
def test_a_channel_that_breaks_a_promise_fails_the_test_of_it(kind, test, monkeypatch):
    monkeypatch.setattr("async_backfill.testing._control_channel_contract.PATIENCE", 0.2)
    assert test in failed(kind)


def test_two_channels_are_not_one():
    suite = ControlChannelContract()
    alone = failed_tests(suite, channel=MemoryControl, others=lambda _made: MemoryControl())
    assert names_of(suite) - alone == {"test_at_first_nothing_stands"}


def test_a_channel_that_keeps_its_promises_fails_none():
    assert failed(MemoryControl) == set()
