"""Build the lookups, the source and the cache of a scenario."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import anyio

from async_backfill._cache import BackfillCache
from async_backfill._common.validation import whole, whole_or_none
from async_backfill._common.written_keys import KEY_TYPES
from async_backfill._runner.scenario.live import Live, files_of_database
from async_backfill._runner.scenario.log_hint import with_log_hint
from async_backfill._runner.scenario.model import (
    FileSpec,
    KeyFile,
    MappingSpec,
    SimulatedSpec,
    SQLSpec,
    Table,
    TableSpec,
)
from async_backfill.backfill._free_scan import FreeScan
from async_backfill.errors import ConfigurationError, ScenarioError
from async_backfill.policies import BackfillPolicy, FreshnessPolicy, LoadPolicy
from async_backfill.sources._rows.tables import TableRules, read_table
from async_backfill.sources.mapping import MappingSource
from async_backfill.sources.simulated import SimulatedSource
from async_backfill.stores.weighed import WeighedStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from pathlib import Path

    from async_backfill._runner.scenario.environment import Secrets
    from async_backfill._runner.scenario.model import HeldSpec, Scenario, Settings
    from async_backfill._runner.scenario.requests import Requests
    from async_backfill.contracts import Clock, Journal
    from async_backfill.events import Observer

AnySource: TypeAlias = MappingSource[Any, Any] | SimulatedSource[Any, Any]

_MOST_KEYS: Final = 10_000_000
_LEAST_LOAD_BATCH: Final = 500


def files_of(scenario: Scenario, folder: Path, secrets: Secrets) -> list[Path]:
    """Return the files that ``scenario`` reads, for a scenario file in ``folder``.

    :param secrets: remembers what was taken from the environment.
    """
    if isinstance(scenario.source, SQLSpec):
        database = files_of_database(scenario.source, folder, secrets)
    else:
        database = []
    named: list[object] = [scenario.source, scenario.lookups]
    if isinstance(scenario.source, SimulatedSpec):
        named.append(scenario.source.table)
    files = [folder / spec.file for spec in named if isinstance(spec, (Table, KeyFile, FileSpec))]
    return [*files, *database]


async def load_entries(spec: HeldSpec, folder: Path) -> Mapping[Any, Any]:
    """Return the entries of the source of ``spec``.

    :raises ScenarioError: when its table cannot be used.
    :raises ConfigurationError: when it has more keys than allowed.
    """
    if isinstance(spec, MappingSpec):
        return spec.entries
    if isinstance(spec, TableSpec):
        return await _load_table(spec, folder, "$.source")
    return await _simulated_entries(spec, folder)


def make_source(
    spec: HeldSpec, entries: Mapping[Any, Any], *, sleep: Callable[[float], Awaitable[None]] = anyio.sleep
) -> AnySource:
    """Return a source of the kind of ``spec``, over ``entries``.

    :param sleep: a replacement for ``anyio.sleep`` in a simulated source.
    :raises ConfigurationError: when a number of ``spec`` is not allowed.
    """
    if not isinstance(spec, SimulatedSpec):
        return MappingSource(entries)
    return SimulatedSource(
        entries,
        latency=spec.latency,
        key_latency=spec.key_latency,
        jitter=spec.jitter,
        error_rate=spec.error_rate,
        seed=spec.seed,
        sleep=sleep,
    )


def make_cache(
    source: AnySource | Live,
    settings: Settings,
    *,
    journal: Journal[Any] | None = None,
    observers: Iterable[Observer] = (),
    requests: Requests | None = None,
    clock: Clock = time.monotonic,
    wall_clock: Clock = time.time,
) -> BackfillCache[Any, Any]:
    """Return a cache in front of ``source``, not yet open.

    With a concurrency of 1, a backfill runs inline, before the load of the key that started it.

    :param journal: the journal of hot keys.
    :param observers: hear the events of the cache.
    :param requests: what is known of the objects: their sizes and lifetimes.
    :param clock: a function that returns seconds that never go back.
    :param wall_clock: a function that returns seconds since the epoch.
    :raises ConfigurationError: when a setting is not allowed.
    """
    # Checked here, because the cache has no such setting or allows other numbers.
    whole("concurrency", settings.concurrency, least=1)
    whole_or_none("capacity", settings.capacity, least=1)
    whole("backfill_batch", settings.backfill_batch, least=1)
    whole_or_none("flush_at", settings.flush_at, least=1)
    if whole("min_lookups", settings.min_lookups, least=1) > whole("window", settings.window, least=1):
        least = f"min_lookups, which is {settings.min_lookups}"
        raise ConfigurationError("window", f"{settings.window} is less than {least}: no backfill could start")
    store = _weighed(settings, requests)
    live = source if isinstance(source, Live) else Live(source=source, scan=FreeScan(source))
    return BackfillCache(
        live.source,
        scan=live.scan,
        far=live.far,
        capacity=settings.capacity if store is None else None,
        eviction=settings.eviction,
        store=store,
        miss_threshold=settings.miss_threshold,
        backfill_batch=settings.backfill_batch,
        max_backfills=settings.max_backfills,
        journal=journal,
        observers=observers,
        # One backfill is one source call, so that source_calls counts decisions.
        load=LoadPolicy(max_batch=max(_LEAST_LOAD_BATCH, settings.backfill_batch)),
        backfill=BackfillPolicy(
            evicts=settings.backfill_evicts,
            inline=settings.concurrency == 1,
            window=settings.window,
            min_lookups=settings.min_lookups,
            selection=settings.selection,
            successors=settings.successors,
        ),
        freshness=_freshness(settings, requests),
        clock=clock,
        wall_clock=wall_clock,
    )


def _weighed(settings: Settings, requests: Requests | None) -> WeighedStore[Any, Any] | None:
    """Return a store that is bounded by the sizes of the objects, if ``settings`` ask for it."""
    if whole_or_none("capacity_bytes", settings.capacity_bytes, least=1) is None:
        return None
    if requests is None or requests.sizes is None:
        raise ConfigurationError("capacity_bytes", "needs lookups with sizes, as a cache trace has")
    return WeighedStore(
        settings.capacity_bytes or 1,
        requests.size_of,
        capacity=settings.capacity,
        eviction=settings.eviction,
    )


def _freshness(settings: Settings, requests: Requests | None) -> FreshnessPolicy:
    whole("ttl_seed", settings.ttl_seed, least=0)  # the policy would accept None as well
    try:
        return FreshnessPolicy(
            ttl=settings.ttl,
            ttl_of=requests.ttl_of if requests is not None and requests.ttls is not None else None,
            jitter=settings.ttl_jitter,
            stale_for=settings.stale_for,
            absent_ttl=settings.absent_ttl,
            seed=settings.ttl_seed,
        )
    except ConfigurationError as error:
        name = "ttl_jitter" if error.setting == "jitter" else error.setting
        raise ConfigurationError(name, error.problem) from error


async def _simulated_entries(spec: SimulatedSpec, folder: Path) -> Mapping[Any, Any]:
    if spec.table is not None:
        return await _load_table(spec.table, folder, "$.source.table")
    if spec.entries is not None:
        return spec.entries
    assert spec.keys != "lookups"  # noqa: S101 - `with_entries` has replaced it
    count = whole("keys", spec.keys, least=0)
    if count > _MOST_KEYS:
        raise ConfigurationError("keys", f"must be at most {_MOST_KEYS}, not {count}")
    return {f"key_{number}": number for number in range(count)}


async def _load_table(table: Table, folder: Path, place: str) -> dict[Any, Any]:
    kind = None if table.key_type is None else KEY_TYPES[table.key_type]
    rules = TableRules(columns=table.columns, duplicates=table.duplicates)
    path = folder / table.file
    try:
        return await read_table(path, key=table.key, value=table.value, key_type=kind, rules=rules)
    except ScenarioError as error:
        raise ScenarioError(f"{place}: {await with_log_hint(error, path)}") from error
