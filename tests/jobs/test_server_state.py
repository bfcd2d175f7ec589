"""A state of jobs in PostgreSQL: lost answers, a server that goes away, and schemas that are refused."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import anyio
import asyncpg
import pytest
from anyio import create_task_group, fail_after, move_on_after, sleep

from async_backfill._jobs._errors import JobError, JobRefusedError, JobStateError
from async_backfill._jobs._state.approvals import approve, start
from async_backfill._jobs._state.dead import add_dead, dead_rows
from async_backfill._jobs._state.jobs import add_job, find_job, list_jobs
from async_backfill._jobs._state.log import first_bad_line, lines
from async_backfill._jobs._state.server import connecting, session
from async_backfill._jobs._state.server.errors import words
from async_backfill._jobs._state.shards import checkpoint, claim, shards
from async_backfill.errors import ConfigurationError
from async_backfill.jobs import PostgresJobState
from tests.forked import printed_by
from tests.jobs.state_rows import page, plan_of, schema_at
from tests.servers.tcp_proxy import TcpProxy

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    """In real time: a server takes some."""
    return "asyncio"


@pytest.fixture
def url(postgres_url):
    with schema_at(postgres_url) as url:
        yield url


@pytest.fixture
async def state(url):
    async with PostgresJobState(url) as state:
        yield state


@pytest.fixture
async def proxy(url):
    """What stands between a state and its server."""
    place = urlsplit(url)
    async with TcpProxy(place.hostname, place.port) as proxy:
        proxy.url = url.replace(f":{place.port}/", f":{proxy.port}/")
        yield proxy


@pytest.fixture
async def far(state, proxy):  # noqa: ARG001 - made by it
    async with PostgresJobState(proxy.url, patience=60.0) as far:
        yield far


@asynccontextmanager
async def connected(url):
    connection = await asyncpg.connect(url.partition("?")[0])
    try:
        yield connection
    finally:
        await connection.close()


def schema_of(url):
    return url.partition("?schema=")[2]


async def planned(state, name="products"):
    return await state.transact(lambda tx: add_job(tx, plan_of(name), by="ada"))


async def refused(url, match, **settings):
    with pytest.raises(JobStateError, match=match) as told:
        async with PostgresJobState(url, **settings):
            pass
    assert "\n" not in str(told.value)
    assert (urlsplit(url).password or "no password") not in str(told.value)


@pytest.mark.parametrize("after", [1, 5, 12])
async def test_a_commit_that_was_not_answered_is_not_done_twice(state, far, proxy, after):
    accepted = proxy.accepted

    def cut_off(tx):
        job = add_job(tx, plan_of(), by="ada")
        if proxy.accepted == accepted:
            proxy.cut(after)  # the next answer is that to the commit
        return job.id

    async with create_task_group() as tasks:
        tasks.start_soon(heal_later, proxy, accepted)
        assert await far.transact(cut_off) == 1

    assert [job.id for job in await state.transact(list_jobs)] == [1]


async def heal_later(proxy, accepted):
    """Mend the network once the state has connected anew."""
    while proxy.accepted == accepted:  # noqa: ASYNC110 - of another's sockets
        await sleep(0.01)
    await proxy.heal()


async def test_a_transaction_that_was_broken_off_is_done_again_and_once(state, far, proxy):
    tried = []

    def broken_off(tx):
        job = add_job(tx, plan_of(), by="ada")
        tried.append(job)
        if len(tried) < 3:
            proxy.reset()
            find_job(tx, job.id)
        return job.id

    assert await far.transact(broken_off) == 1
    assert len(tried) == 3
    assert len(await state.transact(list_jobs)) == 1


async def test_a_server_that_is_away_is_waited_for_within_bounds_and_named_once(state, proxy, caplog):
    async with PostgresJobState(proxy.url, patience=0.3) as far:
        proxy.refuse()
        proxy.reset()
        with pytest.raises(JobStateError, match="no connection to the server") as told:
            await planned(far)
        await proxy.heal()
        await planned(far)

    assert len(await state.transact(list_jobs)) == 1
    assert [record.getMessage().partition(": ")[0] for record in caplog.records] == [
        "the state of jobs is waited for"
    ]
    assert urlsplit(proxy.url).password not in f"{told.value}{caplog.text}"


async def test_a_silent_server_keeps_nobody(state, proxy, monkeypatch):
    monkeypatch.setattr(connecting, "_ANSWER", 1.0)
    monkeypatch.setattr(connecting, "_CLOSING", 0.1)
    async with PostgresJobState(proxy.url, patience=0.1) as far:
        proxy.drop()
        with fail_after(30), pytest.raises(JobStateError, match="it does not answer"):
            await planned(far)
        await proxy.heal()

    assert list(await state.transact(list_jobs)) == []


async def test_what_became_of_a_commit_is_asked_for_a_bounded_time(far, proxy, monkeypatch):
    monkeypatch.setattr(session, "_UNANSWERED", 0.2)

    def cut_off(tx):
        add_job(tx, plan_of(), by="ada")
        proxy.refuse()
        proxy.cut(1)

    with pytest.raises(JobError, match="whether a change was kept is not known") as told:
        await far.transact(cut_off)
    assert not isinstance(told.value, JobStateError)  # it is not tried again
    await proxy.heal()


async def test_a_conflict_is_tried_again_a_bounded_number_of_times(state):
    def conflicting(times):
        left = [None] * times

        def work(tx):
            add_job(tx, plan_of(), by="ada")
            if left:
                left.pop()
                tx.rows("DO $$ BEGIN RAISE EXCEPTION 'a conflict' USING ERRCODE = '40001'; END $$")

        return work

    await state.transact(conflicting(3))
    assert len(await state.transact(list_jobs)) == 1
    with pytest.raises(JobStateError, match="a conflict"):
        await state.transact(conflicting(10**6))
    assert len(await state.transact(list_jobs)) == 1


async def test_a_cancelled_call_waits_for_no_lock_and_changes_nothing(url, state):
    async with connected(url) as other:
        await other.execute("BEGIN")
        await other.fetchval(f"SELECT {session.ALONE}", schema_of(url))
        with fail_after(4.0), move_on_after(0.1) as scope:
            await planned(state)
        assert scope.cancelled_caught
        await other.execute("ROLLBACK")
    assert list(await state.transact(list_jobs)) == []


async def test_who_sleeps_in_the_midst_of_a_transaction_keeps_the_others_for_10_s(state):
    limits = [
        await state.transact(lambda tx, name=name: tx.rows(f"SHOW {name}"))
        for name in ("idle_in_transaction_session_timeout", "lock_timeout", "statement_timeout")
    ]
    assert limits == [[("10s",)], [("5s",)], [("10s",)]]


async def test_leases_are_by_the_clock_of_the_server(state, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 0.0)
    job = await planned(state)

    def begin(tx):
        approve(tx, job.id, plan_hash=job.plan_hash, by="bob", reason="new prices")
        start(tx, job.id, by="bob")
        return claim(tx, job.id, owner="a", lease=30.0)

    shard = await state.transact(begin)
    ((now,),) = await state.transact(
        lambda tx: tx.rows("SELECT extract(epoch FROM clock_timestamp())::float8")
    )
    assert now < shard.leased_until < now + 30.0


async def test_a_worker_whose_lease_is_over_by_the_servers_clock_writes_nothing(url, state):
    job = await planned(state)

    def begin(tx):
        approve(tx, job.id, plan_hash=job.plan_hash, by="bob", reason="new prices")
        start(tx, job.id, by="bob")

    await state.transact(begin)
    async with PostgresJobState(url, create=False) as other:
        slept = await state.transact(lambda tx: claim(tx, job.id, owner="a", lease=0.0))
        taken = await other.transact(lambda tx: claim(tx, job.id, owner="b", lease=30.0))
        assert (slept.number, taken.number) == (0, 0)
        assert await state.transact(lambda tx: checkpoint(tx, slept, page(), lease=30.0)) is None
        assert await other.transact(lambda tx: checkpoint(tx, taken, page(), lease=30.0)) is not None
        found = await state.transact(lambda tx: shards(tx, job.id))
    assert (found[0].owner, found[0].counts.read, found[0].repeated) == ("b", 10, 1)


async def test_two_that_open_it_at_once_make_one_state(url):
    async def opened(name):
        async with PostgresJobState(url) as state:
            await planned(state, name)

    async with create_task_group() as tasks:
        for name in ("one", "two"):
            tasks.start_soon(opened, name)
    async with PostgresJobState(url, create=False) as state:
        assert [job.id for job in await state.transact(list_jobs)] == [1, 2]


async def test_a_schema_that_is_not_there_is_made_only_where_that_is_asked(url):
    await refused(url, "there is no such state of jobs", create=False)


@pytest.mark.parametrize("table", ["things (a INT)", "about (a INT)", "about (application INT, version INT)"])
async def test_a_schema_of_other_software_is_refused_and_left_as_it_is(url, table):
    schema = schema_of(url)
    async with connected(url) as other:
        await other.execute(f'CREATE SCHEMA "{schema}"; CREATE TABLE "{schema}".{table}')
        await refused(url, "it is no state of jobs")
        found = await other.fetch("SELECT tablename FROM pg_tables WHERE schemaname = $1", schema)
    assert [tuple(row) for row in found] == [(table.partition(" ")[0],)]


async def test_a_state_of_another_version_is_refused(url, state):
    await planned(state)
    async with connected(url) as other:
        await other.execute(f'UPDATE "{schema_of(url)}".about SET version = 9')  # noqa: S608 - ours
    await refused(url, "its format is 9, this release has 3: use the release that made it")


async def test_a_state_that_was_removed_or_replaced_while_open_is_refused(url, state):
    await planned(state)
    async with connected(url) as other:
        await other.execute(f'DROP SCHEMA "{schema_of(url)}" CASCADE')
    with pytest.raises(JobStateError, match="was removed or replaced"):
        await state.transact(list_jobs)
    async with PostgresJobState(url):
        with pytest.raises(JobStateError, match="was removed or replaced"):
            await state.transact(list_jobs)


@pytest.mark.parametrize(
    ("part", "wrong", "match"),
    [
        ("postgres:", "postgres:not", "password authentication failed"),
        ("/postgres?", "/no_such_database?", "no_such_database"),
    ],
)
async def test_what_cannot_be_opened_is_one_line_without_a_password(url, part, wrong, match):
    await refused(url.replace(part, wrong), match)


@pytest.mark.parametrize(
    "rest", ["h/d?schema=Jobs", "h/d?schema=pg_x", "h/d?schema=a&schema=b", "h:x/d", "cret@h/d", ":1@h/d"]
)
async def test_a_url_that_cannot_be_used_is_refused_when_it_is_given(rest):
    with pytest.raises(ConfigurationError, match=r"^state: ") as told:
        PostgresJobState(f"postgresql://ada:se@{rest}")
    assert "cret" not in f"{told.value!r} {told.value.__cause__!r}"


async def test_a_user_who_may_not_make_a_schema_is_told_so(url):
    schema = schema_of(url)
    async with connected(url) as other:
        await other.execute(f"CREATE ROLE {schema} LOGIN PASSWORD 'abcd'")
        try:
            place = urlsplit(url)
            weak = url.replace(f"{place.username}:{place.password}@", f"{schema}:abcd@")
            await refused(weak, "this user may not do that.*permission denied")
        finally:
            await other.execute(f"DROP ROLE {schema}")


async def test_a_state_that_is_not_open_says_so(url):
    with pytest.raises(JobStateError, match="async with"):
        await PostgresJobState(url).transact(list_jobs)


def test_another_event_loop_and_trio_are_told_what_is_missing(url):
    state = PostgresJobState(url)

    async def once():
        async with state:
            await planned(state)
            return state._server

    async def elsewhere(server):
        await server.get().transact(list_jobs)

    server = anyio.run(once)
    with pytest.raises(JobStateError, match="open it in each one"):
        anyio.run(elsewhere, server)
    with pytest.raises(JobStateError, match="needs asyncio"):
        anyio.run(once, backend="trio")


def test_a_forked_process_writes_through_a_connection_of_its_own(url):
    program = """
    from async_backfill._jobs._state.jobs import add_job, list_jobs
    from async_backfill.jobs import PostgresJobState
    from tests.jobs.state_rows import plan_of

    async def main():
        async with PostgresJobState(sys.argv[1]) as state:
            add = lambda tx: add_job(tx, plan_of(), by="a").id
            print(await state.transact(add))
            told = in_child(lambda: asyncio.new_event_loop().run_until_complete(state.transact(add)))
            print(told())
            print(len(await state.transact(list_jobs)))

    asyncio.run(main())
    """
    assert printed_by(program, url) == ["1", "2", "2"]


async def test_a_text_with_a_zero_and_a_long_key_are_kept(state):
    job = await planned(state)

    def keep(tx):
        add_dead(tx, job.id, 0, [(b"k" * 5_000, "a\0b")])
        return dead_rows(tx, job.id)

    (row,) = await state.transact(keep)
    assert (row.key, row.error) == (b"k" * 5_000, "a\ufffdb")


async def test_who_is_named_with_a_zero_does_not_break_the_log(state):
    with suppress(JobRefusedError):
        await state.transact(lambda tx: add_job(tx, plan_of(), by="a\0b"))
    for job in await state.transact(list_jobs):
        said = await state.transact(lambda tx, job=job: lines(tx, job.id))
        assert first_bad_line(said, job.log_head) is None


def test_a_lock_that_is_held_is_said_in_words():
    assert (
        words(asyncpg.LockNotAvailableError("x"))
        == "another process has kept it locked: end it, or try again"
    )
