"""Cut a table into shards: ranges of keys with about as many rows each, without comparing a key here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy.types import UserDefinedType

from async_backfill.sources.sql._rows import standard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_backfill.sources.sql._database import Database

_SAMPLES: Final = 300  # keys, or blocks, a shard: sizes are within 6 % (one sigma) of their mean
_MOST_SAMPLES: Final = 3_000_000
_UNEVEN: Final = 1.2  # the largest shard, in means, that the steps of a histogram may make
_CHANGED: Final = 0.1  # the share of rows that PostgreSQL itself takes for a reason to analyze a table

# What PostgreSQL knows of a table: one row, none when there is no such table. Partitions are its children.
_KNOWN: Final = sa.text(
    """
    SELECT c.relkind IN ('r', 'm', 'p') AS has_blocks,
        coalesce((SELECT sum(pg_relation_size(p.relid)) FROM pg_partition_tree(c.oid) p),
            pg_relation_size(c.oid)) / current_setting('block_size')::int AS blocks,
        c.relpages, c.reltuples, coalesce(pg_stat_get_mod_since_analyze(c.oid), 0) AS changed,
        format_type(a.atttypid, a.atttypmod) AS kind, array_length(h.bounds, 1) AS bounds,
        n.nspname AS schemaname, c.relname AS tablename
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = :key AND NOT a.attisdropped
    LEFT JOIN LATERAL (
        SELECT s.histogram_bounds::text::text[] AS bounds FROM pg_stats s
        WHERE s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = a.attname
            AND s.most_common_vals IS NULL AND NOT s.inherited
    ) h ON true
    WHERE c.relname = :name
        AND coalesce(n.nspname = CAST(:schema AS text), pg_table_is_visible(c.oid))
    """
)

_STATS: Final = sa.table(
    "pg_stats",
    *map(sa.column, ("schemaname", "tablename", "attname", "inherited", "histogram_bounds")),
    schema="pg_catalog",
)


class _ArrayOf(UserDefinedType[Any]):
    """An array of a type, by the name that the server itself gave it."""

    cache_ok = True

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def get_col_spec(self, **_: object) -> str:
        return f"{self.kind}[]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What PostgreSQL knows of a table.

    ``rows``
        its estimate of the rows, for as many ``blocks`` as there are now; 0 without one.
    ``is_new``
        whether hardly anything was changed since the table was analyzed.
    ``kind``, ``bounds``
        the type of the key, and the number of bounds of its histogram, if there is one.
    ``names``
        its schema and its name.
    """

    blocks: int
    rows: int
    is_new: bool
    kind: str
    bounds: int | None
    names: Sequence[str]


class Cuts:
    """The cuts of the table of a key column."""

    def __init__(self, database: Database, key: sa.ColumnElement[Any], *, is_plain: bool) -> None:
        self._database = database
        self._key = key
        self._is_plain = is_plain
        table = key.table if isinstance(key, sa.ColumnClause) else None
        self.table = table if isinstance(table, sa.TableClause) else None
        """The table or view, if it is no subquery."""

    async def between(self, shards: int) -> Sequence[object]:
        """Return up to ``shards`` - 1 keys, in the database's order."""
        if shards == 1:
            return ()
        statement = await self._by_postgres(shards) if self._database.is_postgres else None
        if statement is None:
            statement = _quantiles(self._key, shards)
        rows = standard(await self._database.ask(statement, {}, plain=self._is_plain))
        return tuple(row[0] for row in rows)

    async def _by_postgres(self, shards: int) -> sa.Executable | None:
        """Return the statement that costs the server least; ``None`` when it knows nothing of the table."""
        known = await self.known()
        if known is None or self.table is None:
            return None
        blocks, kind, bounds, names = known.blocks, known.kind, known.bounds, known.names
        if known.is_new and bounds is not None and _largest(bounds - 1, shards) <= _UNEVEN:
            places = [(bounds - 1) * cut // shards + 1 for cut in range(1, shards)]
            return _of_histogram(self._key, kind, names, places)
        # A block has many rows, and in the order of the table they are neighbours: blocks count, not rows.
        share = 100.0 * min(1.0, _SAMPLES * shards / max(1, blocks))
        sampled = sa.tablesample(self.table, sa.func.system(share))
        return _quantiles(sampled.c[str(self._key.key)], shards)

    async def known(self) -> Known | None:
        """Return what PostgreSQL knows of the table; ``None`` of a view or subquery, or elsewhere."""
        if self.table is None or not self._database.is_postgres:
            return None
        table = {"name": self.table.name, "schema": self.table.schema}
        asked = {name: said and str(said) for name, said in {**table, "key": self._key.name}.items()}
        found = await self._database.ask(_KNOWN, asked)
        if not found or not found[0][0]:
            return None
        _, blocks, analyzed_blocks, rows, changed, kind, bounds, *names = found[0]
        blocks = int(blocks)
        is_new = blocks <= analyzed_blocks * (1 + _CHANGED) and changed <= rows * _CHANGED
        grown = blocks / analyzed_blocks if analyzed_blocks > 0 else 0.0
        return Known(
            blocks=blocks, rows=round(rows * grown), is_new=is_new, kind=kind, bounds=bounds, names=names
        )


def _largest(steps: int, shards: int) -> float:
    """Return the size of the largest of ``shards`` that are made of whole ``steps``, in means."""
    return -(-steps // shards) * shards / steps if 0 < shards <= steps else float("inf")


def _of_histogram(
    key: sa.ColumnElement[Any], kind: str, table: Sequence[str], places: Sequence[int]
) -> sa.Executable:
    """Return a statement for the keys at ``places`` of the histogram of ``table``: its schema and name."""
    # The column has no type that a client can read: through text it becomes an array of keys.
    typed = sa.cast(sa.cast(_STATS.c.histogram_bounds, sa.Text), _ArrayOf(kind))
    bounds = sa.func.unnest(typed).table_valued("key", with_ordinality="place").render_derived()
    schema, name = table
    is_of_key = (
        _STATS.c.schemaname == schema,
        _STATS.c.tablename == name,
        _STATS.c.attname == key.name,
        _STATS.c.inherited.is_(sa.false()),
    )
    place = bounds.c.place
    return (
        sa.select(sa.type_coerce(bounds.c.key, key.type))
        .select_from(_STATS.join(bounds, sa.true()))
        .where(*is_of_key, place.in_(places))
        .order_by(place)
    )


def _quantiles(key: sa.ColumnElement[Any], shards: int) -> sa.Executable:
    """Return a statement for the cuts of a random sample of keys; it reads each key once, and keeps few."""
    most = min(_SAMPLES * shards, _MOST_SAMPLES)
    some = sa.select(key.label("key")).where(key.is_not(None)).order_by(sa.func.random()).limit(most)
    picked = some.subquery("picked")
    number = sa.func.row_number().over(order_by=picked.c.key).label("number")
    ranked = sa.select(picked.c.key, number, sa.func.count().over().label("found")).subquery("ranked")
    at, found = ranked.c.number, ranked.c.found
    is_cut = (at * shards) // found > ((at - 1) * shards) // found
    return sa.select(ranked.c.key).where(at < found, is_cut).order_by(at)
