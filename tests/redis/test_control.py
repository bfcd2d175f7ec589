"""Orders through a real server: other processes hear them, and later ones obey what stands."""

from __future__ import annotations

import asyncio
import sys

import pytest

pytest.importorskip("redis", reason="needs the extra redis")
from async_backfill import BackfillCache, ConfigurationError, KeyRefusedError, MappingSource, StoreError
from async_backfill.contracts import ControlOrder
from async_backfill.redis.connection import connect
from async_backfill.redis.control import RedisControl
from async_backfill.redis.errors import RedisError

pytestmark = pytest.mark.anyio

BY_ADA = {"by": "ada", "reason": 'the source "suffers"\n\u2013 since noon'}
BY_BOB = {"by": "bob", "reason": "it is well"}
PROCESS = """
import asyncio, sys
from async_backfill import BackfillCache, MappingSource
from async_backfill.redis import RedisControl, connect

async def main(url, namespace):
    async with connect(url) as redis:
        control = RedisControl(redis, namespace=namespace)
        async with BackfillCache(MappingSource({}), control=control) as cache:
            is_paused = None
            while True:
                if is_paused is not cache.control.status.is_paused:
                    is_paused = cache.control.status.is_paused
                    print("paused" if is_paused else "runs", flush=True)
                await asyncio.sleep(0.01)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
async def redis(valkey_url, namespace):
    async with connect(valkey_url) as redis:
        yield redis
        name = f"{{{namespace}!control}}"
        await redis.execute("DEL", f"{name}standing", f"{name}orders")


def cache_of(redis, namespace):
    return BackfillCache(MappingSource({1: 1}), control=RedisControl(redis, namespace=namespace))


def order_of(verb, **facts):
    return ControlOrder(verb=verb, time=1.5, id="x", **(BY_ADA | facts))


async def until(condition):
    async with asyncio.timeout(30.0):
        while not condition():  # noqa: ASYNC110 - of another process, or of another cache
            await asyncio.sleep(0.01)


async def test_what_is_sent_comes_back_as_it_was_with_its_version(redis, namespace):
    control = RedisControl(redis, namespace=namespace)
    sent = [
        order_of("pause"),
        order_of("retune", details={"rate": 2.5, "batch": None}),
        order_of("invalidate", key=("a", b"\x00\xff", 7)),
        order_of("approve", details={"permits": 3}),
    ]
    assert [await control.send(order) for order in sent] == [1, 2, 3, 4]
    found = await control.since(0)
    assert [order.version for order in found] == [1, 2, 3, 4]
    for order, other in zip(sent, found, strict=True):
        assert (order.verb, order.by, order.reason, order.time, order.id) == (
            other.verb,
            other.by,
            other.reason,
            other.time,
            other.id,
        )
        assert (dict(order.details), order.key) == (dict(other.details), other.key)
    version, standing = await control.standing()
    assert (version, [order.version for order in standing]) == (4, [1, 2])


async def test_the_server_counts_orders_that_are_sent_at_once(redis, namespace):
    fleet = [RedisControl(redis, namespace=namespace) for _ in range(20)]
    verbs = ["pause", "resume"] * 50
    versions = await asyncio.gather(*(fleet[at % 20].send(order_of(verb)) for at, verb in enumerate(verbs)))
    assert sorted(versions) == list(range(1, 101))
    _, (standing,) = await fleet[0].standing()
    assert (standing.version, standing.verb) == (100, verbs[versions.index(100)])


async def test_a_hundred_orders_are_kept_and_what_stands_for_ever(redis, namespace):
    control = RedisControl(redis, namespace=namespace)
    for verb in ("off", *["cancel"] * 103):
        await control.send(order_of(verb))
    assert [order.version for order in await control.since(0)] == list(range(5, 105))
    _, (standing,) = await control.standing()
    assert standing.verb == "off"
    assert await redis.execute("PTTL", f"{{{namespace}!control}}standing") == -1


@pytest.mark.parametrize(
    "entry", ["", "7", "7 {}", "x {}", "7 []", '7 {"verb": "format"}', '7 {"verb": "off"}', "7 \x00"]
)
async def test_what_is_no_order_is_left_out(redis, namespace, entry, caplog):
    control, name = RedisControl(redis, namespace=namespace), f"{{{namespace}!control}}"
    await control.send(order_of("pause"))
    await redis.execute("RPUSH", f"{name}orders", entry)
    await redis.execute("HSET", f"{name}standing", "cache", entry)
    assert [order.verb for order in await control.since(0)] == ["pause"]
    assert [order.verb for order in (await control.standing())[1]] == ["pause"]
    assert "holds what is no order" in caplog.text


async def test_a_key_that_others_cannot_decode_and_a_long_reason_are_not_sent(redis, namespace):
    control = RedisControl(redis, namespace=namespace)
    with pytest.raises(KeyRefusedError):
        await control.send(order_of("invalidate", key=object()))
    with pytest.raises(ConfigurationError, match="less than 500000 bytes"):
        await control.send(order_of("pause", reason="x" * 600_000))
    assert await control.standing() == (0, [])


async def test_a_value_of_another_kind_is_an_error(redis, namespace):
    await redis.execute("SET", f"{{{namespace}!control}}standing", "x")
    control = RedisControl(redis, namespace=namespace)
    for call in (control.standing, lambda: control.send(order_of("pause"))):
        with pytest.raises(RedisError, match="WRONGTYPE"):
            await call()


async def test_several_caches_hear_an_order_of_one_of_them(redis, namespace):
    async with (
        cache_of(redis, namespace) as one,
        cache_of(redis, namespace) as two,
        cache_of(redis, namespace) as three,
    ):
        await one.control.pause(**BY_ADA)
        await until(lambda: two.control.status.is_paused and three.control.status.is_paused)
        assert two.control.status.orders["pause"].reason == BY_ADA["reason"]
        await three.control.off(**BY_BOB)
        await until(lambda: one.control.status.is_off and two.control.status.is_off)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # each process costs a start of Python
async def test_paused_in_one_is_paused_in_other_processes_and_in_those_that_open_later(
    redis, valkey_url, namespace
):
    processes = []

    async def process():
        processes.append(
            await asyncio.create_subprocess_exec(
                sys.executable, "-c", PROCESS, valkey_url, namespace, stdout=asyncio.subprocess.PIPE
            )
        )
        return processes[-1].stdout

    try:
        async with asyncio.timeout(60.0):
            first, second = await process(), await process()
            assert [await out.readline() for out in (first, second)] == [b"runs\n"] * 2
            async with cache_of(redis, namespace) as cache:
                await cache.control.pause(**BY_ADA)
            assert [await out.readline() for out in (first, second)] == [b"paused\n"] * 2
            processes[0].kill()
            await processes[0].wait()
            third = await process()
            assert await third.readline() == b"paused\n"
            async with cache_of(redis, namespace) as cache:
                assert cache.control.status.orders["pause"].by == "ada"
                await cache.control.resume(**BY_BOB)
            assert [await out.readline() for out in (second, third)] == [b"runs\n"] * 2
    finally:
        for started in processes:
            if started.returncode is None:
                started.kill()
            await started.wait()


async def test_a_server_that_dies_leaves_what_stands_and_another_is_heard(valkey):
    server = valkey()
    async with connect(server.url) as redis, cache_of(redis, "n") as one:
        await one.control.pause(**BY_ADA)
        server.stop()
        with pytest.raises(StoreError, match="was carried out in this process"):
            await one.control.off(**BY_ADA)
        status = one.control.status
        assert (status.is_paused, status.is_off, status.channel_failures > 0) == (True, True, True)
        assert await one.get(1) == 1


async def test_an_order_after_a_restart_counts_at_once_and_is_named(valkey):
    server = valkey()
    async with (
        connect(server.url) as redis,
        cache_of(redis, "n") as one,
        cache_of(redis, "n") as other,
    ):
        for _ in range(2):
            await one.control.off(**BY_ADA)
            await one.control.on(**BY_ADA)
        await until(lambda: len(other.audit_log) == 4)
        server.restart()
        await until_it_answers(redis)
        await one.control.off(**BY_BOB)
        assert one.control.status.is_off
        await until(lambda: other.control.status.is_off)
        for cache in (one, other):
            assert cache.control.status.orders["off"].by == "bob"


async def until_it_answers(redis):
    async with asyncio.timeout(30.0):
        while True:
            try:
                return await redis.execute("PING", key=b"n")
            except RedisError:
                await asyncio.sleep(0.02)
