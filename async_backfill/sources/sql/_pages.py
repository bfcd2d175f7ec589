"""Statements for keyset pagination: the page of rows after a key, never OFFSET."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Pages:
    """Statements for the pages of rows between two keys, which may both be open."""

    def __init__(
        self,
        key: sa.ColumnElement[Any],
        columns: Sequence[sa.ColumnElement[Any]],
        limit: sa.BindParameter[int],
    ) -> None:
        every = sa.select(*columns).where(key.is_not(None)).order_by(key).limit(limit)
        is_after, is_until = key > sa.bindparam("cursor"), key <= sa.bindparam("until")
        self._open = every, every.where(is_until)
        self._next = every.where(is_after), every.where(is_after, is_until)

    def after(
        self, cursor: object | None, limit: int, *, until: object | None = None
    ) -> tuple[sa.Executable, Mapping[str, Any]]:
        """Return the statement for the page after ``cursor``, and its parameters; none is after ``until``."""
        given = {"cursor": cursor, "until": until}
        statement = (self._open if cursor is None else self._next)[until is not None]
        return statement, {"limit": limit, **{name: key for name, key in given.items() if key is not None}}
