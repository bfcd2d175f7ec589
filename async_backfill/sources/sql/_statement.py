"""A source that runs a given SQL statement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeAlias, cast

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

from async_backfill._common.loose_types import K, V
from async_backfill._common.validation import text
from async_backfill.contracts import NeedsAsyncio
from async_backfill.errors import ConfigurationError
from async_backfill.sources.sql._database import Database, query_keys_of
from async_backfill.sources.sql._kinds import load_by_kind
from async_backfill.sources.sql._rows import answer, maker, slices

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncEngine

    from async_backfill.contracts import Seconds
    from async_backfill.outcomes import Failed

AnyStatement: TypeAlias = "str | sa.Executable"


class StatementSource(NeedsAsyncio, Generic[K, V]):
    """A source that runs ``statement``: its first column is the key, the other columns are the value.

    One other column is a bare value, several are a dict. A key for which the statement returns no row does
    not exist. This source cannot be scanned: use the `SQLSource` of a table with the keys as the scan.

    :param engine: the SQLAlchemy engine, which the caller closes.
    :param statement: SQL with ``IN :keys``; or an SQLAlchemy statement, which gets the keys as a list, for
        ``text("... = ANY(:keys)")`` or a ``bindparam("keys", expanding=True)``.
    :param bind: the name of the parameter for the keys.
    :param row: a function that makes the value from the dict of the other columns.
    :param timeout: the timeout of a query, as for `SQLSource`.
    :param query_keys: the largest number of keys in one query, as for `SQLSource`.
    :raises ConfigurationError: as for `SQLSource`.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        statement: AnyStatement,
        *,
        bind: str = "keys",
        row: Callable[[Mapping[str, Any]], V] | None = None,
        timeout: Seconds | None = None,
        query_keys: int = 1000,
    ) -> None:
        self._database = Database(engine, timeout)
        self._query_keys = query_keys_of(query_keys)
        self._bind = text("bind", bind)
        self._row = row
        self._statement = _expanding(statement, bind) if isinstance(statement, str) else statement

    async def load_many(self, keys: Sequence[K], /) -> Mapping[K, V | Failed]:
        """Return the values of those ``keys`` for which the statement returns a row.

        A key fails alone when ``row`` raises for its row, or when the database found a row that has another
        key, which is equal to it only there.

        :raises QueryError: when the database refuses the statement.
        :raises ConnectionError: when it is lost or cannot be reached.
        """
        answers: dict[K, V | Failed] = {}
        for some in slices(self._database.possible(keys), self._query_keys):
            answers.update(await load_by_kind(some, self._load))
        return answers

    async def _load(self, keys: list[K]) -> Mapping[K, V | Failed]:
        rows = await self._database.ask(self._statement, {self._bind: keys})
        if not rows:
            return {}
        names = cast("sa.Row[Any]", rows[0])._fields[1:]
        if not names or len(set(names)) < len(names):
            raise ConfigurationError(
                "statement", "must return a key, then one or more values with distinct names"
            )
        make = maker(names, self._row, bare=len(names) == 1)
        return answer(rows, keys, make, "the statement's first column")


def _expanding(statement: str, bind: str) -> sa.Executable:
    try:
        return sa.text(statement).bindparams(sa.bindparam(bind, expanding=True))
    except ArgumentError:
        raise ConfigurationError("statement", f"must have a parameter :{bind} for the keys") from None
