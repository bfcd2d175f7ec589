"""What a job is told of a table: its rows, its columns, and how its database fares."""

from __future__ import annotations

import json
from decimal import Decimal
from hashlib import sha256
from numbers import Real
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from async_backfill._common.validation import text
from async_backfill.contracts import SourceFacts
from async_backfill.errors import ConfigurationError
from async_backfill.sources.sql._middle import middle_of
from async_backfill.sources.sql._rows import standard

if TYPE_CHECKING:
    from collections.abc import Mapping

    from async_backfill.sources.sql._cuts import Cuts
    from async_backfill.sources.sql._database import Database

_LARGE: Final = 100_000
_MOST_COUNTED: Final = 10_000_000

# Views have attributes, too.
_COLUMNS: Final = sa.text(
    """
    SELECT a.attname, format_type(a.atttypid, a.atttypmod)
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relname = :name AND coalesce(n.nspname = CAST(:schema AS text), pg_table_is_visible(c.oid))
    """
)
_COLUMNS_OF_SQLITE: Final = sa.text("SELECT name, type FROM pragma_table_info(:name)")
_COLUMNS_OF_A_SCHEMA: Final = sa.text("SELECT name, type FROM pragma_table_info(:name, :schema)")

# Who has replayed all that comes in lags behind by nothing, however long ago the last commit was.
_LAG: Final = sa.text(
    """
    SELECT CASE
        WHEN NOT pg_is_in_recovery() THEN NULL
        WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn()
            AND EXISTS (SELECT FROM pg_stat_wal_receiver) THEN 0.0
        ELSE greatest(0.0, coalesce(
            CAST(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) AS double precision),
            CAST('Infinity' AS double precision)
        ))
    END
    """
)


class TableFacts(SourceFacts):
    """The facts of a source over a table or view."""

    _database: Database
    _cuts: Cuts
    _column: sa.ColumnElement[Any]
    _columns: tuple[str, ...]

    async def count(self) -> tuple[int, str]:
        """Return the number of rows that have a key.

        PostgreSQL's estimate is taken for a table of 100,000 rows or more that was analyzed lately. Others
        are counted, up to 10 million; for more of them an estimate is taken in any case, if there is one.

        :raises QueryError: when the database refuses the query.
        :raises ConnectionError: when it is lost or cannot be reached.
        """
        known = await self._cuts.known()
        if known is not None and known.is_new and known.rows >= _LARGE:
            return known.rows, "estimated by the database"
        key = self._column.label("key")
        some = sa.select(key).where(self._column.is_not(None)).limit(_MOST_COUNTED + 1).subquery()
        ((found,),) = await self._database.ask(sa.select(sa.func.count()).select_from(some), {})
        if found <= _MOST_COUNTED:
            return found, "counted"
        if known is not None and known.rows > _MOST_COUNTED:
            return known.rows, "estimated by the database, whose statistics are old"
        return _MOST_COUNTED, "counted up to here, there are more"

    async def schema(self) -> str | None:
        """Return a fingerprint of the columns in use and their types, of PostgreSQL or SQLite.

        ``None`` for a subquery, and in another database. It raises the same errors as `count`.
        """
        table = self._cuts.table
        if table is None or not (self._database.is_postgres or self._database.is_sqlite):
            return None
        schema = table.schema and str(table.schema)
        asked: Mapping[str, Any] = {"name": str(table.name), "schema": schema}
        statement = _COLUMNS
        if self._database.is_sqlite:
            statement = _COLUMNS_OF_SQLITE if schema is None else _COLUMNS_OF_A_SCHEMA
            asked = {name: said for name, said in asked.items() if said is not None}
        fold = str if self._database.is_postgres else str.lower
        wanted = set(map(fold, self._columns))
        rows = await self._database.ask(statement, asked)
        columns = sorted([name, kind] for name, kind in rows if fold(name) in wanted)
        return sha256(json.dumps(columns).encode()).hexdigest()

    async def lag(self) -> float | None:
        """Return the seconds that a replica of PostgreSQL lags behind; ``None`` if it is none.

        Infinity says that it has replayed nothing since it started. It raises the same errors as `count`.
        """
        if not self._database.is_postgres:
            return None
        ((found,),) = await self._database.ask(_LAG, {})
        return None if found is None else float(found)

    async def load(self, query: str, /) -> float:
        """Return the number that ``query``, a statement of SQL, asks the database for.

        :raises ConfigurationError: when the answer is not one row with one number.
        """
        # A colon is no parameter here.
        statement = sa.text(text("load_query", query).replace(":", "\\:"))
        try:
            rows = await self._database.ask(statement, {})
        except ConfigurationError as error:  # it says "table" or "value"
            raise ConfigurationError("load_query", error.problem) from error
        if len(rows) != 1 or len(rows[0]) != 1:
            columns = len(rows[0]) if rows else 0
            problem = f"must ask for one row of one column, not {len(rows)} of {columns}"
            raise ConfigurationError("load_query", problem)
        found = rows[0][0]
        if isinstance(found, bool) or not isinstance(found, (Real, Decimal)):
            raise ConfigurationError("load_query", f"must ask for a number, not {found!r:.100}")
        return float(found)

    async def middle(self, after: object | None, until: object | None, /) -> object | None:
        """Return the mean of two keys that are whole numbers, dates, times or UUIDs; else ``None``.

        For an open end it asks for the smallest or the largest key. It raises the same errors as `count`.
        """
        low = await self._end(self._column.asc()) if after is None else after
        high = await self._end(self._column.desc()) if until is None else until
        return middle_of(low, high)

    async def _end(self, order: sa.UnaryExpression[Any]) -> object | None:
        # Not min() and max(): PostgreSQL before 18 has none of UUIDs.
        first = sa.select(self._column).where(self._column.is_not(None)).order_by(order).limit(1)
        rows = standard(await self._database.ask(first, {}))
        return rows[0][0] if rows else None
