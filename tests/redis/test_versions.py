"""Values with versions in Redis: of two the higher one stays, whatever the clocks of processes say."""

from __future__ import annotations

import time
from operator import itemgetter

import anyio
import pytest

pytest.importorskip("redis", reason="needs the extra redis")
from async_backfill.redis import _pages
from async_backfill.redis.connection import connect
from async_backfill.redis.leases import RedisLeases
from async_backfill.redis.store import RedisStore
from tests.leases import lease

pytestmark = pytest.mark.anyio


@pytest.fixture
async def redis(valkey_url):
    async with connect(valkey_url) as redis:
        yield redis


@pytest.fixture
def store(redis, namespace):
    return of(redis, namespace)


def of(redis, namespace, **settings):
    """A store of rows, each a version and a text."""
    return RedisStore(redis, namespace=namespace, **{"version_of": itemgetter(0), **settings})


async def value_in(store):
    found = await store.get_many(["k"])
    return found["k"].value if found else None


def an_hour_ago():
    return time.time() - 3600.0


@pytest.mark.parametrize(("settings", "left"), [({}, [2, "new"]), ({"version_of": None}, [1, "old"])])
async def test_what_a_process_wrote_whose_clock_is_behind_is_told_by_its_version(
    redis, namespace, settings, left
):
    behind = of(redis, namespace, wall_clock=an_hour_ago, **settings)
    store = of(redis, namespace, **settings)
    read_at = store.now()
    await behind.set_many({"k": [2, "new"]})
    await store.set_page({"k": [1, "old"]}, read_at=read_at)

    assert await value_in(store) == left


async def test_what_was_read_from_a_replica_that_lags_does_not_replace_what_it_has_met(
    redis, namespace, store
):
    await of(redis, namespace).set_many({"k": [2, "new"]})
    assert await value_in(store) == [2, "new"]
    done = await store.set_page({"k": [1, "old"]}, read_at=store.now())

    assert done.newer == ["k"]
    assert await value_in(store) == [2, "new"]


async def test_what_cannot_be_used_is_replaced_whatever_its_version_is(redis, namespace, store):
    await of(redis, namespace, signing_key=b"of somebody else").set_many({"k": [9, "forged"]})
    assert await value_in(store) is None
    done = await store.set_page({"k": [1, "row"]}, read_at=store.now())

    assert done.kept == 1
    assert await value_in(store) == [1, "row"]


async def test_a_value_without_a_version_is_compared_by_time(redis, namespace, store):
    plain = of(redis, namespace, version_of=None)
    read_at = store.now()
    await plain.set_many({"k": [1, "of a store without versions"]})
    assert (await store.set_page({"k": [2, "row"]}, read_at=read_at)).newer == ["k"]
    await store.set_many({"k": [1, "with a version"]})

    assert (await plain.set_page({"k": [2, "row"]}, read_at=read_at)).newer == ["k"]


async def test_an_outdated_value_under_a_lease_that_is_over_has_its_version(store, monkeypatch):
    monkeypatch.setattr(_pages, "MARGIN", 0.0)  # or the lease would have to be over for five seconds
    await store.set_many({"k": [2, "new"]})
    await lease(RedisLeases(store, seconds=0.05), ["k"], outdated=["k"])
    await anyio.sleep(0.1)
    assert (await store.set_page({"k": [1, "old"]}, read_at=store.now())).newer == ["k"]

    assert (await store.set_page({"k": [3, "newest"]}, read_at=store.now())).kept == 1
