"""A source that reads a table of an SQL database, with SQLAlchemy's async core; needs the extra ``sql``.

It needs asyncio. The extra brings asyncpg for PostgreSQL and aiosqlite for SQLite. No SQL is put together
from text: SQLAlchemy quotes the names of tables and columns, and keys travel as parameters.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Generic, Self, TypeAlias, cast

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from async_backfill._common.loose_types import K, V
from async_backfill._common.validation import text, whole
from async_backfill.contracts import NeedsAsyncio, Page, RowPage, Seconds
from async_backfill.errors import ConfigurationError
from async_backfill.sources._row_page import row_page
from async_backfill.sources.sql._cuts import Cuts
from async_backfill.sources.sql._database import Database, open_database, query_keys_of
from async_backfill.sources.sql._facts import TableFacts
from async_backfill.sources.sql._kinds import load_by_kind
from async_backfill.sources.sql._pages import Pages
from async_backfill.sources.sql._rows import answer, check_unique, maker, slices, standard, tried

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncEngine

    from async_backfill.outcomes import Failed
    from async_backfill.sources.sql._query import Rows


AnyTable: TypeAlias = "str | sa.FromClause"


class SQLSource(NeedsAsyncio, TableFacts, Generic[K, V]):
    """A source, scan and `Rows` over a table or view, in the order of its keys.

    A batch is one query, ``= ANY`` on PostgreSQL and ``IN`` elsewhere, or several of ``query_keys`` keys
    each. A page of a scan is one query that starts after the last key of the page before: it keeps no
    connection, and a row that exists during the whole scan is seen, whatever else changes. A query whose
    connection was lost is run once more on a new one; then it is a `ConnectionError`.

    Keys must have the type that the driver returns for the column, such as `uuid.UUID`. Keys of a type or
    size that the column cannot hold, such as 2**40 in an ``integer``, fail without the others of their batch;
    text that it cannot hold, such as a value that an enum has not, fails all text of its batch, unless
    ``LoadPolicy.split_failed`` is set.

    :param engine: the SQLAlchemy engine, which the caller closes; `connect` makes one from a URL.
    :param table: the name of a table or view, as the database writes it; or an SQLAlchemy ``Table``, with
        types that it converts, or subquery.
    :param key: the column that identifies a row: unique, best the primary key. NULL is not a key.
    :param value: the column that becomes the value, or several, which become a dict.
    :param row: a function that makes the value from the dict of the ``value`` columns.
    :param schema: the schema of a table given by name.
    :param timeout: seconds after which PostgreSQL itself stops a query (``statement_timeout``); best the
        timeout of the `LoadPolicy`. Other databases ignore it.
    :param query_keys: the largest number of keys in one query, 1 to 32,000.
    :raises ConfigurationError: when a setting is not allowed; from a load or a scan, when the database has
        no such table or column, or the key column is not unique.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        table: AnyTable,
        *,
        key: str,
        value: str | Sequence[str],
        row: Callable[[Mapping[str, Any]], V] | None = None,
        schema: str | None = None,
        timeout: Seconds | None = None,
        query_keys: int = 1000,
    ) -> None:
        self._database = Database(engine, timeout)
        self._query_keys = query_keys_of(query_keys)
        names = (text("value", value),) if isinstance(value, str) else tuple(value)
        if not names:
            raise ConfigurationError("value", "must name at least one column")
        self._make = maker(names, row, bare=isinstance(value, str))
        self._is_pair = row is None and isinstance(value, str)
        # A table given by name has no types that convert values.
        self._is_plain = isinstance(table, str)
        wanted = (text("key", key), *(text("value", name) for name in names))
        columns = _columns(table, wanted, schema)
        self._column = columns[0]
        self._columns = tuple(dict.fromkeys(wanted))
        self._name = f"{table if isinstance(table, str) else getattr(table, 'name', 'subquery')}.{key}"
        limit = sa.bindparam("limit", type_=sa.Integer())
        self._by_keys = sa.select(*columns).where(self._is_among_keys()).limit(limit)
        self._page = Pages(self._column, columns[:1], limit)
        self._row_page = Pages(self._column, columns, limit)
        self._cuts = Cuts(self._database, self._column, is_plain=self._is_plain)

    @classmethod
    @asynccontextmanager
    async def connect(
        cls,
        url: str | sa.URL,
        table: AnyTable,
        *,
        engine_options: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> AsyncIterator[Self]:
        """Make a source for ``async with``; its connections are closed at the end of the block.

        It only reads, so a file of SQLite that does not exist is not made, but refused.

        :param url: the URL of the database, as for `open_database`.
        :param engine_options: options of SQLAlchemy's ``create_async_engine``, such as ``pool_size``.
        :param settings: the settings of this class.
        :raises ConfigurationError: as the class and `open_database` do.
        """
        async with open_database(url, create=False, **(engine_options or {})) as engine:
            yield cls(engine, table, **settings)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._name})"

    async def load_many(self, keys: Sequence[K], /) -> Mapping[K, V | Failed]:
        """Return the values of those ``keys`` that the table has.

        A key fails alone when ``row`` raises for its row, or when the database found a row that has another
        key, which is equal to it only there.

        :raises QueryError: when the database refuses the query.
        :raises ConnectionError: when it is lost or cannot be reached.
        """
        answers: dict[K, V | Failed] = {}
        for some in slices(self._database.possible(keys), self._query_keys):
            answers.update(await load_by_kind(some, self._load))
        return answers

    async def _load(self, keys: list[K]) -> Mapping[K, V | Failed]:
        # One row more than keys is enough to tell that a key has several.
        rows = await self._database.ask(self._by_keys, {"keys": keys, "limit": len(keys) + 1})
        return answer(rows, keys, self._make, self._name)

    async def scan(self, cursor: object | None, limit: int, /) -> Page[K]:
        """Return up to ``limit`` keys after ``cursor``, which is the last key of the page before.

        :raises QueryError: when the database refuses the query.
        :raises ConnectionError: when it is lost or cannot be reached.
        """
        # No connection is kept between pages, so a lost one misses nothing: see decision 41 in notes.md.
        rows = standard(await self._database.ask(*self._page.after(cursor, limit)))
        keys = tuple(row[0] for row in rows)
        check_unique(keys, self._name)
        return Page(keys, keys[-1] if len(keys) == limit else None)

    async def rows(
        self, *, page: int = 5000, after: object | None = None, until: object | None = None
    ) -> AsyncIterator[RowPage[K, V]]:
        """Yield all keys with their values, in the database's order of the keys, as `Rows` promises.

        Only one page is in memory, and no connection is kept between two pages: a cursor in the server would
        be as quick, but ends with its connection. The promises of `scan` hold here too. After an error,
        continue with ``after`` as the last key received: nothing is missed, and nothing comes twice. The
        cursor of a page is its last key. A row of which ``row`` cannot make a value is in its ``failed``.

        :param page: the number of rows in one query, 1 or more.
        :param after: the key to continue after; ``None`` starts at the first.
        :param until: the key to end with, whether there is such a row or not; ``None`` ends at the last.
        :raises QueryError: when the database refuses the query.
        :raises ConnectionError: when it is lost or cannot be reached.
        """
        cursor = after
        size = whole("page", page, least=1)
        while True:
            statement = self._row_page.after(cursor, size, until=until)
            rows = standard(await self._database.ask(*statement, plain=self._is_plain))
            if rows:
                cursor = rows[-1][0]
                found = self._page_of(rows, cursor)
                if len(found) + len(found.failed) < len(rows):
                    check_unique([row[0] for row in rows], self._name)
                yield found
            if len(rows) < size:
                return

    async def cuts(self, shards: int, /) -> Sequence[object]:
        """Return the keys between ``shards`` ranges of about as many rows each, in the database's order.

        PostgreSQL knows them from its statistics, if these are new and fine enough. Else it takes a sample of
        300 blocks of the table a shard. Another database, a view and a subquery are read once, keys only. For
        one shard nothing is asked.

        :raises QueryError: when the database refuses the query.
        :raises ConnectionError: when it is lost or cannot be reached.
        """
        return await self._cuts.between(whole("shards", shards, least=1))

    def _page_of(self, rows: Rows, cursor: object) -> RowPage[K, V]:
        if self._is_pair:
            return RowPage(cast("Sequence[tuple[K, V]]", rows), cursor=cursor)
        return row_page({row[0]: tried(self._make, row) for row in rows}, cursor)

    def _is_among_keys(self) -> sa.ColumnElement[bool]:
        if not self._database.is_postgres:
            return self._column.in_(sa.bindparam("keys", expanding=True))
        if isinstance(self._column.type, sa.types.NullType):  # the server infers the type
            return self._column == sa.any_(sa.bindparam("keys"))
        return self._column == sa.any_(sa.bindparam("keys", type_=postgresql.ARRAY(self._column.type)))


def _columns(table: AnyTable, names: Sequence[str], schema: str | None) -> list[sa.ColumnElement[Any]]:
    if isinstance(table, str):
        distinct = dict.fromkeys(names)
        known = sa.table(text("table", table), *(sa.column(name) for name in distinct), schema=schema)
        return [known.c[name] for name in names]
    for name in names:
        if name not in table.c:
            there = ", ".join(table.c.keys())
            raise ConfigurationError("table", f"has no column {name!r}, only {there}")
    return [table.c[name] for name in names]
