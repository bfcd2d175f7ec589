"""Backfill permits in Redis, beyond the contract."""

from __future__ import annotations

import asyncio
import sys

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
        await redis.execute("DEL", f"{namespace}!permits", f"{{{namespace}!permits}}approvals")


async def test_twenty_who_ask_at_once_get_no_more_than_there_are(redis, namespace):
    fleet = [RedisPermits(redis, namespace=namespace, max_backfills=30) for _ in range(20)]
    spent = await asyncio.gather(*(permits.acquire() for permits in fleet * 5))

    assert sum(was_spent for was_spent, _ in spent) == 30
    assert await fleet[0].left() == 0


async def test_they_outlive_those_who_spent_them(redis, namespace):
    await RedisPermits(redis, namespace=namespace, max_backfills=2).acquire()

    assert await RedisPermits(redis, namespace=namespace, max_backfills=2).left() == 1
    assert await redis.execute("PTTL", f"{namespace}!permits") == -1


@pytest.mark.parametrize(
    "text",
    ["many", "", " 5", "5 ", "1e3", "0x10", "1.5", "-3", "1_000", "+5", "\u0665", "nan", "inf", "9" * 16],
)
async def test_what_is_no_whole_number_is_an_error_and_nobody_gets_a_permit(redis, namespace, text):
    name = f"{namespace}!permits"
    await redis.execute("SET", name, text)
    permits = RedisPermits(redis, namespace=namespace, max_backfills=2)
    for call in (permits.acquire, permits.left, lambda: permits.approve(1, by="ada", reason="why")):
        with pytest.raises(RedisError, match=f"{name} holds no whole number of permits: SET it"):
            await call()
    assert await redis.execute("GET", name) == text.encode()
    assert list(await permits.approvals()) == []


async def test_the_latest_hundred_approvals_are_kept(redis, namespace):
    permits = RedisPermits(redis, namespace=namespace, max_backfills=0)
    for number in range(103):
        await permits.approve(1, by="ada", reason=f"reason {number}")

    found = await permits.approvals()
    assert [approval.number for approval in found] == list(range(4, 104))
    assert (found[-1].reason, await permits.left()) == ("reason 102", 103)


async def test_an_approval_that_cannot_be_read_is_told_and_hides_no_other(redis, namespace, caplog):
    permits = RedisPermits(redis, namespace=namespace, max_backfills=0)
    await permits.approve(1, by="ada", reason="why")
    for foreign in (b"\xff", b"2 3 nonsense", b"2 3 []", b'2 3 {"permits": 1, "by": 5, "reason": ""}'):
        await redis.execute("RPUSH", f"{{{namespace}!permits}}approvals", foreign)

    assert [approval.by for approval in await permits.approvals()] == ["ada"]
    assert "holds what is no approval" in caplog.text


async def test_the_largest_budget_is_spent_as_any_other_and_a_larger_one_is_refused(redis, namespace):
    permits = RedisPermits(redis, namespace=namespace, max_backfills=10**15 - 1)
    assert [await permits.acquire() for _ in range(2)] == [(True, 10**15 - 2), (True, 10**15 - 3)]
    for larger in (10**15, sys.maxsize):
        with pytest.raises(ConfigurationError, match=f"^max_backfills: {larger} is more than 9{{15}}$"):
            RedisPermits(redis, namespace=namespace, max_backfills=larger)


@pytest.mark.parametrize("value", [-1, 1.0, True, None])
async def test_a_number_that_makes_no_sense_is_refused(redis, namespace, value):
    with pytest.raises(ConfigurationError):
        RedisPermits(redis, namespace=namespace, max_backfills=value)
    with pytest.raises(ConfigurationError):
        await RedisPermits(redis, namespace=namespace, max_backfills=1).approve(value, by="ada", reason="why")


async def test_an_approval_of_megabytes_that_anybody_wrote_is_not_read(redis, namespace):
    permits = RedisPermits(redis, namespace=namespace, max_backfills=1)
    await redis.execute("RPUSH", f"{{{namespace}!permits}}approvals", b"1 1 " + b"x" * 5_000_000)
    with pytest.raises(RedisError, match="longer than it may be"):
        await permits.approvals()
    await redis.execute("DEL", f"{{{namespace}!permits}}approvals")


async def test_only_the_latest_hundred_of_a_long_list_of_approvals_are_read(redis, namespace):
    permits = RedisPermits(redis, namespace=namespace, max_backfills=1)
    note = '{"permits": 1, "by": "me", "reason": "test"}'
    await redis.execute(
        "RPUSH", f"{{{namespace}!permits}}approvals", *[f"{number} 1 {note}" for number in range(5_000)]
    )
    assert [approval.number for approval in await permits.approvals()] == list(range(4_900, 5_000))
    await redis.execute("DEL", f"{{{namespace}!permits}}approvals")


async def test_a_reason_of_a_megabyte_is_refused(redis, namespace):
    with pytest.raises(ConfigurationError, match="reason"):
        await RedisPermits(redis, namespace=namespace, max_backfills=1).approve(
            1, by="me", reason="x" * 10**6
        )
