"""The scenario as typed, frozen values: what to look up, in which source, with which settings."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import msgspec

from async_backfill.policies import SelectionName  # noqa: TC001 - msgspec reads the annotations
from async_backfill.stores._eviction.orders import Eviction  # noqa: TC001 - as above

_OF_THE_SOURCE: Final = frozenset({"latency", "key_latency", "jitter", "error_rate", "seed", "keys"})


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting of a replay with its default; the names are those of the scenario file.

    Times are seconds.

    ``flush_at``
        the number of a lookup, from 1, before which the cache is emptied, as by a restart.
    ``lookups_per_second``
        how often a lookup begins, on average, at moments drawn from ``arrival_seed``, whether or not
        the one before has ended; no more than ``concurrency`` are in flight. ``None`` begins the next
        one when there is room.
    ``ttl``, ``ttl_jitter``, ``stale_for``, ``absent_ttl``
        how long values stay good, see `FreshnessPolicy`; its draws come from ``ttl_seed``.
    """

    miss_threshold: float = 0.5
    backfill_batch: int = 10
    max_backfills: int | None = None
    capacity: int | None = None
    window: int = 1000
    min_lookups: int = 3
    backfill_evicts: bool = False
    eviction: Eviction = "fifo"
    concurrency: int = 1
    selection: SelectionName = "source"
    successors: int = 0
    flush_at: int | None = None
    lookups_per_second: float | None = None
    arrival_seed: int = 0
    ttl: float | None = None
    ttl_jitter: float = 0.0
    ttl_seed: int = 0
    stale_for: float = 0.0
    absent_ttl: float | None = None


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A CSV or JSON-lines file, its key column, and its value column (``None``: all others)."""

    file: str
    key: str
    value: str | None = None


class MappingSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A source whose entries are in the scenario itself."""

    entries: dict[str, Any]


class TableSpec(Table, frozen=True, kw_only=True):
    """A source that is a table in a file."""


class SimulatedSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A source with latency and errors; its entries come from exactly one of the last three fields.

    Times are seconds. ``keys`` makes that many entries up: ``key_0`` to ``key_{N-1}``, each with its
    number as the value.
    """

    latency: float = 0.0
    key_latency: float = 0.0
    jitter: float = 0.0
    error_rate: float = 0.0
    seed: int = 0
    entries: dict[str, Any] | None = None
    table: Table | None = None
    keys: int | None = None


class KeyFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file with one key a line."""

    file: str


class ZipfSpec(msgspec.Struct, frozen=True, kw_only=True):
    """``count`` lookups of ``keys`` keys, ``key_0`` to ``key_{N-1}``, of which few are asked for often.

    The key of rank r is asked for in proportion to ``1 / r ** exponent``; ranks are dealt out, and keys
    drawn, from ``seed``.
    """

    count: int
    keys: int
    exponent: float = 1.0
    seed: int = 0


class FileSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A source that is a file, indexed once and read from the disk; ``value`` as in `Table`.

    A name that ends in ``.parquet`` is that of a Parquet file, in ``.zst`` of one packed with zstd.
    """

    file: str
    key: str
    value: str | None = None


class SQLSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A source that is a table of a database; ``url`` may hold ``${NAME}``, a variable of the environment."""

    url: str
    table: str
    key: str
    value: str | list[str]
    db_schema: str | None = msgspec.field(name="schema", default=None)


class HTTPSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A source that is a service; ``url`` holds ``{key}``, and may hold ``${NAME}`` as in `SQLSpec`."""

    url: str


class StoreSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A store that processes share, Redis or Valkey; ``url`` may hold ``${NAME}`` as in `SQLSpec`.

    ``namespace``
        which entries are meant; caches that share entries share it.
    ``leases``, ``invalidations``
        whether a fleet makes one load of a key, and whether its caches tell each other of changes.
    ``ttl``, ``timeout``
        see `FarTier`.
    """

    url: str
    namespace: str = "async_backfill"
    leases: bool = False
    invalidations: bool = False
    ttl: float | None = None
    timeout: float = 0.05


HeldSpec: TypeAlias = MappingSpec | TableSpec | SimulatedSpec
LiveSpec: TypeAlias = FileSpec | SQLSpec | HTTPSpec
SourceSpec: TypeAlias = HeldSpec | LiveSpec
Lookups: TypeAlias = list[str] | KeyFile | ZipfSpec


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One replay; file names are relative to the folder of the scenario file."""

    source: SourceSpec
    lookups: Lookups
    settings: Settings
    store: StoreSpec | None = None


def name_in_scenario(setting: str) -> str:
    """Return where ``setting``, which is named as in the library, is in a scenario: ``source.seed``."""
    if setting in _OF_THE_SOURCE:
        return f"source.{setting}"
    return "backfill_evicts" if setting == "evicts" else setting
