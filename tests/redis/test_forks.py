"""Connections of Redis that were made, or used, before a fork or in another event loop."""

from __future__ import annotations

import asyncio
import sys

import anyio
import pytest

from async_backfill.redis import RedisStore, RedisUnavailableError, connect
from tests.forked import printed_by

no_forks = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")


@no_forks
def test_a_pool_that_was_used_before_a_fork_gives_each_process_its_own_answers(valkey_url, namespace):
    lines = printed_by(
        """
        from async_backfill.redis import RedisLeases, RedisStore, connect

        connection = connect(sys.argv[1])
        store = RedisStore(connection, namespace=sys.argv[2])

        async def use(who):
            for number in range(100):
                key = f"{who} {number}"
                await store.set_many({key: key}, ttl=60)
                found = await store.get_many([key, f"{who} {number - 1}"])
                assert all(copy.value == key for key, copy in found.items()), found
                assert key in found
            return "right"

        loop = asyncio.new_event_loop()
        loop.run_until_complete(use("before"))
        workers = [in_child(lambda who=who: asyncio.run(use(who))) for who in ("one", "two")]
        print(loop.run_until_complete(use("parent")))
        for told in workers:
            print(told())
        print(in_child(lambda: asyncio.run(connection.aclose()))())
        print(loop.run_until_complete(use("after")))
        loop.run_until_complete(connection.aclose())
        loop.close()
        """,
        valkey_url,
        namespace,
    )

    assert lines == ["right", "right", "right", "None", "right"]


@no_forks
def test_workers_that_are_forked_hear_each_other_and_not_themselves(valkey_url, namespace):
    lines = printed_by(
        """
        from async_backfill.redis import RedisInvalidations, connect

        connection = connect(sys.argv[1])
        invalidations = RedisInvalidations(connection, namespace=sys.argv[2], key_type=str)

        async def work(own, other):
            heard, connected, done = [], asyncio.Event(), asyncio.Event()

            def forget(keys):
                heard.extend([None] if keys is None else keys)
                connected.set()
                if other in heard:
                    done.set()

            listening = asyncio.create_task(invalidations.listen(forget))
            await connected.wait()
            while not done.is_set():  # until the other one listens, too
                await invalidations.publish([own])
                await asyncio.sleep(0.01)
            await invalidations.publish([own] * 3)
            listening.cancel()
            return own in heard, other in heard

        workers = [in_child(lambda pair=pair: asyncio.run(work(*pair))) for pair in ("ab", "ba")]
        for told in workers:
            print(told())
        """,
        valkey_url,
        namespace,
    )

    assert lines == ["(False, True)"] * 2


def test_a_connection_of_an_event_loop_that_has_not_ended_is_refused_in_another(valkey_url, namespace):
    connection = connect(valkey_url)
    store = RedisStore(connection, namespace=namespace)

    async def use():
        await store.set_many({"a": 1}, ttl=60)
        return (await store.get_many("a"))["a"].value

    first, second = asyncio.SelectorEventLoop(), asyncio.SelectorEventLoop()
    assert first.run_until_complete(use()) == 1
    with pytest.raises(RedisUnavailableError, match="used in another event loop"):
        second.run_until_complete(use())
    assert first.run_until_complete(use()) == 1
    first.run_until_complete(connection.aclose())
    for loop in (first, second):
        loop.close()


def test_on_trio_a_connection_says_that_it_needs_asyncio(valkey_url):
    async def use():
        with pytest.raises(RedisUnavailableError, match="needs asyncio"):
            await connect(valkey_url).execute("PING")

    anyio.run(use, backend="trio")
