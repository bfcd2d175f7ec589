"""The example that copies a table to Redis: started for real, also on a table that is not there."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("redis", reason="needs the extra redis")
pytest.importorskip("aiosqlite", reason="needs the extra sql")

from async_backfill.redis import RedisStore, connect
from tests.servers.valkey import start_valkey

ROOT = Path(__file__).parents[2]
PRODUCTS = {f"product_{number:04}": f"the product {number}" for number in range(3000)}


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """A table of products, and an empty server."""
    folder = tmp_path_factory.mktemp("warming")
    with sqlite3.connect(folder / "shop.db") as connection:
        connection.execute("CREATE TABLE products (id TEXT PRIMARY KEY, name TEXT)")
        connection.executemany("INSERT INTO products VALUES (?, ?)", PRODUCTS.items())
    connection.close()
    with start_valkey(folder) as server:
        yield {"DATABASE_URL": f"sqlite:///{folder / 'shop.db'}", "REDIS_URL": server.url}


def warm(environment, *arguments):
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "docs.examples.warm_redis", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


async def found_in(url):
    async with connect(url) as redis:
        return await RedisStore(redis, namespace="shop", key_type=str, value_type=str).get_many([*PRODUCTS])


def test_the_copy_writes_what_comes_after_the_key_that_it_is_given(environment):
    ran = warm(environment, "product_0999")
    found = asyncio.run(found_in(environment["REDIS_URL"]))

    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == "2,000 rows are in Redis; 0 changed meanwhile, 0 leased\n"
    assert {key: copy.value for key, copy in found.items()} == dict([*PRODUCTS.items()][1000:])


def test_a_copy_that_cannot_read_its_table_says_so_in_one_line(environment):
    ran = warm({**environment, "DATABASE_URL": "sqlite:///:memory:"})

    assert ran.returncode == 1
    assert ran.stderr.startswith("error: a page could not be read: ")
    assert ran.stderr.count("\n") == 1
