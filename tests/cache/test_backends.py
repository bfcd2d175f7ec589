"""What runs on asyncio and trio, and what says in one line that it needs asyncio."""

from __future__ import annotations

import anyio
import pytest

pytest.importorskip("sqlalchemy", reason="needs the extra sql")
pytest.importorskip("aiosqlite", reason="needs the extra sql")
pytest.importorskip("aiohttp", reason="needs the extra http")
pytest.importorskip("redis", reason="needs the extra redis")

from sqlalchemy.ext.asyncio import create_async_engine

from async_backfill import BackfillCache, ConfigurationError, FarTier, LoadError, MappingSource
from async_backfill.backfill.audit_file import AuditFile
from async_backfill.backfill.journal_file import JournalFile
from async_backfill.redis import (
    RedisJournal,
    RedisPermits,
    RedisStore,
    connect,
)
from async_backfill.sources.file import FileSource
from async_backfill.sources.http import HTTPSource
from async_backfill.sources.retrying import RetryingSource
from async_backfill.sources.sql import SQLSource, StatementSource

ROWS = MappingSource({"a": 1})
STATEMENT = "SELECT id, name FROM rows WHERE id IN :keys"


def parts(engine):
    connection = connect("redis://127.0.0.1:1")
    table = SQLSource(engine, "rows", key="id", value="name")
    return {
        "source": [table, StatementSource(engine, STATEMENT), HTTPSource("https://example.com/{key}")],
        "scan": [table],
        "permits": [RedisPermits(connection, namespace="n", max_backfills=1)],
        "journal": [RedisJournal(connection, namespace="n")],
        "far.store": [FarTier(store=RedisStore(connection, namespace="n"))],
    }


@pytest.mark.parametrize("name", ["source", "scan", "permits", "journal", "far.store"])
def test_on_trio_a_part_that_needs_asyncio_is_refused_at_opening_in_one_line(name):
    async def main(cache):
        async with cache:
            pass

    for part in parts(create_async_engine("sqlite+aiosqlite://"))[name]:
        cache = BackfillCache(**{"source": ROWS, name.partition(".")[0]: part})
        with pytest.raises(ConfigurationError, match=f"^{name}: is a .* needs asyncio.* on trio$"):
            anyio.run(main, cache, backend="trio")


def test_hidden_inside_another_part_it_says_so_at_its_first_use():
    engine = create_async_engine("sqlite+aiosqlite://")
    hidden = [RetryingSource(SQLSource(engine, "rows", key="id", value="name"), on=ConnectionError)]
    hidden.append(RetryingSource(HTTPSource("https://example.com/{key}"), on=ConnectionError))

    async def main(source):
        async with BackfillCache(source) as cache:
            with pytest.raises(LoadError, match="needs asyncio, which does not run here"):
                await cache.get("a")

    for source in hidden:
        anyio.run(main, source, backend="trio")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_files_run_on_both(backend, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("key,value\na,1\nb,2\n")

    async def main():
        async with (
            FileSource(path, key="key", value="value") as source,
            BackfillCache(
                source,
                scan=source,
                journal=JournalFile(tmp_path / "hot.journal"),
                audit_sink=AuditFile(tmp_path / "audit.jsonl"),
            ) as cache,
        ):
            await cache.force_backfill()
            return await cache.get_many("ab")

    assert anyio.run(main, backend=backend) == {"a": "1", "b": "2"}
    assert len((tmp_path / "audit.jsonl").read_text().splitlines()) == 2
    assert (tmp_path / "hot.journal").exists()
