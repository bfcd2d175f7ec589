"""Whatever a fleet does and whatever fails in between: nobody reads what an invalidation has ended."""

from __future__ import annotations

from contextlib import AsyncExitStack

import anyio
import pytest
from anyio import CancelScope, create_task_group
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from async_backfill import CircuitPolicy, FreshnessPolicy, LoadError, StoreError
from tests.far.shared import Leases, Shared
from tests.far.test_reading import cache_of

pytestmark = pytest.mark.anyio

KEYS = ["a", "b", "c"]
LONGEST = 2.0  # seconds: the wait for a lease, a load, and calls of a store that hangs
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("get"), st.integers(0, 2), st.sampled_from(KEYS)),
        st.tuples(st.just("get and leave"), st.integers(0, 2), st.sampled_from(KEYS)),
        st.tuples(st.just("write"), st.integers(0, 2), st.sampled_from(KEYS)),
        st.tuples(st.just("put"), st.integers(0, 2), st.sampled_from(KEYS)),
        st.tuples(st.just("evict"), st.integers(0, 2), st.just("")),
        st.tuples(st.just("dead holder"), st.integers(0, 2), st.sampled_from(KEYS)),
        st.tuples(st.just("late answers"), st.sampled_from([0.0, 0.02, 1.0]), st.just("")),
        st.tuples(st.just("pause"), st.floats(0.001, 2.0), st.just("")),
        st.tuples(st.just("network"), st.sampled_from(["fails", "hangs", "works", "slow"]), st.just("")),
    ),
    max_size=40,
)


class Versions:
    """A source whose values are versions; a load reads the version at its begin or at its end."""

    def __init__(self):
        self.version = dict.fromkeys(KEYS, 0)
        self.loads = 0

    async def load_many(self, keys, /):
        self.loads += 1
        answers = {key: self.version[key] for key in keys}
        await anyio.sleep(0.02 * (self.loads % 3))
        return answers


@pytest.mark.parametrize("stale", [False, True], ids=["plain", "stale-while-revalidate"])
@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(steps=STEPS)
async def test_a_get_begun_after_an_invalidation_was_confirmed_reads_no_older_version(  # noqa: C901, PLR0915 - all steps
    stale, steps
):
    shared, source = Shared(), Versions()
    fresh = FreshnessPolicy(ttl=1.0, stale_for=5.0) if stale else FreshnessPolicy(ttl=60.0)
    confirmed = dict.fromkeys(KEYS, 0)
    wrong, waited = [], [0.0]

    async def get(cache, key):
        least, started = confirmed[key], anyio.current_time()
        try:
            found = await cache.get(key)
        except LoadError:
            return
        finally:
            waited.append(anyio.current_time() - started)
        if found < least:
            wrong.append((key, found, least))

    async def leave(cache, key):
        with anyio.move_on_after(0.01):
            await get(cache, key)

    async def write(cache, key, *, put):
        source.version[key] += 1
        version = source.version[key]
        try:
            await (cache.put(key, version) if put else cache.invalidate(key))
        except StoreError:
            return
        if source.version[key] == version or not put:
            confirmed[key] = max(confirmed[key], version)

    async with AsyncExitStack() as stack:
        caches = [
            await stack.enter_async_context(
                cache_of(
                    source,
                    shared,
                    freshness=fresh,
                    leases=Leases(shared),
                    invalidations=shared.ears(n),
                    circuit=CircuitPolicy(failures=2, open_for=0.5),
                )
            )
            for n in range(3)
        ]
        tasks = await stack.enter_async_context(create_task_group())
        with CancelScope():
            for step, which, key in steps:
                if step == "pause":
                    await anyio.sleep(which)
                elif step == "network":
                    shared.error = ConnectionError("gone") if which == "fails" else None
                    shared.delay = {"hangs": 3600.0, "slow": 0.03}.get(which, 0.0)
                elif step == "late answers":
                    shared.answer_delays["lease"] = which
                elif step == "dead holder":
                    if shared.lease(key) is None and not shared.has(key):
                        end = anyio.current_time() + shared.lease_seconds
                        shared.leases[key] = (b"of nobody.. " + bytes(4), end)
                elif step == "evict":
                    if caches[which].stats.size:
                        caches[which].evict_oldest()
                elif step in {"write", "put"}:
                    await write(caches[which], key, put=step == "put")
                else:
                    tasks.start_soon(get if step == "get" else leave, caches[which], key)
        shared.error, shared.delay = None, 0.0
        shared.answer_delays.clear()
        await anyio.sleep(120.0)
        for cache in caches:
            await cache.settle()
            assert cache.stats.in_flight == 0
    assert wrong == []
    assert max(waited) < LONGEST
    assert shared._watches == []
