"""A statement of the user's as a source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeAlias, cast

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

from async_backfill._common.validation import text
from async_backfill.contracts import K, V
from async_backfill.errors import ConfigurationError
from async_backfill.sources.sql._database import Database, query_keys_of
from async_backfill.sources.sql._rows import answer, maker, slices

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncEngine

AnyStatement: TypeAlias = "str | sa.Executable"


class StatementSource(Generic[K, V]):
    """Answers from a statement of the user's, whose first column is the key and whose others are the value.

    One other column is a bare value, several are a dict. What the statement does not return for a key does
    not exist. It cannot be scanned: give the cache the `SQLSource` of a table that has the keys.

    :param engine: where to ask; it stays the caller's.
    :param statement: SQL with ``IN :keys``; or a statement of SQLAlchemy's, which gets the keys as a list,
        for ``text("... = ANY(:keys)")`` or a ``bindparam("keys", expanding=True)``.
    :param bind: the name of the parameter that gets the keys.
    :param row: makes the value from the dict of the other columns.
    :param timeout: as for `SQLSource`.
    :param query_keys: as for `SQLSource`.
    :raises ConfigurationError: as for `SQLSource`.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        statement: AnyStatement,
        *,
        bind: str = "keys",
        row: Callable[[Mapping[str, Any]], V] | None = None,
        timeout: float | None = None,
        query_keys: int = 1000,
    ) -> None:
        self._database = Database(engine, timeout)
        self._query_keys = query_keys_of(query_keys)
        self._bind = text("bind", bind)
        self._row = row
        self._statement = _expanding(statement, bind) if isinstance(statement, str) else statement

    async def load_many(self, keys: Sequence[K], /) -> Mapping[K, V]:
        """Return what the statement returns for ``keys``.

        :raises QueryError: when the database refuses the statement.
        :raises ConnectionError: when it is lost or cannot be reached.
        """
        answers: dict[K, V] = {}
        for some in slices(self._database.possible(keys), self._query_keys):
            rows = await self._database.ask(self._statement, {self._bind: some})
            if rows:
                names = cast("sa.Row[Any]", rows[0])._fields[1:]
                if not names or len(set(names)) < len(names):
                    raise ConfigurationError("statement", "must return a key, then values of distinct names")
                make = maker(names, self._row, bare=len(names) == 1)
                answers.update(answer(rows, some, make, "the statement's first column"))
        return answers


def _expanding(statement: str, bind: str) -> sa.Executable:
    try:
        return sa.text(statement).bindparams(sa.bindparam(bind, expanding=True))
    except ArgumentError:
        raise ConfigurationError("statement", f"has no parameter :{bind} for the keys") from None
