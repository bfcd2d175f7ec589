"""Open the file, database, service or far tier (L2) of a scenario for the time of a replay."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from async_backfill._common.extras import needed_by
from async_backfill._common.written_keys import KEY_TYPES
from async_backfill._runner.scenario.environment import expand_url
from async_backfill._runner.scenario.log_hint import with_log_hint
from async_backfill._runner.scenario.model import FileSpec, HTTPSpec, SQLSpec
from async_backfill.errors import ConfigurationError, ScenarioError
from async_backfill.far_tier import FarTier
from async_backfill.sources._rows.binary import PARQUET
from async_backfill.sources._rows.reading import begin_of
from async_backfill.sources.file import FileSource

if TYPE_CHECKING:
    from contextlib import AsyncExitStack

    from async_backfill._common.written_keys import KeyTypeName
    from async_backfill._runner.scenario.environment import Secrets
    from async_backfill._runner.scenario.model import LiveSpec, StoreSpec
    from async_backfill.contracts import Rows, Scan, Source, SourceFacts

_PARQUET_NAME: Final = ".parquet"
_LONGEST_ROW: Final = 1 << 24
_DECODED: Final = re.compile("%(?=[0-9A-Fa-f]{2})")
_SQLITE: Final = re.compile(r"(?P<scheme>sqlite(?:\+\w+)?:///)(?P<path>[^?]+)(?P<query>\?.*)?", re.DOTALL)
_BESIDE_A_DATABASE: Final = ("", "-wal", "-shm", "-journal")


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """The source that a cache is put in front of, what else it can do, and its far tier (L2), if any."""

    source: Source[Any, Any]
    scan: Scan[Any] | None
    rows: Rows[Any, Any] | None = None
    facts: SourceFacts | None = None
    far: FarTier[Any, Any] | None = None


async def open_source(
    spec: LiveSpec,
    folder: Path,
    resources: AsyncExitStack,
    *,
    load_timeout: float | None,
    secrets: Secrets,
) -> Live:
    """Return the source of ``spec``, open until ``resources`` is closed.

    :param folder: the folder of the scenario file.
    :param load_timeout: the timeout of a load in seconds.
    :param secrets: remembers what was taken from the environment.
    :raises ScenarioError: when it cannot be used; names the place in the scenario.
    :raises MissingExtraError: when a library it needs is not installed.
    """
    try:
        if isinstance(spec, SQLSpec):
            return await _open_sql(spec, folder, resources, load_timeout, secrets)
        if isinstance(spec, HTTPSpec):
            return await _open_http(spec, resources, secrets)
        return await _open_file(spec, folder, resources)
    except ScenarioError as error:
        if isinstance(spec, FileSpec):
            error = await with_log_hint(error, folder / spec.file)
        raise ScenarioError(f"$.source: {error}") from error
    except ConfigurationError as error:
        raise ScenarioError(f"$.source.{error.setting}: {error.problem}") from error


async def open_far(
    spec: StoreSpec, key_type: KeyTypeName, resources: AsyncExitStack, secrets: Secrets
) -> FarTier[Any, Any]:
    """Return the far tier (L2) of ``spec`` for keys of ``key_type``, open until ``resources`` is closed.

    It raises the same errors as `open_source`.
    """
    with needed_by("$.store", "redis", "redis", "hiredis"):
        from async_backfill.redis.connection import connect  # noqa: PLC0415 - the extra is optional
        from async_backfill.redis.invalidations import RedisInvalidations  # noqa: PLC0415 - as above
        from async_backfill.redis.leases import RedisLeases  # noqa: PLC0415 - as above
        from async_backfill.redis.store import RedisStore  # noqa: PLC0415 - as above
    try:
        connection = await resources.enter_async_context(connect(expand_url(spec.url, os.environ, secrets)))
        keys = KEY_TYPES[key_type]
        store: RedisStore[Any, Any] = RedisStore(connection, namespace=spec.namespace, key_type=keys)
        return FarTier(
            store=store,
            leases=RedisLeases(store) if spec.leases else None,
            invalidations=RedisInvalidations(connection, namespace=spec.namespace, key_type=keys)
            if spec.invalidations
            else None,
            ttl=spec.ttl,
            timeout=spec.timeout,
        )
    except ConfigurationError as error:
        raise ScenarioError(f"$.store.{error.setting}: {error.problem}") from error


async def _open_sql(
    spec: SQLSpec, folder: Path, resources: AsyncExitStack, load_timeout: float | None, secrets: Secrets
) -> Live:
    with needed_by("$.source", "sql", "sqlalchemy", "asyncpg", "aiosqlite", "greenlet"):
        from async_backfill.sources.sql import SQLSource  # noqa: PLC0415 - the extra is optional
    source: SQLSource[Any, Any] = await resources.enter_async_context(
        SQLSource.connect(
            beside(expand_url(spec.url, os.environ, secrets), folder),
            spec.table,
            key=spec.key,
            value=spec.value,
            schema=spec.db_schema,
            timeout=load_timeout,
        )
    )
    return Live(source=source, scan=source, rows=source, facts=source)


async def _open_http(spec: HTTPSpec, resources: AsyncExitStack, secrets: Secrets) -> Live:
    with needed_by("$.source", "http", "aiohttp"):
        from async_backfill.sources.http import HTTPSource  # noqa: PLC0415 - the extra is optional
    source: HTTPSource[str, Any] = HTTPSource(expand_url(spec.url, os.environ, secrets), trust_env=True)
    return Live(source=await resources.enter_async_context(source), scan=None)


async def _open_file(spec: FileSpec, folder: Path, resources: AsyncExitStack) -> Live:
    path = folder / spec.file
    kind = None if spec.key_type is None else KEY_TYPES[spec.key_type]
    if Path(spec.file).suffix == _PARQUET_NAME or await begin_of(path, len(PARQUET)) == PARQUET:
        for name, is_default in (
            ("columns", spec.columns is None),
            ("duplicates", spec.duplicates == "refuse"),
        ):
            if not is_default:
                raise ConfigurationError(name, "is not for Parquet files: leave it out")
        with needed_by("$.source", "parquet", "pyarrow"):
            from async_backfill.sources.parquet import ParquetSource  # noqa: PLC0415 - the extra is optional
        table: ParquetSource[Any, Any] = ParquetSource(path, key=spec.key, value=spec.value, key_type=kind)
        await resources.enter_async_context(table)
        return Live(source=table, scan=table, rows=table, facts=table)
    source: FileSource[Any, Any] = FileSource(
        path,
        key=spec.key,
        value=spec.value,
        key_type=kind,
        columns=spec.columns,
        duplicates=spec.duplicates,
        max_line=_LONGEST_ROW,
    )
    rows = await resources.enter_async_context(source)
    return Live(source=rows, scan=rows, rows=rows, facts=rows)


def beside(url: str, folder: Path) -> str:
    """Return ``url`` with the path of a file of SQLite taken from ``folder``, as those of other files are."""
    found = _SQLITE.fullmatch(url)
    if found is None or found["path"].startswith((":memory:", "file:")):
        return url
    # What ${NAME} stands for is encoded. SQLAlchemy decodes it from 2.1 on: no more is encoded than must be.
    path = _DECODED.sub("%25", str((folder / unquote(found["path"])).absolute())).replace("?", "%3F")
    return f"{found['scheme']}{path}{found['query'] or ''}"


def files_of_database(spec: SQLSpec, folder: Path, secrets: Secrets) -> list[Path]:
    """Return the files of the database of ``spec``, where it is one of SQLite; some may not be there.

    :param folder: the folder of the scenario file.
    :param secrets: remembers what was taken from the environment.
    """
    found = None
    with suppress(ConfigurationError):  # whoever opens it says so
        found = _SQLITE.fullmatch(expand_url(spec.url, os.environ, secrets))
    if found is None:
        return []
    path = found["path"]
    # Not each release of SQLAlchemy decodes it. SQLite decodes that of a URI, which is not beside a scenario.
    uri = [Path(unquote(urlsplit(path).path))] if path.startswith("file:") else []
    places = [*uri, folder / unquote(path), folder / path]
    return [Path(f"{place}{more}") for place in dict.fromkeys(places) for more in _BESIDE_A_DATABASE]
