"""The ends of a job are opened in any process, with secrets from its environment."""

from __future__ import annotations

import json
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path

import pytest

from async_backfill._jobs._spec import JobSpec
from async_backfill._runner.job_files.opening import open_ends
from async_backfill._runner.job_files.reading import job_of
from async_backfill.errors import ScenarioError
from tests.one_loop import anyio_backend  # noqa: F401 - a fixture

pytestmark = pytest.mark.anyio

ROWS = {f"k{number}": {"name": f"name {number}", "version": number} for number in range(10)}


@pytest.fixture
def database(tmp_path):
    with closing(sqlite3.connect(tmp_path / "shop.db")) as shop:
        shop.execute("CREATE TABLE products (id TEXT PRIMARY KEY, name TEXT, version INTEGER)")
        shop.executemany(
            "INSERT INTO products VALUES (?, ?, ?)", [(key, *row.values()) for key, row in ROWS.items()]
        )
        shop.commit()
    return {
        "kind": "sql",
        "url": "sqlite:///shop.db",
        "table": "products",
        "key": "id",
        "value": ["name", "version"],
    }


def spec_of(folder, **document):
    return job_of(json.dumps({"name": "products", **document}), "job.json", folder)[0]


async def copied(ends):
    """Copy all rows and return what the store then has."""
    read_at = ends.store.now()
    async for page in ends.rows.rows(page=3):
        await ends.store.set_page(page, read_at=read_at)
    return {key: copy.value for key, copy in (await ends.store.get_many([*ROWS])).items()}


async def test_rows_of_a_table_reach_a_file_from_another_folder(database, tmp_path, monkeypatch):
    pytest.importorskip("aiosqlite")
    monkeypatch.chdir(tmp_path)
    spec = spec_of(Path(), source=database, store={"kind": "sqlite", "file": "c.db", "version": "version"})
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    async with open_ends(spec) as ends:
        assert await copied(ends) == ROWS
        assert await ends.source_facts.count() == (10, "counted")
        assert await ends.source.load_many(["k1"]) == {"k1": ROWS["k1"]}
        await ends.store_facts.mark("7", "3f9c")
        assert ends.store.version_of(ROWS["k3"]) == 3
    assert (tmp_path / "c.db").exists()
    assert not [*elsewhere.iterdir()]
    async with open_ends(spec) as ends:
        assert await ends.store_facts.marked("7") == "3f9c"


async def test_rows_of_a_file_reach_redis_with_its_secrets(tmp_path, valkey_url, monkeypatch):
    pytest.importorskip("redis")
    lines = [json.dumps({"id": key, **row}) for key, row in ROWS.items()]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    monkeypatch.setenv("SHOP_KEY", "0123456789abcdef")
    store = {
        "kind": "redis",
        "url": valkey_url,
        "namespace": f"job-{uuid.uuid4().hex}",
        "signing_key": "${SHOP_KEY}",
        "invalidations": True,
    }
    spec = spec_of(tmp_path, source={"kind": "file", "file": "rows.jsonl", "key": "id"}, store=store)
    async with open_ends(spec) as ends:
        assert await copied(ends) == ROWS
        assert (await ends.store_facts.state()).used > 0
        await ends.invalidations.publish(["k1"])
        assert ends.hidden("it is 0123456789abcdef") == "it is ${SHOP_KEY}"
        await ends.store.clear()


async def test_a_parquet_file_can_be_read_too(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet  # noqa: PLC0415 - only if it is installed

    table = pa.table({"id": [*ROWS], **{n: [row[n] for row in ROWS.values()] for n in ("name", "version")}})
    parquet.write_table(table, tmp_path / "rows.parquet")
    spec = spec_of(tmp_path, source={"kind": "file", "file": "rows.parquet", "key": "id"})
    async with open_ends(spec) as ends:
        assert await copied(ends) == ROWS


@pytest.mark.parametrize(
    ("source", "store", "text"),
    [
        (
            {"kind": "file", "file": "/nowhere/rows.csv", "key": "id"},
            {"kind": "sqlite"},
            r"\$.source: .*nowhere",
        ),
        (None, {"kind": "sqlite", "max_bytes": 10}, r"\$.store.max_bytes: 10 is less than"),
        (None, {"kind": "sqlite", "namespace": "a b"}, r"\$.store.namespace: must be"),
        (None, {"kind": "sqlite", "signing_key": "${NO_KEY}"}, r"\$.store.signing_key: .*NO_KEY is not set"),
        (None, {"kind": "redis", "url": "redis://:${NO_KEY}@x"}, r"\$.store.url: .*NO_KEY is not set"),
        (None, {"kind": "memory"}, r"job products: \$.store.kind: \"memory\" is not one of"),
    ],
)
async def test_an_end_that_cannot_be_used_is_named(tmp_path, source, store, text):
    (tmp_path / "rows.csv").write_text("id,name\na,b\n")
    known = {"kind": "file", "file": str(tmp_path / "rows.csv"), "key": "id"}
    store = {"file": str(tmp_path / "cache.db"), **store} if store["kind"] == "sqlite" else store
    with pytest.raises(ScenarioError, match=text):
        async with open_ends(JobSpec(name="products", source=source or known, store=store)):
            pass


async def test_an_error_of_the_work_on_a_job_shows_no_secret(tmp_path, monkeypatch):
    monkeypatch.setenv("SHOP_KEY", "hunter2hunter2hunter2")
    (tmp_path / "rows.csv").write_text("id,name\na,b\n")
    spec = spec_of(
        tmp_path,
        source={"kind": "file", "file": "rows.csv", "key": "id"},
        store={"kind": "sqlite", "signing_key": "${SHOP_KEY}"},
    )
    with pytest.raises(ValueError, match=r"it was \$\{SHOP_KEY\}"):
        async with open_ends(spec):
            raise ValueError("it was hunter2hunter2hunter2")
