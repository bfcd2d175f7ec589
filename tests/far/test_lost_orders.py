"""A channel that lost its orders, as a server that started again empty: the next orders count at once."""

from __future__ import annotations

import pytest
from anyio import create_task_group, fail_after, sleep
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backfill import StoreError
from async_backfill.contracts import ControlOrder
from async_backfill.testing import MemoryControl
from tests.callers import run
from tests.far.test_control import A_LOOK, BY_ADA, BY_BOB, cache_of, verbs

pytestmark = pytest.mark.anyio

BY_EVE = {"by": "eve", "reason": "a drill"}
LOST = "the channel has lost all orders"


class LosesItsOrders(MemoryControl):
    """One whose answers to `send` and `standing` can be late."""

    def __init__(self):
        super().__init__()
        self.late = {}
        self.late_look = 0.0

    def lose(self):
        self._version = 0
        self._orders.clear()
        self._standing.clear()

    async def send(self, order):
        version = await super().send(order)
        await sleep(self.late.get(order.by, 0.0))
        return version

    async def standing(self):
        found = await super().standing()
        await sleep(self.late_look)
        return found


async def a_drill(cache):
    for _ in range(2):
        await cache.control.pause(**BY_EVE)
        await cache.control.off(**BY_EVE)
        await cache.control.on(**BY_EVE)
        await cache.control.resume(**BY_EVE)
    await sleep(0.1)


def who(cache, verb):
    return cache.control.status.orders[verb].by


async def test_an_order_right_after_a_loss_is_carried_out_at_once(caplog):
    channel = LosesItsOrders()
    async with cache_of(channel) as one, cache_of(channel) as other:
        await a_drill(one)
        channel.lose()
        await one.control.off(**BY_ADA)
        assert (one.control.status.is_off, who(one, "off")) == (True, "ada")
        assert LOST in caplog.text
        await sleep(0.1)
        assert (other.control.status.is_off, who(other, "off")) == (True, "ada")


async def test_after_a_loss_status_and_audit_name_who_gave_the_order():
    channel = LosesItsOrders()
    async with cache_of(channel) as one, cache_of(channel) as other:
        await a_drill(one)
        channel.lose()
        await sleep(2 * A_LOOK)  # each has noticed
        assert one.control.status.orders["pause"].version == 0
        await one.control.pause(**BY_ADA)
        await sleep(0.1)
        for cache in (one, other):
            assert (cache.control.status.is_paused, who(cache, "pause")) == (True, "ada")
            await cache.get(1)
            assert cache.audit_log[-1].reason == "backfills were paused by ada: the source suffers"


async def test_an_answer_that_a_look_overtakes_is_no_loss(caplog):
    channel = LosesItsOrders()
    async with cache_of(channel, max_backfills=0) as one, cache_of(channel, max_backfills=0) as other:
        await other.control.approve(2, **BY_BOB)
        await sleep(0.1)
        channel.late["ada"] = 1.0
        async with create_task_group() as tasks:
            tasks.start_soon(one_order, one, "pause", BY_ADA)
            await sleep(0.1)  # it has been looked at
            await other.control.resume(**BY_BOB)
        assert (one.control.status.is_paused, other.control.status.is_paused) == (False, False)
        await sleep(2 * A_LOOK)
        assert (one.stats.permits_left, other.stats.permits_left) == (2, 2)
        assert verbs(other) == ["approve", "pause", "resume"]
    assert LOST not in caplog.text


@pytest.mark.parametrize("late", [0.0, 1.0])
async def test_orders_at_once_after_a_loss_are_carried_out_once_in_each(late, caplog):
    channel = LosesItsOrders()
    async with cache_of(channel, max_backfills=0) as one, cache_of(channel, max_backfills=0) as other:
        await a_drill(one)
        channel.lose()
        channel.late["ada"] = late  # so that a look comes in between
        async with create_task_group() as tasks:
            for cache, by in ((one, BY_ADA), (other, BY_BOB), (one, BY_BOB)):
                tasks.start_soon(approve, cache, by)
            tasks.start_soon(one_order, other, "off", BY_ADA)
            tasks.start_soon(one_order, one, "off", BY_ADA)
        await sleep(2 * A_LOOK)
        assert (one.stats.permits_left, other.stats.permits_left) == (6, 6)
        assert (one.control.status.is_off, other.control.status.is_off) == (True, True)
        assert verbs(one).count("approve") == verbs(other).count("approve") == 3
    assert caplog.text.count(LOST) == 2  # each says it once


async def test_an_order_during_the_outage_gives_way_to_the_next_one():
    channel = LosesItsOrders()
    async with cache_of(channel) as one, cache_of(channel) as other:
        await a_drill(one)
        channel.is_up = False
        with pytest.raises(StoreError, match="off was carried out in this process"):
            await one.control.off(**BY_ADA)
        channel.lose()
        channel.is_up = True
        assert (one.control.status.is_off, who(one, "off")) == (True, "ada")
        await one.control.on(**BY_BOB)
        assert (one.control.status.is_off, who(one, "on")) == (False, "bob")
        await one.control.off(**BY_BOB)
        await sleep(0.1)
        for cache in (one, other):
            assert (cache.control.status.is_off, who(cache, "off")) == (True, "bob")


async def test_a_loss_after_the_only_order_of_a_fleet_is_noticed():
    channel = LosesItsOrders()
    async with cache_of(channel) as one, cache_of(channel) as other:
        await one.control.pause(**BY_EVE)
        await sleep(0.1)
        channel.lose()
        await other.control.resume(**BY_BOB)  # has the same version
        assert not other.control.status.is_paused
        await sleep(0.1)
        assert (one.control.status.is_paused, who(one, "resume")) == (False, "bob")


async def test_a_loss_before_an_own_order_was_looked_at_is_noticed():
    channel = LosesItsOrders()
    async with cache_of(channel) as one:
        await one.control.off(**BY_EVE)
        channel.lose()
        await one.control.on(**BY_BOB)
        assert (one.control.status.is_off, who(one, "on")) == (False, "bob")


async def test_an_order_waits_for_a_look_that_has_read_what_is_lost():
    channel = LosesItsOrders()
    async with cache_of(channel, max_backfills=0) as one, cache_of(channel, max_backfills=0) as other:
        await a_drill(one)
        channel.late_look = 1.0
        await other.control.off(**BY_EVE)
        await sleep(0.1)  # the looks of both have read it
        channel.lose()
        channel.late_look = 0.0
        async with create_task_group() as tasks:
            tasks.start_soon(one_order, one, "on", BY_BOB)
            tasks.start_soon(approve, other, BY_BOB)
        assert (one.control.status.is_off, who(one, "on")) == (False, "bob")
        await sleep(2 * A_LOOK)
        assert [cache.control.status.is_off for cache in (one, other)] == [False, False]
        assert (one.stats.permits_left, other.stats.permits_left) == (2, 2)


async def test_an_order_after_a_loss_does_not_wait_long_for_a_look():
    channel = LosesItsOrders()
    async with cache_of(channel) as one:
        await a_drill(one)
        channel.late_look = 1000.0
        await channel.send(ControlOrder(verb="cancel", by="eve", reason="a drill", time=0.0))
        await sleep(0.1)  # a look hangs
        channel.lose()
        with fail_after(3.0):
            await one.control.off(**BY_ADA)
        assert (one.control.status.is_off, who(one, "off")) == (True, "ada")


VERB = st.sampled_from(["pause", "resume", "off", "on", "fast", "slow", "approve", "invalidate", "lose"])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), VERB, st.booleans()), max_size=25))
def test_after_any_orders_and_losses_all_caches_have_what_stands(steps):
    async def course():
        channel = LosesItsOrders()
        caches = [cache_of(channel, max_backfills=0) for _ in range(3)]
        async with caches[0], caches[1], caches[2]:
            for place, verb, is_slow in steps:
                await any_order(channel, caches[place], verb)
                if is_slow:
                    await sleep(0.1)
            await sleep(2 * A_LOOK)
            for order in (await channel.standing())[1]:
                for cache in caches:
                    status = cache.control.status
                    assert status.orders[order.verb].id == order.id
                    match order.verb:
                        case "pause" | "resume":
                            assert status.is_paused is (order.verb == "pause")
                        case "off" | "on":
                            assert status.is_off is (order.verb == "off")
                        case _:
                            assert status.rate == order.details["rate"]

    run(course, "asyncio")


async def any_order(channel, cache, verb):
    control = cache.control
    match verb:
        case "fast" | "slow":
            await control.retune(rate={"fast": 1000.0, "slow": 1.0}[verb], **BY_ADA)
        case "approve":
            await control.approve(1, **BY_ADA)
        case "invalidate":
            await control.invalidate(1, **BY_ADA)
        case "lose":
            channel.lose()
        case _:
            await getattr(control, verb)(**BY_ADA)


async def one_order(cache, verb, by):
    await getattr(cache.control, verb)(**by)


async def approve(cache, by):
    await cache.control.approve(2, **by)
