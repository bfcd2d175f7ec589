"""A table of PostgreSQL at one of several servers."""

from __future__ import annotations

import uuid

import pytest
from anyio import fail_after

pytest.importorskip("sqlalchemy", reason="needs the extra sql")
pytest.importorskip("asyncpg", reason="needs the extra sql")
import sqlalchemy as sa

from async_backfill.errors import ConfigurationError
from async_backfill.sources.sql import SQLSource, open_database
from tests.servers.ports import free_port
from tests.servers.tcp_proxy import TcpProxy

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


def listed(url, *ports, settings=""):
    """The URL of a database at each of ``ports``."""
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    return url.replace(f"{sa.make_url(url).host}:{sa.make_url(url).port}", hosts) + settings


@pytest.fixture
async def table(postgres_url):
    name = f"hosts_{uuid.uuid4().hex[:12]}"
    async with open_database(postgres_url) as engine:
        async with engine.begin() as connection:
            await connection.execute(sa.text(f"CREATE TABLE {name} (id TEXT PRIMARY KEY, name TEXT)"))
            await connection.execute(sa.text(f"INSERT INTO {name} VALUES ('a', 'Anvil')"))
        yield name
        async with engine.begin() as connection:
            await connection.execute(sa.text(f"DROP TABLE {name}"))


def products(url, table, **settings):
    return SQLSource.connect(url, table, key="id", value="name", **settings)


@pytest.mark.parametrize("is_first", [True, False])
async def test_a_table_is_read_from_whichever_server_is_there(is_first, postgres_url, table):
    ports = [sa.make_url(postgres_url).port, free_port()]
    url = listed(postgres_url, *ports[:: 1 if is_first else -1], settings="?target_session_attrs=read-write")
    async with products(url, table) as source:
        assert await source.load_many(["a", "b"]) == {"a": "Anvil"}


async def test_the_form_of_sqlalchemy_is_read_as_well(postgres_url, table):
    url = sa.make_url(postgres_url)
    hosts = (f"127.0.0.1:{free_port()}", f"127.0.0.1:{url.port}")
    async with products(url.set(host=None, port=None, query={"host": hosts}), table) as source:
        assert await source.load_many(["a"]) == {"a": "Anvil"}


async def test_psycopg_reads_a_list_of_servers_itself(postgres_url, table):
    pytest.importorskip("psycopg", reason="needs the extra psycopg")
    url = listed(postgres_url, free_port(), sa.make_url(postgres_url).port)
    async with products(url.replace("postgresql:", "postgresql+psycopg:"), table) as source:
        assert await source.load_many(["a"]) == {"a": "Anvil"}


async def test_a_silent_server_leaves_the_next_one_its_time(postgres_url, table):
    async with TcpProxy("127.0.0.1", sa.make_url(postgres_url).port) as proxy:
        proxy.drop()
        url = listed(postgres_url, proxy.port, sa.make_url(postgres_url).port, settings="?timeout=4")
        with fail_after(20.0):
            async with products(url, table) as source:
                assert await source.load_many(["a"]) == {"a": "Anvil"}


async def test_a_table_is_read_on_at_the_other_server_when_one_is_gone(postgres_url, table):
    port = sa.make_url(postgres_url).port
    async with (
        TcpProxy("127.0.0.1", port) as first,
        TcpProxy("127.0.0.1", port) as second,
        products(listed(postgres_url, first.port, second.port), table) as source,
    ):
        assert await source.load_many(["a"]) == {"a": "Anvil"}
        first.refuse()
        first.reset()
        assert await source.load_many(["a"]) == {"a": "Anvil"}
        assert second.accepted == 1


async def test_what_each_server_said_is_one_line_without_a_password(postgres_url):
    gone = free_port(), free_port()
    url = listed(postgres_url, *gone)
    async with products(url, "products") as source:
        with pytest.raises(ConnectionError) as told:
            await source.load_many(["a"])
    assert all(f"127.0.0.1:{port}: " in str(told.value) for port in gone)
    assert sa.make_url(postgres_url).password not in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("hosts", ["a:x,b", "a,,b", "se@a,b", "a,b:1@c", "a:1,u:sesame@b:2"])
async def test_a_list_that_cannot_be_used_is_refused_without_a_password(hosts):
    with pytest.raises(ConfigurationError, match="url: ") as told:
        async with open_database(f"postgresql://ada:sesame@{hosts}/shop"):
            pass
    assert "sesame" not in f"{told.value!r} {told.value.__cause__!r}"
