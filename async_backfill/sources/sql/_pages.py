"""Statements for keyset pagination: the page of rows after a key, never OFFSET."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Pages:
    """A pair of statements: for the first page, and for the page after a key."""

    def __init__(
        self,
        key: sa.ColumnElement[Any],
        columns: Sequence[sa.ColumnElement[Any]],
        in_order: tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]],
        limit: sa.BindParameter[int],
    ) -> None:
        is_key, is_after = in_order
        self._first = sa.select(*columns).where(is_key).order_by(key).limit(limit)
        self._next = self._first.where(is_after)

    def after(self, cursor: object | None, limit: int) -> tuple[sa.Executable, Mapping[str, Any]]:
        """Return the statement for the page after ``cursor``, and its parameters."""
        if cursor is None:
            return self._first, {"limit": limit}
        return self._next, {"cursor": cursor, "limit": limit}
