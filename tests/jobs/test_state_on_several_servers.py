"""A state of jobs at one of several PostgreSQL: whichever takes writes, also after a failover."""

from __future__ import annotations

import os
import signal
import uuid
from urllib.parse import urlsplit

import asyncpg
import pytest
from anyio import create_task_group, sleep

from async_backfill._jobs._errors import JobStateError
from async_backfill._jobs._state.jobs import add_job, list_jobs
from async_backfill._jobs._state.server import connecting
from async_backfill._jobs._state.server.place import place_of
from async_backfill.errors import ConfigurationError
from async_backfill.jobs import PostgresJobState
from tests.jobs.state_rows import plan_of
from tests.servers.ports import free_port
from tests.servers.postgres import start_postgres
from tests.servers.tcp_proxy import TcpProxy

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    """In real time: a server takes some."""
    return "asyncio"


@pytest.fixture(scope="module")
def pair():
    """A primary and its standby; both stay what they are."""
    with start_postgres() as primary, primary.copied() as standby:
        yield primary, standby


@pytest.fixture
def schema():
    """The setting of a URL that names a schema of its own."""
    return f"&schema=jobs_{uuid.uuid4().hex[:12]}"


@pytest.fixture
async def failing(pair, monkeypatch):
    """A primary and its standby, each behind a proxy."""
    monkeypatch.setattr(connecting, "_CLOSING", 0.1)
    with pair[0].copied() as primary:
        await ask(primary, "SELECT pg_promote()")
        with primary.copied() as standby:
            async with (
                TcpProxy("127.0.0.1", port_of(primary)) as proxy,
                TcpProxy("127.0.0.1", port_of(standby)) as other,
            ):
                proxy.primary, proxy.standby, proxy.other = primary, standby, other
                proxy.url = listed(primary, proxy.port, other.port)
                yield proxy


def port_of(server):
    return urlsplit(server.url).port


def listed(server, *ports):
    """The URL of a state at each of ``ports``, with the login of ``server``."""
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    return server.url.replace(f"127.0.0.1:{port_of(server)}", hosts) + "?target_session_attrs=read-write"


async def ask(server, statement, *values):
    connection = await asyncpg.connect(server.url)
    try:
        return await connection.fetchval(statement, *values)
    finally:
        await connection.close()


async def names(server):
    """The names of the jobs at ``server``."""
    return await ask(server, "SELECT array_agg(name ORDER BY id) FROM async_backfill.job")


async def planned(state, name="products"):
    return await state.transact(lambda tx: add_job(tx, plan_of(name), by="ada"))


async def replicated(proxy):
    """Wait until the standby has all that the primary has."""
    at = await ask(proxy.primary, "SELECT pg_current_wal_flush_lsn()::text")
    while not await ask(proxy.standby, "SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn", at):
        pass


@pytest.mark.parametrize(
    "rest",
    [
        "a:5433,b:5434/shop?target_session_attrs=read-write",
        "a:5433,b:5434/shop?schema=async_backfill",
        "/shop?host=a:5433&host=b:5434",
        "/shop?host=a,b&port=5433,5434&target_session_attrs=read-write",
    ],
)
def test_a_list_of_servers_is_read_in_the_forms_of_libpq_and_sqlalchemy(rest):
    place = place_of(f"postgresql://ada:sesame@{rest}")

    assert place.hosts == (("a", 5433), ("b", 5434))
    assert place.target == "read-write"
    assert place.dsn == "postgresql://ada:sesame@/shop"
    assert place.shown == "a:5433, b:5434/shop (schema async_backfill)"
    assert "sesame" not in repr(place)


def test_servers_of_a_list_may_have_no_port_and_addresses_of_ipv6():
    assert place_of("postgresql://a,[::1]:5433,b/shop").hosts == (("a", 5432), ("::1", 5433), ("b", 5432))


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        ("a:x,b/d", "must be a file, or the URL"),
        ("a,,b/d", "must be a file, or the URL"),
        ("a,b/d?host=c", "must be a file, or the URL"),
        ("a:1,ada:sesame@b:2/d", "must be a file, or the URL"),
        ("ame@a,b/d", "has two @"),
        ("a,b/d?target_session_attrs=any", "target_session_attrs must be read-write or primary"),
        ("a/d?target_session_attrs=standby", "target_session_attrs must be read-write or primary"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused_without_a_password(rest, said):
    with pytest.raises(ConfigurationError, match=said) as told:
        place_of(f"postgresql://ada:sesame@{rest}")
    assert "sesame" not in f"{told.value!r} {told.value.__cause__!r}"


@pytest.mark.parametrize("first", ["standby", "gone"])
async def test_the_server_that_takes_writes_is_used_wherever_it_stands(first, pair, schema):
    primary, standby = pair
    other = port_of(standby) if first == "standby" else free_port()
    async with PostgresJobState(listed(primary, other, port_of(primary)) + schema) as state:
        await planned(state)
    async with PostgresJobState(listed(primary, port_of(primary), other) + schema, create=False) as state:
        assert [job.name for job in await state.transact(list_jobs)] == ["products"]


async def test_a_silent_server_leaves_the_others_their_time(pair, schema, monkeypatch):
    monkeypatch.setattr(connecting, "_CONNECTING", 1.0)
    primary, _ = pair
    async with TcpProxy("127.0.0.1", port_of(primary)) as proxy:
        proxy.drop()
        async with PostgresJobState(listed(primary, proxy.port, port_of(primary)) + schema) as state:
            await planned(state)


async def test_what_each_of_the_servers_said_is_told_in_one_line_without_a_password(pair):
    primary, standby = pair
    gone = free_port()
    with pytest.raises(JobStateError, match="no connection to the server") as told:
        async with PostgresJobState(listed(primary, gone, port_of(standby))):
            pass
    said = str(told.value)
    assert "\n" not in said
    assert f"127.0.0.1:{port_of(standby)}: it is not read-write" in said
    assert f"127.0.0.1:{gone}: " in said
    assert urlsplit(primary.url).password not in said


async def test_a_single_server_that_only_reads_is_told_so(pair):
    with pytest.raises(JobStateError, match="the server only reads: it is a replica"):
        async with PostgresJobState(pair[1].url):
            pass


async def test_a_state_goes_on_by_itself_after_its_server_was_killed(failing):
    async with PostgresJobState(failing.url, patience=60.0) as state, create_task_group() as tasks:
        await planned(state, "before")
        await replicated(failing)
        failing.primary.kill()
        tasks.start_soon(planned, state, "after")
        await sleep(0.1)  # it finds a standby only
        await ask(failing.standby, "SELECT pg_promote()")

    assert await names(failing.standby) == ["before", "after"]


async def test_a_state_that_does_not_note_its_commits_yet_is_made_to(pair, schema):
    url = pair[0].url + schema.replace("&", "?")
    async with PostgresJobState(url):
        await ask(pair[0], f"DROP TABLE {schema.partition('=')[2]}.last_commit")
    async with PostgresJobState(url, create=False) as state:
        await planned(state)


async def test_a_server_that_was_set_to_read_only_is_left_for_the_one_that_writes(failing):
    async with PostgresJobState(failing.url, patience=60.0) as state:
        await planned(state, "before")
        await replicated(failing)
        await ask(failing.primary, "ALTER SYSTEM SET default_transaction_read_only = on")
        await ask(failing.primary, "SELECT pg_reload_conf()")
        await ask(failing.standby, "SELECT pg_promote()")
        while await ask(failing.primary, "SHOW default_transaction_read_only") == "off":
            pass
        async with PostgresJobState(failing.standby.url) as other:
            await planned(other, "after")
        assert len(await state.transact(list_jobs)) == 2
        await planned(state, "later")

    assert await names(failing.primary) == ["before"]
    assert await names(failing.standby) == ["before", "after", "later"]


@pytest.mark.parametrize("is_there", [True, False])
async def test_a_commit_that_was_not_answered_is_kept_once_after_a_failover(is_there, failing):
    async with PostgresJobState(failing.url, patience=60.0) as state, create_task_group() as tasks:
        await planned(state, "before")
        await replicated(failing)
        sender = await ask(failing.primary, "SELECT pid FROM pg_stat_replication")
        if not is_there:
            os.kill(sender, signal.SIGSTOP)
        tasks.start_soon(state.transact, unanswered(failing))
        while len(await names(failing.primary)) < 2:
            pass
        if is_there:
            await replicated(failing)
        failing.primary.kill()
        if not is_there:
            os.kill(sender, signal.SIGKILL)
        failing.other.refuse()
        await ask(failing.standby, "SELECT pg_promote()")
        await ask(
            failing.standby, "SELECT pg_current_xact_id()::text"
        )  # the server's number of it, if it lacks it
        await failing.other.heal()

    assert await names(failing.standby) == ["before", "after"]


def unanswered(proxy):
    """Work whose commit is not answered the first time."""
    tried = []

    def work(tx):
        add_job(tx, plan_of("after"), by="ada")
        if not tried:
            proxy.cut(1)  # the next answer is that to the commit
            proxy.refuse()
        tried.append(tx)

    return work
