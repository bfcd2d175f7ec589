"""Orders to a fleet: they reach every cache, the latest wins everywhere, and what stands outlives all."""

from __future__ import annotations

import gc
import weakref

import pytest
from anyio import create_task_group, current_time, sleep, sleep_forever
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backfill import (
    BackfillCache,
    BackfillPolicy,
    ConfigurationError,
    MappingSource,
    Status,
    StoreError,
)
from async_backfill.contracts import ControlOrder
from async_backfill.events import ControlChanged
from async_backfill.testing import MemoryControl, MemoryPermits
from tests.callers import run

pytestmark = pytest.mark.anyio

ROWS = {number: -number for number in range(100)}
BY_ADA = {"by": "ada", "reason": "the source suffers"}
BY_BOB = {"by": "bob", "reason": "it is well"}
A_LOOK = 5.0


def cache_of(channel, **options):
    policy = BackfillPolicy(inline=True, min_lookups=1)
    defaults = {"scan": MappingSource(ROWS), "clock": current_time, "backfill": policy}
    return BackfillCache(MappingSource(ROWS), control=channel, **(defaults | options))


def verbs(cache):
    return [record.verb for record in cache.audit_log if record.verb is not None]


async def test_an_order_reaches_all_caches_at_once_and_each_audits_it():
    channel, told = MemoryControl(), []
    async with cache_of(channel) as one, cache_of(channel, observers=[told.append]) as other:
        await one.control.pause(**BY_ADA)
        await sleep(0.01)  # far less than until the next look
        assert other.control.status.is_paused
        (record,) = other.audit_log
        assert (record.verb, record.by, record.reason) == ("pause", "ada", "the source suffers")
        (event,) = [event for event in told if isinstance(event, ControlChanged)]
        assert event.elsewhere
        await sleep(3 * A_LOOK)
        assert verbs(one) == verbs(other) == ["pause"]


@pytest.mark.parametrize(("verb", "details"), [("approve", {}), ("retune", {"parts": 1})])
async def test_an_order_that_nobody_understands_closes_no_cache(verb, details, caplog):
    channel = MemoryControl()
    async with cache_of(channel, max_backfills=1) as one:
        order = ControlOrder(verb=verb, by="eve", reason="of another release", time=0.0, details=details)
        await channel.send(order)
        await sleep(2 * A_LOOK)
        async with cache_of(channel, max_backfills=1) as later:
            for cache in (one, later):
                await cache.control.pause(**BY_ADA)
                assert await cache.get(1) == -1
    assert f"{verb} of eve was not carried out here: " in caplog.text


async def test_a_cache_that_opens_later_obeys_what_stands_and_says_who_ordered_it():
    channel = MemoryControl()
    async with cache_of(channel) as one:
        await one.control.pause(**BY_ADA)
        await one.control.off(**BY_ADA)
        await one.control.retune(rate=5.0, batch=3, **BY_ADA)
        await one.control.retune(rate=6.0, **BY_BOB)
        await one.control.on(**BY_BOB)
        await one.control.invalidate(1, **BY_BOB)
    async with cache_of(channel) as later:
        status = later.control.status
        assert (status.is_paused, status.is_off, status.batch, status.rate) == (True, False, 3, 6.0)
        assert status.orders["pause"].by == "ada"
        assert verbs(later) == ["pause", "retune", "retune", "on"]


async def test_orders_that_do_not_stand_are_carried_out_once_in_each_cache():
    channel = MemoryControl()
    async with cache_of(channel, max_backfills=1) as one, cache_of(channel, max_backfills=1) as other:
        await other.put(1, "old")
        await one.control.approve(2, **BY_ADA)
        await one.control.revoke(1, **BY_ADA)
        await one.control.invalidate(1, **BY_ADA)
        await sleep(3 * A_LOOK)
        assert (one.stats.permits_left, other.stats.permits_left, 1 in other) == (2, 2, False)
        async with cache_of(channel, max_backfills=1) as later:
            assert later.stats.permits_left == 1


async def test_permits_that_a_fleet_shares_are_approved_and_taken_back_once():
    channel, permits = MemoryControl(), MemoryPermits(3)
    async with cache_of(channel, permits=permits) as one, cache_of(channel, permits=permits) as other:
        await one.control.approve(2, **BY_ADA)
        assert await one.control.revoke(4, **BY_ADA) == 4
        await sleep(3 * A_LOOK)
        assert (one.stats.permits_left, other.stats.permits_left, await permits.left()) == (1, 1, 1)
        assert verbs(one) == verbs(other) == ["approve", "revoke"]


async def test_an_order_that_the_channel_does_not_take_holds_here_and_is_told():
    channel = MemoryControl()
    async with cache_of(channel) as one, cache_of(channel) as other:
        channel.is_up = False
        with pytest.raises(StoreError, match="pause was carried out in this process"):
            await one.control.pause(**BY_ADA)
        status = one.control.status
        assert (status.is_paused, status.channel_failures > 0) == (True, True)
        assert "the channel is down" in status.channel_error
        channel.is_up = True
        await sleep(2 * A_LOOK)
        assert (one.control.status.is_paused, other.control.status.is_paused) == (True, False)
        assert one.control.status.channel_error is None


async def test_an_order_whose_answer_is_lost_is_not_carried_out_twice():
    class LosesAnswers(MemoryControl):
        async def send(self, order):
            await super().send(order)
            raise StoreError("the answer is lost")

    channel = LosesAnswers()
    async with cache_of(channel, max_backfills=0) as one, cache_of(channel, max_backfills=0) as other:
        with pytest.raises(StoreError, match="the answer is lost"):
            await one.control.approve(2, **BY_ADA)
        await sleep(2 * A_LOOK)
        assert (one.stats.permits_left, other.stats.permits_left) == (2, 2)


async def test_a_cache_opens_and_works_although_the_channel_hangs():
    class Hangs(MemoryControl):
        async def standing(self):
            await sleep_forever()

    async with cache_of(Hangs()) as cache:
        assert current_time() <= 5.0
        assert await cache.get(1) == -1
        assert "no answer within" in cache.control.status.channel_error


async def test_who_missed_orders_obeys_what_stands_and_empties_its_memory():
    channel = MemoryControl()
    cache = cache_of(channel)
    async with cache:
        await cache.put(1, "old")
    async with cache_of(channel) as other:
        await other.control.invalidate(1, **BY_ADA)
        await other.control.pause(**BY_ADA)
        for _ in range(100):
            await other.control.cancel(**BY_ADA)
    async with cache:
        assert (cache.control.status.is_paused, 1 in cache) == (True, False)


async def test_who_was_closed_for_a_while_carries_out_what_it_has_missed():
    channel = MemoryControl()
    cache = cache_of(channel)
    async with cache:
        await cache.put_many({1: "old", 2: "kept"})
    async with cache_of(channel) as other:
        await other.control.invalidate(1, **BY_ADA)
    async with cache:
        assert (1 in cache, 2 in cache) == (False, True)


async def test_a_channel_that_lost_its_orders_is_heard_again():
    class LosesItsMemory(MemoryControl):
        def lose(self):
            self._version = 0
            self._orders.clear()
            self._standing.clear()

    channel = LosesItsMemory()
    async with cache_of(channel) as one, cache_of(channel) as other:
        for _ in range(5):
            await one.control.pause(**BY_ADA)
        await sleep(2 * A_LOOK)
        channel.lose()
        await sleep(2 * A_LOOK)
        assert (one.control.status.is_paused, other.control.status.is_paused) == (True, True)
        await one.control.resume(**BY_BOB)
        await sleep(2 * A_LOOK)
        assert (one.control.status.is_paused, other.control.status.is_paused) == (False, False)


async def test_an_order_that_a_cache_cannot_carry_out_costs_no_other_order():
    channel = MemoryControl()
    async with cache_of(channel, max_backfills=1) as one, cache_of(channel) as unlimited:
        await one.control.approve(2, **BY_ADA)
        await one.control.pause(**BY_ADA)
        await sleep(2 * A_LOOK)
        assert unlimited.control.status.is_paused
    order = ControlOrder(verb="retune", by="eve", reason="why", time=0.0, details={"threshold": "high"})
    await channel.send(order)
    async with cache_of(channel) as later:
        assert (later.control.status.is_paused, later.control.status.threshold) == (True, 0.5)


async def test_a_wrong_order_is_not_sent():
    channel = MemoryControl()
    async with cache_of(channel) as cache:
        with pytest.raises(ConfigurationError):
            await cache.control.retune(rate=-1.0, **BY_ADA)
        with pytest.raises(ConfigurationError):
            await cache.control.approve(1, **BY_ADA)
    assert (await channel.standing())[0] == 0


VERB = st.sampled_from(["pause", "resume", "off", "on", "fast", "slow", "wait"])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), VERB, st.booleans()), max_size=25))
def test_after_any_orders_at_once_all_caches_have_the_latest_by_version(steps):
    class Slow(MemoryControl):
        async def send(self, order):
            version = await super().send(order)
            await sleep(0.1 * (version * 7 % 5))  # so that answers overtake each other
            return version

    async def course():
        channel = Slow()
        caches = [cache_of(channel) for _ in range(3)]
        async with caches[0], caches[1], caches[2]:
            async with create_task_group() as tasks:
                for place, verb, at_once in steps:
                    tasks.start_soon(_order, caches[place].control, verb)
                    if not at_once:
                        await sleep(0.3)
            await sleep(2 * A_LOOK)
            seen = {(s.is_paused, s.is_off, s.rate) for s in (cache.control.status for cache in caches)}
        orders = [order.verb for order in await channel.since(0)]
        switches = [verb for verb in orders if verb in {"pause", "resume"}]
        reads = [verb for verb in orders if verb in {"off", "on"}]
        rates = [order.details["rate"] for order in await channel.since(0) if order.verb == "retune"]
        assert seen == {(switches[-1:] == ["pause"], reads[-1:] == ["off"], rates[-1] if rates else None)}

    run(course, "asyncio")


async def _order(control, verb):
    match verb:
        case "fast" | "slow":
            await control.retune(rate={"fast": 1000.0, "slow": 1.0}[verb], **BY_ADA)
        case "wait":
            await sleep(0.2)
        case _:
            await getattr(control, verb)(**BY_ADA)


async def test_a_cancel_ends_the_backfills_of_every_process():
    class Slow(MappingSource):
        async def load_many(self, keys):
            await sleep(1000.0 if len(keys) > 1 else 0.0)
            return await super().load_many(keys)

    channel = MemoryControl()
    policy = BackfillPolicy(min_lookups=1)
    caches = [
        BackfillCache(Slow(ROWS), scan=MappingSource(ROWS), control=channel, backfill=policy)
        for _ in range(2)
    ]
    async with caches[0], caches[1]:
        for cache in caches:
            await cache.get(99)
        await sleep(1.0)
        await caches[0].control.cancel(**BY_ADA)
        await sleep(0.1)
        for cache in caches:
            assert Status.CANCELLED in [record.status for record in cache.audit_log]


async def test_a_cache_with_a_channel_that_is_dropped_while_open_is_let_go():
    channel = MemoryControl()
    caches = [cache_of(channel)]
    await caches[0].__aenter__()
    await sleep(1.0)
    held = weakref.ref(caches[0]._parts.near)  # what its tasks must not keep
    with pytest.warns(ResourceWarning, match="was dropped"):
        await _dropped(caches)
    assert held() is None


async def _dropped(caches):
    caches.clear()
    gc.collect()
    await sleep(1.0)
    gc.collect()
