"""A job from the command line between PostgreSQL and Valkey."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from anyio import to_thread

from async_backfill._commands.cli import main
from async_backfill.redis.connection import connect
from async_backfill.redis.store import RedisStore
from tests.commands.operating import job_file
from tests.jobs.state_rows import schema_at
from tests.sources.sql_tables import rows_in

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    """In real time: servers take some."""
    return "asyncio"


async def test_a_job_fills_valkey_from_postgresql(postgres_url, valkey_url, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ASYNC_BACKFILL_STATE", raising=False)
    monkeypatch.setenv("NAMESPACE_KEY", "s3cret of the store")
    password = urlsplit(postgres_url).password or ""
    monkeypatch.setenv("DB_PASSWORD", password)
    url = postgres_url.replace(f":{password}@", ":${DB_PASSWORD}@")
    namespace = f"jobs-{uuid.uuid4().hex}"

    async def jobs(*words):
        code = await to_thread.run_sync(main, ["jobs", *words, "--by", "ada"])
        out, err = capsys.readouterr()
        assert "s3cret" not in out + err
        assert err == ""
        return code, out

    async with rows_in(postgres_url, [(f"k{number}", "new", number) for number in range(500)]) as (_, table):
        store = {
            "kind": "redis",
            "url": valkey_url,
            "namespace": namespace,
            "signing_key": "${NAMESPACE_KEY}",
        }
        budget = {"kind": "redis", "url": valkey_url, "namespace": namespace, "permits": 1}
        job_file(url=url, table=table, store=store, budget=budget, rate=1e6, pages=1)
        code, out = await jobs("plan", "job.json", "--json")
        plan = json.loads(out)
        assert code == 0
        assert plan["estimate"]["store_after"] > plan["plan"]["store_bytes"] > 0
        given = ("--plan", plan["plan_hash"], "--reason", "a new server")
        assert (await jobs("approve", "1", *given))[0] == 0
        code, out = await jobs("run", "1")
        assert (code, "500 kept" in out) == (0, True)
        assert "source, of all who read this source, one permit of it" in " ".join(out.split())
        assert "rate=1e+06 batch=auto lanes=2 pages=1" in out
        async with connect(valkey_url) as redis:
            assert await redis.execute("GET", f"{namespace}!permits") == b"0"
            assert int(await redis.execute("GET", f"{{{namespace}!reads:source}}rows")) > 0
            await redis.execute("DEL", f"{namespace}!permits", f"{{{namespace}!reads:source}}rows")
        code, out = await jobs("verify", "1", "--all", "--extra", "--json")
        assert (code, json.loads(out)["compared"], json.loads(out)["differences"]) == (0, 500, 0)
    async with connect(valkey_url) as redis:
        cache = RedisStore(redis, namespace=namespace, signing_key=b"s3cret of the store")
        found = await cache.get_many(["k7"])
    assert found["k7"].value == {"name": "new", "price": 7}


@pytest.mark.usefixtures("folder")
def test_all_verbs_work_on_a_state_in_postgresql_and_show_no_password(postgres_url, jobs):
    said = []

    def typed(*words, code=0):
        ended, out, err = jobs(*words, "--state", state)
        said.append(out + err)
        assert (ended, err) == (code, "")
        return out

    with schema_at(postgres_url) as state:
        plan = json.loads(typed("plan", job_file(), "--json"))["plan_hash"]
        typed("dry-run", "1")
        other = Path("job.json").read_text("utf-8").replace('"products", "shards"', '"other", "shards"')
        Path("other.json").write_text(other, "utf-8")
        assert "***@" in typed("plan", "other.json")  # in the command that comes next
        code, _, err = jobs("run", "1", "--state", state)
        said.append(err)
        assert (code, "needs approval" in err, "***@" in err) == (2, True, True)
        typed("approve", "1", "--plan", plan, "--by", "bob", "--reason", "new prices")
        assert "300 kept" in typed("run", "1", "--workers", "2")
        assert json.loads(typed("status", "1", "--json"))["status"] == "done"
        assert json.loads(typed("verify", "1", "--all", "--extra", "--json"))["differences"] == 0
        typed("log", "1", "--verify")
        typed("dead", "1")
        typed("set", "2", "rate=5")
        typed("cancel", "2")
        typed("panic")
        assert "other" in typed("ls")
        bad = state.replace("postgres:", "postgres:not")
        code, out, err = jobs("status", "1", "--state", bad)
        said.append(err)
        assert (code, out, err.count("\n"), "password authentication failed" in err) == (2, "", 1, True)
    password = urlsplit(postgres_url).password or "no password"
    assert password not in "".join(said)
