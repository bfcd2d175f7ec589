"""The typed, frozen values of a scenario: lookups, source, store and settings."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import msgspec

from async_backfill._common.written_keys import KeyTypeName  # noqa: TC001 - msgspec reads the annotations
from async_backfill._runner.logs.recogniser import FormatName  # noqa: TC001 - as above
from async_backfill.policies import SelectionName  # noqa: TC001 - as above
from async_backfill.sources._rows.tables import Duplicates  # noqa: TC001 - as above
from async_backfill.stores._eviction.orders import Eviction  # noqa: TC001 - as above

if TYPE_CHECKING:
    from collections.abc import Mapping

_OF_THE_SOURCE: Final = frozenset({"latency", "key_latency", "jitter", "error_rate", "seed", "keys"})


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings of a replay, with the names of the scenario file and their defaults.

    Times are in seconds.

    ``capacity_bytes``
        the largest total size of the objects in the cache; needs lookups with sizes.
    ``flush_at``
        the number of the lookup, from 1, before which the cache is cleared, as by a restart.
    ``lookups_per_second``
        the mean rate of lookups, which begin at random times from ``arrival_seed``, whether or not the one
        before has ended; at most ``concurrency`` are in flight. ``None`` begins the next lookup as soon as
        there is room.
    ``ttl``, ``ttl_jitter``, ``stale_for``, ``absent_ttl``
        the freshness of values, see `FreshnessPolicy`; ``ttl_seed`` is its seed.
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
    capacity_bytes: int | None = None


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A file of CSV or JSON with its key column and its value column (``None``: all others).

    ``key_type``
        the type of the keys, and so of the lookups; ``None`` is that of the first row's key.
    ``columns``
        the names of the columns of a CSV file without a header.
    ``duplicates``
        which row of a key that appears twice is kept; ``refuse`` refuses the file.
    """

    file: str
    key: str
    value: str | None = None
    key_type: KeyTypeName | None = None
    columns: list[str] | None = None
    duplicates: Duplicates = "refuse"


class MappingSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A source with its entries in the scenario itself."""

    entries: dict[str, Any]


class TableSpec(Table, frozen=True, kw_only=True):
    """A source that reads a table from a file into memory."""


class SimulatedSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A simulated source with latency and errors; exactly one of the last three fields gives its entries.

    Times are in seconds. ``keys`` generates that number of entries: ``key_0`` to ``key_{N-1}``, each with its
    number as the value. ``"lookups"`` makes a source of the keys that are looked up, and of no others.
    """

    latency: float = 0.0
    key_latency: float = 0.0
    jitter: float = 0.0
    error_rate: float = 0.0
    seed: int = 0
    entries: dict[str, Any] | None = None
    table: Table | None = None
    keys: int | Literal["lookups"] | None = None


class KeyFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of lookups: one key a line, a log or a trace; what is not said is recognised by its first lines.

    ``format``, ``column``, ``field``, ``pattern``
        where the keys are, as in `async_backfill._runner.logs.recogniser.KeyPlace`.
    ``method``, ``status``
        which requests of a log count, such as ``GET`` and ``2xx``; an empty list is all.
    ``time``, ``size``, ``ttl``
        the columns of a table that say when a lookup came, in seconds, how large its object is, in bytes, and
        for how many seconds it is good.
    ``start``, ``until``
        the seconds after the first lookup between which lookups count; ``start`` is written ``from``.
    """

    file: str
    format: FormatName | None = None
    column: str | None = None
    field: str | None = None
    pattern: str | None = None
    method: list[str] = []
    status: list[str] = []
    time: str | None = None
    size: str | None = None
    ttl: str | None = None
    start: float | None = msgspec.field(name="from", default=None)
    until: float | None = None


class ZipfSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Zipf-distributed lookups: ``count`` lookups of ``keys`` keys, ``key_0`` to ``key_{N-1}``.

    The frequency of the key of rank r is proportional to ``1 / r ** exponent``; ``seed`` decides the ranks of
    the keys and the order of the lookups.
    """

    count: int
    keys: int
    exponent: float = 1.0
    seed: int = 0


class FileSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A source that reads a file from disk, through an index; the fields are those of `Table`."""

    file: str
    key: str
    value: str | None = None
    key_type: KeyTypeName | None = None
    columns: list[str] | None = None
    duplicates: Duplicates = "refuse"


class SQLSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A source that reads a table of a database; ``url`` may hold ``${NAME}``, an environment variable.

    ``key_type``
        as in `Table`.
    """

    url: str
    table: str
    key: str
    value: str | list[str]
    key_type: KeyTypeName | None = None
    db_schema: str | None = msgspec.field(name="schema", default=None)


class HTTPSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A source that reads a web service; ``url`` holds ``{key}``, and may hold ``${NAME}`` like `SQLSpec`."""

    url: str


class StoreSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A far tier (L2) in Redis or Valkey; ``url`` may hold ``${NAME}`` as in `SQLSpec`.

    ``namespace``
        the prefix of the entries; caches that share entries share it.
    ``leases``, ``invalidations``
        whether only one process at a time loads a key, and whether processes tell each other of changes.
    ``ttl``, ``timeout``
        as in `FarTier`.
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
Lookups: TypeAlias = list[str | int] | KeyFile | ZipfSpec


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One replay; file names are relative to the folder of the scenario file."""

    source: SourceSpec
    lookups: Lookups
    settings: Settings
    store: StoreSpec | None = None


def name_in_scenario(setting: str) -> str:
    """Return the place in a scenario, such as ``source.seed``, of ``setting``, a name of the library."""
    if setting in _OF_THE_SOURCE:
        return f"source.{setting}"
    return "backfill_evicts" if setting == "evicts" else setting


def kind_of(spec: SourceSpec) -> str:
    """Return the kind of ``spec``, as a scenario names it."""
    return _KINDS[type(spec)]


_KINDS: Final[Mapping[type, str]] = MappingProxyType(
    {
        MappingSpec: "mapping",
        TableSpec: "table",
        SimulatedSpec: "simulated",
        FileSpec: "file",
        SQLSpec: "sql",
        HTTPSpec: "http",
    }
)
