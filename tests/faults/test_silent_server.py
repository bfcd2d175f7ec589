"""A Redis that takes what is said to it and answers nothing, in real time."""

from __future__ import annotations

import logging
import signal

import anyio
import pytest

from async_backfill import BackfillCache, BackfillPolicy, MappingSource
from async_backfill.redis.connection import connect
from async_backfill.redis.journal import RedisJournal

pytestmark = pytest.mark.anyio


async def test_a_cache_opens_beside_a_journal_in_a_redis_that_says_nothing(valkey, namespace, caplog):
    async with connect(valkey.url) as redis:
        await redis.execute("PING")
        valkey.process.send_signal(signal.SIGSTOP)
        try:
            with caplog.at_level(logging.WARNING), anyio.fail_after(300.0):
                async with BackfillCache(
                    MappingSource({"a": 1}),
                    journal=RedisJournal(redis, namespace=namespace),
                    backfill=BackfillPolicy(selection="history"),
                ) as cache:
                    assert await cache.get("a") == 1
        finally:
            valkey.process.send_signal(signal.SIGCONT)

    assert "the journal of hot keys is ignored" in caplog.text
