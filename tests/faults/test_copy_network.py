"""A copy between a real PostgreSQL and a real Redis, before either of which the network fails."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

pytest.importorskip("sqlalchemy", reason="needs the extra sql")
pytest.importorskip("asyncpg", reason="needs the extra sql")
import sqlalchemy as sa

from async_backfill.redis.connection import connect
from async_backfill.redis.store import RedisStore
from async_backfill.sources.sql import SQLSource
from async_backfill.warming import CopyError, copy_rows
from tests.faults.test_bad_network import FAULTS, PATIENCE, proxied
from tests.servers.tcp_proxy import TcpProxy
from tests.sources.sql_tables import rows_in

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
ROWS = {f"{number:04}": f"row {number}" for number in range(1200)}
PAGE = 100
ATTEMPTS = 3
WRITERS = 2
# Of PostgreSQL no answer is garbled: without TLS nothing tells it from a row.
SIDES = [("store", fault) for fault in FAULTS] + [
    ("database", fault) for fault in FAULTS if fault != "garbles"
]
STAYING = {
    "loses everything": FAULTS["loses everything"],
    "resets": FAULTS["resets"],
    "cuts each answer": lambda proxy: proxy.cut(1),
}


class Way:
    """A table, a store, and a proxy before each."""

    def __init__(self, source, store, direct, proxies):
        self.source, self.store, self.direct = source, store, direct
        self.proxies = proxies

    async def copy(self, after=None, **settings):
        """Return what became of the rows, and whether all of them were dealt with."""
        copy = copy_rows(
            self.source.rows(page=PAGE, after=after),
            self.store,
            source=self.source,
            ttl=60.0,
            attempts=ATTEMPTS,
            writers=WRITERS,
            **settings,
        )
        try:
            return await copy, True
        except CopyError as error:
            return error.copied, False

    async def values(self):
        return {key: copy.value for key, copy in (await self.direct.get_many([*ROWS])).items()}


@asynccontextmanager
async def database_proxy(url):
    """A proxy before the database at ``url``, and a URL through it."""
    async with TcpProxy("127.0.0.1", url.port) as proxy:
        yield proxy, url.set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)


@asynccontextmanager
async def way(postgres_url, valkey_url, namespace):
    database = sa.make_url(postgres_url).set(drivername="postgresql+asyncpg")
    url = database.render_as_string(hide_password=False)
    async with (
        rows_in(url, [(key, value, 0) for key, value in ROWS.items()]) as (_, table),
        database_proxy(database) as (before_database, database_url),
        proxied(valkey_url) as (before_store, store_url),
        SQLSource.connect(database_url, table, key="id", value="name") as source,
        connect(store_url) as redis,
        connect(valkey_url) as direct,
    ):
        yield Way(
            source,
            RedisStore(redis, namespace=namespace),
            RedisStore(direct, namespace=namespace),
            {"database": before_database, "store": before_store},
        )
        await RedisStore(direct, namespace=namespace).clear()


@pytest.mark.parametrize(("side", "fault"), SIDES)
async def test_whatever_the_network_does_for_a_while_no_row_is_missed_or_counts_twice(
    side, fault, postgres_url, valkey_url, namespace
):
    async with way(postgres_url, valkey_url, namespace) as it, anyio.create_task_group() as tasks:
        begun = anyio.Event()

        async def fail_for_a_while():
            await begun.wait()
            FAULTS[fault](it.proxies[side])
            await anyio.sleep(0.3)
            await it.proxies[side].heal()

        tasks.start_soon(fail_for_a_while)
        through, left, is_done, tries = None, len(ROWS), False, 0
        with anyio.fail_after(2 * PATIENCE):
            while not is_done:
                copied, is_done = await it.copy(
                    through,
                    progress=lambda copied: begun.set() if copied.pages > 2 else None,
                    write_timeout=5.0,
                    read_timeout=5.0,
                )
                assert adds_up(copied) == left if is_done else adds_up(copied) <= left
                through = copied.through or through
                left = sum(key > (through or "") for key in ROWS)
                tries += 1
                await anyio.sleep(0.1)

        assert tries < 10
        assert (copied.rejected, copied.dead, copied.leased) == (0, 0, 0)
        assert await it.values() == ROWS


def adds_up(copied):
    """The number of rows that were read; each is in one count."""
    assert copied.read == copied.kept + copied.newer + copied.leased + copied.rejected + copied.dead
    return copied.read


@pytest.mark.parametrize("fault", STAYING)
@pytest.mark.parametrize("side", ["store", "database"])
async def test_a_network_that_stays_broken_ends_the_copy_after_a_few_tries(
    side, fault, postgres_url, valkey_url, namespace
):
    async with way(postgres_url, valkey_url, namespace) as it:
        proxy = it.proxies[side]
        broken_at = []

        def fail(copied):
            if not broken_at and copied.pages > 2:
                broken_at.append(proxy.accepted)
                STAYING[fault](proxy)

        with anyio.fail_after(PATIENCE):
            copied, is_done = await it.copy(progress=fail, write_timeout=2.0, read_timeout=2.0)

        assert not is_done
        assert proxy.accepted - broken_at[0] <= 2 * ATTEMPTS * WRITERS
        done = [key for key in ROWS if key <= copied.through]
        assert PAGE <= len(done) <= adds_up(copied) < len(ROWS)
        await proxy.heal()
        assert set(done) <= set(await it.values())


async def test_the_command_says_what_nobody_answers_for_and_exits_with_one(postgres_url, valkey_url):
    async with (
        database_proxy(sa.make_url(postgres_url)) as (proxy, database_url),
        proxied(valkey_url) as (_, store_url),
    ):
        proxy.refuse()
        ran = await anyio.run_process(
            [sys.executable, "-W", "error", "-m", "docs.examples.warm_redis"],
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": database_url, "REDIS_URL": store_url},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            check=False,
        )

    assert ran.returncode == 1
    where = f"no connection to the database at 127.0.0.1:{proxy.port}: "
    assert ran.stderr.decode().startswith(f"error: a page could not be read: ConnectionError: {where}")
    assert ran.stderr.count(b"\n") == 1
