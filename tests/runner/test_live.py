"""Scenarios with a source or far tier (L2) outside of the process: file, database, service, Redis."""

from __future__ import annotations

import json
import shutil
import sqlite3
import uuid
from pathlib import Path

import pytest

from async_backfill import MissingExtraError, ScenarioError
from async_backfill._runner.replay.job import run, run_in_virtual_time
from async_backfill._runner.replay.preparing import Job

pytestmark = pytest.mark.anyio

NAMES = {f"product_{number:03}": f"Product {number}" for number in range(20)}
LOOKUPS = ["product_003", "product_004", "product_003", "nobody"]


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def replayed(tmp_path):
    """Write a scenario, run it, and return its summary."""

    async def run_it(**document):
        scenario = tmp_path / "scenario.json"
        scenario.write_text(json.dumps({"lookups": LOOKUPS, **document}))
        report = await run(Job(scenario=str(scenario), output=str(tmp_path / "out.json")), lambda *_: None)
        return report.summary

    return run_it


def found(summary):
    return [(result["key"], result["value"]) for result in summary["lookup_results"]]


EXPECTED = [
    ("product_003", "Product 3"),
    ("product_004", "Product 4"),
    ("product_003", "Product 3"),
    ("nobody", None),
]


async def test_a_file_is_read_where_it_is(replayed, tmp_path):
    rows = "".join(f"{key},{name}\n" for key, name in NAMES.items())
    (tmp_path / "products.csv").write_text(f"id,name\n{rows}")

    summary = await replayed(source={"kind": "file", "file": "products.csv", "key": "id", "value": "name"})

    assert found(summary) == EXPECTED


async def test_a_parquet_file_is_told_by_its_name(replayed, tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet").write_table(
        pyarrow.table({"id": list(NAMES), "name": list(NAMES.values())}), tmp_path / "products.parquet"
    )

    summary = await replayed(
        source={"kind": "file", "file": "products.parquet", "key": "id", "value": "name"}
    )

    assert found(summary) == EXPECTED


async def test_a_database_answers_and_fills_free_room(replayed, tmp_path):
    pytest.importorskip("aiosqlite", reason="needs the extra sql")
    await fill(f"sqlite:///{tmp_path / 'shop.db'}")

    summary = await replayed(
        source={
            "kind": "sql",
            "url": f"sqlite:///{tmp_path / 'shop.db'}",
            "table": "products",
            "key": "id",
            "value": "name",
        },
        miss_threshold=0.3,
        backfill_batch=5,
    )

    assert found(summary) == EXPECTED
    assert summary["backfills"] == 1


async def test_a_service_answers(replayed):
    pytest.importorskip("aiohttp", reason="needs the extra http")
    from tests.servers.http import Reply, start_http  # noqa: PLC0415 - it needs uvicorn

    with start_http() as server:
        for key, name in NAMES.items():
            server.lay_out(f"/items/{key}", Reply(body=json.dumps(name).encode()))
        summary = await replayed(source={"kind": "http", "url": f"{server.url}/items/{{key}}"})

    assert found(summary) == EXPECTED


async def test_a_service_is_asked_through_the_proxy_of_the_environment(replayed, monkeypatch):
    pytest.importorskip("aiohttp", reason="needs the extra http")
    from tests.servers.http import Reply, start_http  # noqa: PLC0415 - it needs uvicorn

    with start_http() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        for key, name in NAMES.items():
            proxy.lay_out(f"http://shop.invalid/{key}", Reply(body=json.dumps(name).encode()))
        summary = await replayed(source={"kind": "http", "url": "http://shop.invalid/{key}"})

    assert found(summary) == EXPECTED


async def test_the_second_replay_is_served_by_the_store_that_the_first_one_filled(replayed, request):
    pytest.importorskip("redis", reason="needs the extra redis")
    url = request.getfixturevalue("valkey_url")
    store = {
        "kind": "redis",
        "url": url,
        "namespace": f"live-{uuid.uuid4().hex}",
        "leases": True,
        "invalidations": True,
        "timeout": 5.0,
    }

    first = await replayed(source=NAMES, store=store, min_lookups=100)
    second = await replayed(source={}, store=store, min_lookups=100)

    assert found(first) == found(second) == EXPECTED
    assert first["far"]["written"] == 2
    # More than two where the first subscription has it forget what it read before.
    assert second["far"]["hits"] >= 2
    assert second["source_keys"] == 0


async def test_a_password_comes_from_the_environment_and_is_shown_nowhere(replayed, monkeypatch):
    pytest.importorskip("redis", reason="needs the extra redis")
    monkeypatch.setenv("REDIS_PASSWORD", "hunter2")

    summary = await replayed(
        source=NAMES,
        store={"kind": "redis", "url": "redis://:${REDIS_PASSWORD}@127.0.0.1:1/0"},
    )

    assert found(summary) == EXPECTED
    assert "hunter2" not in json.dumps(summary)
    assert summary["far"]["failures"] > 0


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (
            {"source": {"kind": "http", "url": "http://h/${NO_SUCH}/{key}"}},
            "$.source.url: the environment variable NO_SUCH is not set",
        ),
        (
            {"source": NAMES, "store": {"kind": "redis", "url": "http://h"}},
            "$.store.url: must begin with one of",
        ),
        (
            {"source": NAMES, "store": {"kind": "redis", "url": "redis://h", "namespace": "a b"}},
            "$.store.namespace: must be 1 to 64",
        ),
        (
            {"source": NAMES, "store": {"kind": "redis", "url": "redis://h", "timeout": 0}},
            "$.store.timeout: 0.0 is not above 0",
        ),
        ({"source": {"kind": "file", "file": "none.csv", "key": "id"}}, "none.csv: cannot be read"),
    ],
)
async def test_what_cannot_be_used_is_said_in_one_line_with_its_place(replayed, document, problem):
    try:
        with pytest.raises(ScenarioError) as refused:
            await replayed(**document)
    except MissingExtraError:
        pytest.skip("needs the extras")

    assert problem in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_answers_in_real_time_has_no_virtual_time(tmp_path):
    scenario = tmp_path / "scenario.json"
    document = {"source": NAMES, "lookups": LOOKUPS, "store": {"kind": "redis", "url": "redis://h"}}
    scenario.write_text(json.dumps(document))

    with pytest.raises(ScenarioError, match=r"\$\.store: works in real time only: leave out --virtual-time"):
        run_in_virtual_time(
            Job(scenario=str(scenario), output=str(Path(tmp_path / "o.json"))), lambda *_: None
        )


async def fill(url):
    import sqlalchemy as sa  # noqa: PLC0415 - an extra

    from async_backfill.sources.sql import open_database  # noqa: PLC0415 - as above

    table = sa.Table(
        "products", sa.MetaData(), sa.Column("id", sa.Text, primary_key=True), sa.Column("name", sa.Text)
    )
    async with open_database(url) as engine, engine.begin() as connection:
        await connection.run_sync(table.create)
        await connection.execute(sa.insert(table), [{"id": key, "name": name} for key, name in NAMES.items()])


@pytest.mark.parametrize("driver", ["sqlite", "sqlite+aiosqlite"])
async def test_a_database_of_sqlite_lies_beside_the_scenario(replayed, tmp_path, driver, monkeypatch):
    pytest.importorskip("sqlalchemy")
    with sqlite3.connect(tmp_path / "shop.db") as database:
        database.execute("create table products (id text primary key, name text)")
        database.executemany("insert into products values (?, ?)", NAMES.items())
    database.close()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "100%").mkdir()
    shutil.copy(tmp_path / "shop.db", tmp_path / "100%")
    monkeypatch.chdir(tmp_path / "elsewhere")
    for path in ("shop.db", "./shop.db?timeout=5", tmp_path / "shop.db", "100%/shop.db"):
        source = {
            "kind": "sql",
            "url": f"{driver}:///{path}",
            "table": "products",
            "key": "id",
            "value": "name",
        }
        assert found(await replayed(source=source)) == EXPECTED


async def test_a_parquet_file_is_told_by_its_content(replayed, tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet").write_table(
        pyarrow.table({"id": list(NAMES), "name": list(NAMES.values())}), tmp_path / "products"
    )
    summary = await replayed(source={"kind": "file", "file": "products", "key": "id", "value": "name"})
    assert found(summary) == EXPECTED
