"""Source calls that go on after their timeout: who waits is freed, what goes on is counted and bounded."""

from __future__ import annotations

import gc
import logging

import pytest
from anyio import CancelScope, Event, create_task_group, current_time, get_cancelled_exc_class, sleep

from async_backfill import (
    BackfillCache,
    CircuitPolicy,
    CircuitState,
    FreshnessPolicy,
    LoadError,
    LoadPolicy,
    LoadTimeoutError,
)
from tests.callers import outcomes, start

pytestmark = pytest.mark.anyio


class Shielded:
    """A source whose calls take ``seconds`` for keys of ``slow``, whoever cancels them."""

    def __init__(self, seconds, *, slow="slow", fails=None):
        self.seconds = seconds
        self.slow = slow
        self.fails = fails
        self.calls = []
        self.running = 0
        self.most = 0

    async def load_many(self, keys):
        self.calls.append(keys)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            if any(key.startswith(self.slow) for key in keys):
                with CancelScope(shield=True):
                    await sleep(self.seconds)
                if self.fails is not None:
                    raise self.fails
            return dict.fromkeys(keys, f"of call {len(self.calls)}")
        finally:
            self.running -= 1


class Catching:
    """A source that catches each cancellation and goes on, for ``seconds``."""

    def __init__(self, seconds):
        self.seconds = seconds

    async def load_many(self, keys):
        end = current_time() + self.seconds
        while current_time() < end:
            try:
                await sleep(end - current_time())
            except get_cancelled_exc_class():
                with CancelScope(shield=True):
                    await sleep(60)
        return dict.fromkeys(keys, "late")


def one_by_one(**policy):
    return LoadPolicy(max_batch=1, **policy)


@pytest.mark.parametrize("source", [Shielded(3600), Catching(3600)], ids=["shielded", "catching"])
async def test_a_call_that_does_not_yield_to_its_timeout_frees_who_waits_at_the_timeout(source):
    async with BackfillCache(source, load=LoadPolicy(timeout=2)) as cache:
        began = current_time()
        ends = await outcomes(cache.get, *[("slow",)] * 5)

        assert current_time() - began == pytest.approx(2, abs=0.02)
        assert [type(end) for end in ends] == [LoadTimeoutError] * 5
        assert len({id(end) for end in ends}) == 5
        assert (cache.stats.abandoned, cache.stats.in_flight) == (1, 0)
        await sleep(3700)
        assert cache.stats.abandoned == 0


async def test_calls_that_do_not_yield_hold_no_place_after_their_timeout():
    source = Shielded(60)
    async with BackfillCache(source, load=one_by_one(timeout=2, concurrency=3)) as cache:
        async with create_task_group() as tasks:
            callers = [start(tasks, cache.get, f"slow {number}") for number in range(2)]
            await sleep(1)
            callers.append(start(tasks, cache.get, "slow 2"))
            other = start(tasks, cache.get, "another")
            await sleep(1.5)

            assert other.outcome in {"of call 3", "of call 4"}
        assert [type(caller.outcome) for caller in callers] == [LoadTimeoutError] * 3
        await sleep(60)


async def test_what_an_abandoned_call_brings_at_last_is_dropped():
    async with BackfillCache(Shielded(60), load=LoadPolicy(timeout=2)) as cache:
        with pytest.raises(LoadTimeoutError):
            await cache.get("slow")
        await sleep(60)

        assert cache.peek("slow") is None
        assert (cache.stats.abandoned, cache.stats.source_keys, cache.stats.source_calls) == (0, 0, 1)


async def test_the_next_get_of_a_key_whose_call_was_abandoned_makes_a_call_of_its_own():
    source = Shielded(60)
    async with BackfillCache(source, load=LoadPolicy(timeout=2)) as cache:
        with pytest.raises(LoadTimeoutError):
            await cache.get("slow")
        source.slow = "none"

        assert await cache.get("slow") == "of call 2"
        await sleep(60)
        assert cache.peek("slow") == "of call 2"


async def test_with_as_many_abandoned_calls_as_places_no_other_call_is_made():
    source = Shielded(60)
    async with BackfillCache(source, load=one_by_one(timeout=2, concurrency=3)) as cache:
        await outcomes(cache.get, *[(f"slow {number}",) for number in range(3)])
        assert cache.stats.abandoned == 3
        began = current_time()
        with pytest.raises(LoadTimeoutError, match=r"3 calls of it run on since their timeout of 2.0 s"):
            await cache.get("another")

        assert (current_time(), len(source.calls)) == (began, 3)
        await sleep(60)
        assert await cache.get("another") == "of call 4"


async def test_no_more_than_twice_as_many_calls_as_places_ever_run_at_once():
    source = Shielded(1e4)
    async with BackfillCache(source, load=one_by_one(timeout=2, concurrency=3)) as cache:
        async with create_task_group() as tasks:
            for number in range(50):
                start(tasks, cache.get, f"slow {number}")
                await sleep(0.3)

        assert 3 <= source.most <= 6
        await sleep(1e4)
        assert source.running == 0


async def test_a_call_whose_callers_all_left_holds_no_place_after_its_timeout():
    source = Shielded(60)
    async with BackfillCache(source, load=one_by_one(timeout=2, concurrency=2)) as cache:
        async with create_task_group() as tasks:
            hung_up = [start(tasks, cache.get, f"slow {number}") for number in range(2)]
            await sleep(1)
            for caller in hung_up:
                caller.cancel()
            other = start(tasks, cache.get, "slow other")
            await sleep(0.5)
            assert len(source.calls) == 2
            await sleep(2)
            assert (len(source.calls), cache.stats.abandoned) == (2, 2)
        assert isinstance(other.outcome, LoadTimeoutError)
        await sleep(60)


async def test_settling_does_not_wait_for_abandoned_calls():
    async with BackfillCache(Shielded(3600), load=LoadPolicy(timeout=2)) as cache:
        began = current_time()
        with pytest.raises(LoadTimeoutError):
            await cache.get("slow")
        await cache.settle()

        assert current_time() - began < 3
        await sleep(3600)


async def test_the_error_of_an_abandoned_call_is_logged_and_never_called_unretrieved(caplog):
    source = Shielded(60, fails=ConnectionError("the disk is gone"))
    with caplog.at_level(logging.WARNING):
        async with BackfillCache(source, load=one_by_one(timeout=2), clock=current_time) as cache:
            await outcomes(cache.get, *[(f"slow {number}",) for number in range(5)])
            await sleep(60)
            with pytest.raises(LoadTimeoutError):
                await cache.get("slow")
            await sleep(60)
        gc.collect()

    lines = [record.getMessage() for record in caplog.records if record.name == "async_backfill.load"]
    told = ("did not end when it was cancelled", "has ended with ConnectionError: the disk is gone")
    assert [[told[0] in line, told[1] in line] for line in lines] == [[True, False], [False, True]] * 2
    assert "never retrieved" not in caplog.text
    assert {record.name for record in caplog.records} == {"async_backfill.load"}


async def test_an_abandoned_call_counts_as_failed_for_the_circuit():
    load = one_by_one(timeout=2, circuit=CircuitPolicy(failures=2, open_for=100))
    async with BackfillCache(Shielded(3600), load=load, clock=current_time) as cache:
        for number in range(2):
            with pytest.raises(LoadTimeoutError):
                await cache.get(f"slow {number}")

        assert cache.stats.circuit is CircuitState.OPEN
        await sleep(3600)
        assert cache.stats.circuit is CircuitState.HALF_OPEN


async def test_a_stale_value_is_served_while_the_refresh_is_abandoned():
    source = Shielded(3600)
    freshness = FreshnessPolicy(ttl=10, stale_for=100, stale_wait=None)
    load = LoadPolicy(timeout=2)
    async with BackfillCache(source, load=load, freshness=freshness, clock=current_time) as cache:
        source.slow = "none"
        await cache.get("slow")
        source.slow = "slow"
        await sleep(11)
        began = current_time()

        assert await cache.get("slow") == "of call 1"
        assert current_time() - began == pytest.approx(2, abs=0.02)
        await sleep(3600)


async def test_an_abandoned_call_that_waits_for_another_key_lends_one_place_only():
    entered = Event()

    class Nested(Shielded):
        async def load_many(self, keys):
            if keys == ("outer",):
                with CancelScope(shield=True):
                    try:
                        await cache.get("slow inner")
                    except LoadError:
                        entered.set()
            return await super().load_many(keys)

    source = Nested(60)
    async with BackfillCache(source, load=one_by_one(timeout=2, concurrency=1)) as cache:
        with pytest.raises(LoadTimeoutError):
            await cache.get("outer")
        await entered.wait()
        await sleep(60)
        assert cache.stats.abandoned == 0
        source.most = 0
        source.slow = "late"
        await outcomes(cache.get, *[(f"{number}",) for number in range(5)])

        assert source.most == 1


async def test_calls_that_end_at_their_timeout_are_not_abandoned():
    class Cleaning:
        async def load_many(self, keys):
            async with create_task_group() as tasks:
                for _ in keys:
                    tasks.start_soon(sleep, 3600)

    seen = []
    async with BackfillCache(
        Cleaning(), load=LoadPolicy(timeout=2), observers=[lambda _: seen.append(cache.stats.abandoned)]
    ) as cache:
        with pytest.raises(LoadTimeoutError):
            await cache.get("a")

        assert seen == [0]


async def test_an_abandoned_call_that_waited_for_a_nested_load_gives_its_place_back_once():
    class Nested(Shielded):
        async def load_many(self, keys):
            if keys == ("outer",):
                await sleep(1)
                with CancelScope(shield=True):
                    await outcomes(cache.get, ("inner",))
            else:
                self.running += 1
                self.most = max(self.most, self.running)
                await sleep(60 if keys == ("inner",) else 1)
                self.running -= 1
            return dict.fromkeys(keys, "value")

    source = Nested(0)
    async with BackfillCache(source, load=one_by_one(timeout=2, concurrency=2)) as cache:
        assert [type(outcome) for outcome in await outcomes(cache.get, ("outer",))] == [LoadTimeoutError]
        assert cache.stats.abandoned == 1
        await sleep(10)
        assert cache.stats.abandoned == 0
        source.running = source.most = 0

        assert await outcomes(cache.get, *[(f"k{number}",) for number in range(6)]) == ["value"] * 6
        assert source.most == 2
