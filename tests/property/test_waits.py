"""Every wait has an end: whatever source, store and leases do, no lookup outlasts what is promised."""

from __future__ import annotations

import logging
from functools import partial

import pytest
from anyio import (
    CancelScope,
    create_task_group,
    current_time,
    fail_after,
    get_cancelled_exc_class,
    sleep,
    sleep_forever,
)
from anyio.lowlevel import checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backfill import BackfillCache, FarTier, FreshnessPolicy, LoadPolicy
from tests.callers import run, start
from tests.far.shared import Leases, Shared

TIMEOUT = 5.0
FAR_TIMEOUT = 0.05
LEASE = 4.0
LEASE_WAIT = 1.0
FAR_CALLS = 9  # get and lease, before, between and after two waits, take-overs, and what a turn costs
LONGEST = TIMEOUT + 2 * LEASE_WAIT + FAR_CALLS * FAR_TIMEOUT
CLOSING = 4 * 5.0
AGES = 500.0

CALLS = ["source", "get", "set", "lease", "set leased", "release", "publish", "delete"]


async def shielded(seconds):
    with CancelScope(shield=True):
        await sleep(seconds)


async def catch():
    end = current_time() + AGES
    while (left := end - current_time()) > 0:
        try:
            await sleep(left)
        except get_cancelled_exc_class():
            await shielded(AGES / 7)


async def drip():
    for _ in range(1000):
        await sleep(FAR_TIMEOUT / 2)


async def fail():
    raise ConnectionError("gone")


MOODS = {
    "quick": checkpoint,
    "slow": partial(sleep, TIMEOUT / 3),
    "hangs": sleep_forever,
    "ignores": partial(shielded, AGES),
    "answers late": partial(shielded, TIMEOUT + 0.01),
    "catches": catch,
    "drips": drip,
    "fails": fail,
}


class Nasty(Shared):
    def __init__(self, moods):
        super().__init__()
        self.moods = moods
        self.lease_seconds = LEASE

    async def _call(self, name, keys):
        await MOODS[self.moods.get(name, "quick")]()
        await super()._call(name, keys)

    async def load_many(self, keys):
        await MOODS[self.moods["source"]]()
        return dict.fromkeys(keys, "value")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@settings(max_examples=60)
@given(
    moods=st.fixed_dictionaries({name: st.sampled_from(list(MOODS)) for name in CALLS}),
    leased=st.booleans(),
    has_leases=st.booleans(),
    steps=st.lists(
        st.tuples(
            st.sampled_from(["get", "get_many", "hang up", "invalidate", "put"]),
            st.sampled_from(["a", "b", "c", "leased"]),
            st.sampled_from([0.0, 0.01, 1.0]),
        ),
        min_size=1,
        max_size=8,
    ),
)
def test_no_lookup_and_no_close_outlasts_what_is_promised(backend, moods, leased, has_leases, steps):
    async def main():
        shared = Nasty(moods)
        if leased:  # by a process that is dead
            shared.leases["leased"] = (b"of the dead!" + bytes(4), current_time() + LEASE)
        waits = []

        async def timed(call, *args):
            began = current_time()
            try:
                await call(*args)
            finally:
                waits.append((call.__name__, current_time() - began))

        tier = FarTier(
            store=shared,
            leases=Leases(shared) if has_leases else None,
            timeout=FAR_TIMEOUT,
            lease_wait=LEASE_WAIT,
        )
        cache = BackfillCache(
            shared,
            far=tier,
            freshness=FreshnessPolicy(ttl=2.0),
            load=LoadPolicy(timeout=TIMEOUT, concurrency=20),
            clock=current_time,
        )
        with fail_after(50 * AGES):
            async with cache:
                async with create_task_group() as tasks:
                    for what, key, pause in steps:
                        if what == "get_many":
                            start(tasks, timed, cache.get_many, ["a", key])
                        elif what == "put":
                            start(tasks, timed, cache.put, key, "put")
                        elif what == "invalidate":
                            start(tasks, timed, cache.invalidate, key)
                        else:
                            caller = start(tasks, timed, cache.get, key)
                            if what == "hang up":
                                await sleep(pause)
                                caller.cancel()
                        await sleep(pause)
                closing = current_time()
            closed = current_time() - closing
        await sleep(2 * AGES)  # what goes on behind ends in its own time, and disturbs nobody
        return waits, closed

    logging.disable(logging.WARNING)
    try:
        waits, closed = run(main, backend)
    finally:
        logging.disable(logging.NOTSET)
    assert [(what, seconds) for what, seconds in waits if seconds > LONGEST + 0.1] == []
    assert closed <= CLOSING + 0.1
