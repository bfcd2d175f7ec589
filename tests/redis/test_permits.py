"""Backfill permits in Redis, beyond the contract."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("redis", reason="needs the extra redis")
from async_backfill import ConfigurationError
from async_backfill.redis.connection import connect
from async_backfill.redis.errors import RedisError
from async_backfill.redis.permits import RedisPermits

pytestmark = pytest.mark.anyio


@pytest.fixture
async def redis(valkey_url, namespace):
    async with connect(valkey_url) as redis:
        yield redis
        await redis.execute("DEL", f"{namespace}!permits")


async def test_twenty_who_ask_at_once_get_no_more_than_there_are(redis, namespace):
    fleet = [RedisPermits(redis, namespace=namespace, max_backfills=30) for _ in range(20)]
    spent = await asyncio.gather(*(permits.acquire() for permits in fleet * 5))

    assert sum(was_spent for was_spent, _ in spent) == 30
    assert await fleet[0].left() == 0


async def test_they_outlive_those_who_spent_them(redis, namespace):
    await RedisPermits(redis, namespace=namespace, max_backfills=2).acquire()

    assert await RedisPermits(redis, namespace=namespace, max_backfills=2).left() == 1
    assert await redis.execute("PTTL", f"{namespace}!permits") == -1


async def test_what_is_no_number_is_an_error_and_nobody_gets_a_permit(redis, namespace):
    await redis.execute("SET", f"{namespace}!permits", "many")
    permits = RedisPermits(redis, namespace=namespace, max_backfills=2)
    with pytest.raises(RedisError):
        await permits.acquire()
    with pytest.raises(RedisError):
        await permits.approve(1)


@pytest.mark.parametrize("value", [-1, 1.0, True, None])
async def test_a_number_that_makes_no_sense_is_refused(redis, namespace, value):
    with pytest.raises(ConfigurationError):
        RedisPermits(redis, namespace=namespace, max_backfills=value)
    with pytest.raises(ConfigurationError):
        await RedisPermits(redis, namespace=namespace, max_backfills=1).approve(value)
