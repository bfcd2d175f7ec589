"""A subscription over a connection of a program's own client: it is lost in the open, or not at all."""

from __future__ import annotations

import asyncio
import itertools

import hiredis
import pytest

pytest.importorskip("redis", reason="needs the extra redis")
from redis.asyncio import Redis

from async_backfill.redis import RedisReplyError, RedisUnavailableError, from_client

pytestmark = pytest.mark.anyio

NOBODY = 1  # a port: the server is a replica without its primary


def check_health_at_each_command(redis):
    """Have redis-py check the subscribed connection as with ``health_check_interval``, from now on.

    So short an interval from the beginning would have it mix up the answers while it connects.
    """
    (subscribed,) = redis._routes.subscribed
    subscribed._connection.health_check_interval = 0.001


async def test_a_client_that_checks_its_health_keeps_a_subscription(valkey):
    async with (
        Redis.from_url(valkey().url, protocol=2) as client,
        from_client(client) as redis,
        redis.subscribe(b"news", heartbeat=0.1) as messages,
    ):
        check_health_at_each_command(redis)
        waiting = asyncio.ensure_future(anext(messages))
        while b"cmdstat_ping" not in await redis.execute("INFO", "commandstats"):
            pass
        await asyncio.sleep(0.1)
        assert await redis.execute("PUBLISH", "news", "x") == 1
        assert await waiting == (b"news", b"x")


async def test_a_message_right_before_the_answer_to_a_ping_is_not_lost():
    message = b">3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\n%d\r\n"
    answers = {
        b"HELLO": b"%1\r\n$5\r\nproto\r\n:3\r\n",
        b"PING": b"+PONG\r\n",
        b"SUBSCRIBE": b">3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n",
    }
    pings = itertools.count()

    async def serve(reader, writer):
        commands, is_subscribed = hiredis.Reader(), False
        while piece := await reader.read(1_000):
            commands.feed(piece)
            while command := commands.gets():
                if command[0] == b"SUBSCRIBE":
                    is_subscribed = True
                elif command[0] == b"PING" and is_subscribed:
                    writer.write(message % next(pings))
                writer.write(answers.get(command[0], b"+OK\r\n"))
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with (
            Redis(port=port, protocol=3) as client,
            from_client(client) as redis,
            redis.subscribe(b"news", heartbeat=0.05) as messages,
        ):
            check_health_at_each_command(redis)
            assert [await anext(messages) for _ in range(2)] == [(b"news", b"0"), (b"news", b"1")]


async def test_who_was_busy_in_a_failover_touches_no_connection_that_is_anothers(valkey):
    server = valkey()
    async with Redis.from_url(server.url) as client, from_client(client) as redis:
        await redis.execute("PING")
        async with redis.subscribe(b"news", heartbeat=5.0) as messages:
            await client.publish("news", "x")
            assert await anext(messages) == (b"news", b"x")
            (subscribed,) = redis._routes.subscribed
            await client.execute_command("REPLICAOF", "127.0.0.1", NOBODY)
            with pytest.raises(RedisReplyError, match="READONLY"):
                await redis.execute("SET", "key", 1)
            await client.execute_command("REPLICAOF", "NO", "ONE")
            waiting = [asyncio.create_task(client.blpop(name)) for name in ("a", "b", "c")]
            lent = client.connection_pool._in_use_connections
            while subscribed._connection not in lent:  # noqa: ASYNC110 - redis-py has nothing to wait for
                await asyncio.sleep(0)
            with pytest.raises(RedisUnavailableError) as left:
                await anext(messages)
        for name in ("a", "b", "c"):
            await client.rpush(name, "x")
        assert await asyncio.gather(*waiting) == [(name, b"x") for name in (b"a", b"b", b"c")]
    assert str(left.value) == f"redis at 127.0.0.1:{server.port}: it is no primary any more"
