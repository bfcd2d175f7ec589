"""Open the two ends of a job, in any process that works on it."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack, asynccontextmanager
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from async_backfill._common.extras import needed_by
from async_backfill._jobs._ends import JobEnds
from async_backfill._runner.job_files.ends import Ends
from async_backfill._runner.job_files.model import SQLiteSpec
from async_backfill._runner.scenario.environment import Secrets, expand_url, name_of_secret, value_of
from async_backfill._runner.scenario.live import open_source
from async_backfill.errors import ConfigurationError, ScenarioError
from async_backfill.stores.sqlite import SQLiteStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from async_backfill._jobs._spec import JobSpec
    from async_backfill._runner.job_files.ends import FarSpec
    from async_backfill._runner.job_files.model import BudgetSpec, RedisSpec

_QUERY_TIMEOUT: Final = 30.0
"""Seconds after which PostgreSQL stops a query of a job."""


@asynccontextmanager
async def open_ends(spec: JobSpec) -> AsyncIterator[JobEnds[Any, Any]]:
    """Open the source and the store that ``spec`` describes, for ``async with``; it is an ``OpenEnds``.

    What stands as ``${NAME}`` is taken from the environment of this process. Its value is in no error that
    leaves the block: there it is ``${NAME}`` again; `JobEnds.hidden` does that for other texts.

    :raises ScenarioError: when one of them cannot be used; names the place in the job file.
    :raises MissingExtraError: when a library it needs is not installed.
    """
    secrets = Secrets()
    try:
        ends = Ends(f"job {spec.name}")
        source, far = ends.source(spec.source), ends.store(spec.store)
        shared = ends.budget(spec.budget)
        async with AsyncExitStack() as resources:
            live = await open_source(source, Path(), resources, load_timeout=_QUERY_TIMEOUT, secrets=secrets)
            assert live.rows is not None  # noqa: S101 - `Ends` takes no other source
            store, invalidations = await _open_store(far, resources, secrets)
            budget, permits = await _open_budget(shared, resources, secrets)
            yield JobEnds(
                rows=live.rows,
                source=live.source,
                store=store,
                source_facts=live.facts,
                store_facts=store,
                invalidations=invalidations,
                budget=budget,
                permits=permits,
                hidden=secrets.hidden,
            )
    except Exception as error:
        secrets.hide_in(error)
        raise


async def _open_store(spec: FarSpec, resources: AsyncExitStack, secrets: Secrets) -> tuple[Any, Any]:
    """Return the store of ``spec`` and its invalidations, if any, open until ``resources`` is closed."""
    try:
        settings = _settings(spec, secrets)
        if not isinstance(spec, SQLiteSpec):
            return await _open_redis(spec, resources, secrets, settings)
        store: SQLiteStore[Any, Any] = SQLiteStore(spec.file, max_bytes=spec.max_bytes, **settings)
        return await resources.enter_async_context(store), None
    except ConfigurationError as error:
        raise ScenarioError(f"$.store.{error.setting}: {error.problem}") from error


async def _open_redis(
    spec: RedisSpec, resources: AsyncExitStack, secrets: Secrets, settings: dict[str, Any]
) -> tuple[Any, Any]:
    with needed_by("$.store", "redis", "redis", "hiredis"):
        from async_backfill.redis.connection import connect  # noqa: PLC0415 - the extra is optional
        from async_backfill.redis.invalidations import RedisInvalidations  # noqa: PLC0415 - as above
        from async_backfill.redis.store import RedisStore  # noqa: PLC0415 - as above
    connection = await resources.enter_async_context(connect(expand_url(spec.url, os.environ, secrets)))
    store: RedisStore[Any, Any] = RedisStore(connection, **settings)
    told = RedisInvalidations[Any](connection, namespace=spec.namespace) if spec.invalidations else None
    return store, told


async def _open_budget(
    spec: BudgetSpec | None, resources: AsyncExitStack, secrets: Secrets
) -> tuple[Any, Any]:
    """Return the budget of ``spec`` and its permits, if any, open until ``resources`` is closed."""
    if spec is None:
        return None, None
    with needed_by("$.budget", "redis", "redis", "hiredis"):
        from async_backfill.redis.connection import connect  # noqa: PLC0415 - the extra is optional
        from async_backfill.redis.permits import RedisPermits  # noqa: PLC0415 - as above
        from async_backfill.redis.read_budget import RedisReadBudget  # noqa: PLC0415 - as above
    try:
        url = expand_url(spec.url, os.environ, secrets)
        connection = await resources.enter_async_context(connect(url))
        budget = RedisReadBudget(connection, namespace=spec.namespace, name=spec.name)
        if spec.permits is None:
            return budget, None
        return budget, RedisPermits(connection, namespace=spec.namespace, max_backfills=spec.permits)
    except ConfigurationError as error:
        setting = "permits" if error.setting == "max_backfills" else error.setting
        raise ScenarioError(f"$.budget.{setting}: {error.problem}") from error


def _settings(spec: FarSpec, secrets: Secrets) -> dict[str, Any]:
    """Return the settings that both kinds of stores have."""
    version_of: Callable[[Any], Any] | None = None if spec.version is None else itemgetter(spec.version)
    key = None
    if spec.signing_key is not None:
        name = name_of_secret("signing_key", spec.signing_key)
        key = value_of(name, os.environ, setting="signing_key")
        secrets.take(name, key)
    return {
        "namespace": spec.namespace,
        "max_value_bytes": spec.max_value_bytes,
        "signing_key": None if key is None else key.encode(),
        "version_of": version_of,
    }
