"""Source calls behind a far tier (L2) that go on after their timeout, and stores that do."""

from __future__ import annotations

import pytest
from anyio import CancelScope, current_time, sleep

from async_backfill import BackfillCache, FarTier, LoadPolicy, LoadTimeoutError, MappingSource
from tests.far.shared import Leases, Shared
from tests.leases import lease

pytestmark = pytest.mark.anyio


class Stuck:
    """A source whose first call ignores its cancellation, and answers after a minute."""

    def __init__(self):
        self.calls = 0

    async def load_many(self, keys):
        self.calls += 1
        if self.calls == 1:
            with CancelScope(shield=True):
                await sleep(60)
            return dict.fromkeys(keys, "late")
        return dict.fromkeys(keys, "in time")


async def test_the_leases_of_an_abandoned_call_are_given_back_at_its_timeout():
    shared, source = Shared(), Stuck()
    shared.lease_seconds = 1000.0
    tier = FarTier(store=shared, leases=Leases(shared))
    async with BackfillCache(source, far=tier, load=LoadPolicy(timeout=2.0), clock=current_time) as cache:
        with pytest.raises(LoadTimeoutError):
            await cache.get("a")
        await sleep(0.1)

        assert shared.lease("a") is None
        assert await cache.get("a") == "in time"
        await sleep(60)


async def test_what_an_abandoned_call_brings_at_last_reaches_no_store():
    for has_leases in (False, True):
        shared, source = Shared(), Stuck()
        tier = FarTier(store=shared, leases=Leases(shared) if has_leases else None)
        async with BackfillCache(source, far=tier, load=LoadPolicy(timeout=2.0), clock=current_time) as cache:
            with pytest.raises(LoadTimeoutError):
                await cache.get("a")
            await sleep(60)
            await cache.settle()

            assert (shared.value("a"), cache.peek("a")) == (None, None)


async def test_a_store_that_ignores_its_cancellation_costs_a_load_its_timeout_and_no_more():
    class Deaf(Shared):
        async def _call(self, name, keys):
            with CancelScope(shield=True):
                await sleep(60)
            await super()._call(name, keys)

    tier = FarTier(store=Deaf(), timeout=0.5)
    async with BackfillCache(MappingSource({"a": 1}), far=tier, clock=current_time) as cache:
        began = current_time()

        assert await cache.get("a") == 1
        assert current_time() - began == pytest.approx(0.5, abs=0.01)
        await sleep(200)


async def test_the_answer_of_an_abandoned_call_is_not_what_loads_usually_take():
    shared, source = Shared(), Stuck()
    tier = FarTier(store=shared, leases=Leases(shared))
    async with BackfillCache(source, far=tier, load=LoadPolicy(timeout=2.0), clock=current_time) as cache:
        with pytest.raises(LoadTimeoutError):
            await cache.get("a")
        await sleep(60)
        await lease(Leases(shared), ["b"])
        began = current_time()

        assert await cache.get("b") == "in time"
        assert current_time() - began == pytest.approx(1.0)  # as before the first load
