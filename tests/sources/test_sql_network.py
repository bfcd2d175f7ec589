"""A real PostgreSQL behind a network that is silent, breaks off and comes back."""

from __future__ import annotations

import asyncio
import gc
import random
from collections import Counter
from functools import partial

import pytest
from anyio import CancelScope, create_task_group, fail_after, move_on_after, sleep
from anyio.lowlevel import checkpoint

pytest.importorskip("sqlalchemy", reason="needs the extra sql")
pytest.importorskip("asyncpg", reason="needs the extra sql")
pytest.importorskip("aiosqlite", reason="needs the extra sql")
import sqlalchemy as sa

from async_backfill.sources.sql import SQLSource, open_database
from tests.servers.tcp_proxy import TcpProxy
from tests.sources.sql_tables import PATIENCE, rows_in, server_url, until

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


async def test_a_cancelled_load_does_not_wait_for_a_server_that_says_nothing(server_url):
    port = sa.make_url(server_url).port
    async with TcpProxy("127.0.0.1", port) as proxy:
        proxy.drop()
        async with open_database(at(server_url, proxy.port)) as engine:
            with fail_after(PATIENCE), move_on_after(0.05) as scope:
                await SQLSource(engine, "t", key="id", value="name").load_many(["a"])

            assert engine.pool.checkedout() == 0
    assert scope.cancelled_caught


def at(url, port):
    """Return ``url`` at another port of this machine."""
    return sa.make_url(url).set(host="127.0.0.1", port=port)


async def test_a_server_that_dies_is_one_clear_error_and_is_used_again_when_it_is_back(server_url):
    rows = [(f"{number:04}", f"name {number}", 0) for number in range(10)]
    server = sa.make_url(server_url)
    async with (
        rows_in(server_url, rows) as (_, table),
        TcpProxy("127.0.0.1", server.port) as proxy,
        SQLSource.connect(at(server_url, proxy.port), table, key="id", value="name") as source,
    ):
        everything = {key: value for key, value, _ in rows}
        assert await source.load_many(list(everything)) == everything
        proxy.refuse()
        proxy.reset()
        told = []
        for ask in (
            lambda: source.load_many(["0000"]),
            lambda: source.scan(None, 10),
            lambda: anext(source.rows()),
        ):
            with pytest.raises(ConnectionError) as raised:
                await ask()
            told.append(str(raised.value))
            assert server.password not in f"{raised.value!r} {raised.value.__cause__!r}"
        await proxy.heal()

        assert await source.load_many(list(everything)) == everything
    assert all(f"no connection to the database at 127.0.0.1:{proxy.port}: " in text for text in told)
    assert not any("\n" in text or server.password in text for text in told)


async def test_a_pool_without_a_free_connection_is_one_clear_error(server_url):
    async with (
        open_database(server_url, pool_size=1, max_overflow=0, pool_timeout=0.02) as engine,
        engine.connect(),
    ):
        source = SQLSource(engine, "t", key="id", value="name")
        with pytest.raises(ConnectionError, match=r"^no connection to the database at .*: QueuePool limit"):
            await source.load_many(["a"])


async def test_whatever_the_network_does_no_answer_is_wrong_and_no_connection_is_lost(server_url):
    rows = [(f"{number:03}", f"name {number}", 0) for number in range(200)]
    everything = {key: value for key, value, _ in rows}
    outcomes, left = Counter(), []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: left.append(context))
    rng = random.Random(6)
    async with (
        rows_in(server_url, rows) as (_, table),
        TcpProxy("127.0.0.1", sa.make_url(server_url).port, seed=6) as proxy,
        open_database(at(server_url, proxy.port), pool_size=3, max_overflow=0) as engine,
        create_task_group() as tasks,
    ):
        source = SQLSource(engine, table, key="id", value="name", timeout=PATIENCE)

        async def work(own):
            while True:
                keys = own.sample(list(everything), 50)
                with move_on_after(own.choice([0.01, 0.1, 0.5, PATIENCE])) as scope:
                    try:
                        assert await source.load_many(keys) == {key: everything[key] for key in keys}
                        outcomes["answered"] += 1
                    except ConnectionError:
                        outcomes["failed"] += 1
                outcomes["cancelled"] += scope.cancelled_caught
                await sleep(0.001)

        async def all_back():
            return engine.pool.checkedout() == 0

        for number in range(5):
            tasks.start_soon(work, random.Random(number))

        async def answered_again(before):
            return outcomes["answered"] > before

        for number in range(40):
            await sleep(0.02 * rng.random())
            if number % 4 == 0:  # a busy machine answers nothing in so short a time
                await until(partial(answered_again, outcomes["answered"]))
            rng.choice(
                [
                    proxy.reset,
                    proxy.half_close,
                    proxy.refuse,
                    proxy.drop,
                    lambda: proxy.cut(rng.randrange(3000)),
                ]
            )()
            await sleep(0.04 * rng.random())
            await proxy.heal()
        tasks.cancel_scope.cancel()
        with CancelScope(shield=True):
            await until(all_back)
            assert await source.load_many(list(everything)) == everything

    gc.collect()
    await checkpoint()
    assert min(outcomes[name] for name in ("answered", "failed", "cancelled")) > 0
    # asyncpg asks for the end of a query on another connection, and forgets that one if it is cut off.
    assert {str(context.get("exception")) for context in left} <= {"unexpected connection_lost() call"}
