"""What a statement of SQLAlchemy says that it changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy.orm import FromStatement
from sqlalchemy.sql.dml import UpdateBase

from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from sqlalchemy.orm import ORMExecuteState

    from async_backfill.contracts import K

_OPTION: Final = "invalidates"

ALL: Final = object()
"""In place of a key: every one."""


def said_by(state: ORMExecuteState, tables: frozenset[Any]) -> Sequence[Any]:
    """Return the keys that a statement says to change, of ``tables``.

    :raises ConfigurationError: when it changes rows of them, and does not say which.
    """
    if state.is_column_load or state.is_relationship_load:  # the session's own, and never a change
        return ()
    statement: Any = state.statement
    if isinstance(statement, FromStatement):
        statement = statement.element
    keys: list[Any] = []
    for part in _parts_of(statement):  # changes may also be in a SELECT, by `cte()`
        if isinstance(part, UpdateBase):
            changed: frozenset[Any] = tables.intersection(_parts_of(part.table))  # or it is an alias
            if changed:
                options = {**part.get_execution_options(), **state.execution_options}
                keys += _said(options.get(_OPTION), changed)
    return keys


def _parts_of(statement: Any) -> Collection[Any]:
    """Return all that ``statement`` is made of, once each.

    SQLAlchemy's own walk goes through a `cte()` as often as it is used, and that of those which it uses, too.
    """
    found: dict[int, Any] = {}  # by identity, and kept: else an identity may be that of another
    waiting = [statement]
    while waiting:
        part = waiting.pop()
        if id(part) not in found:
            found[id(part)] = part
            waiting += getattr(part, "get_children", tuple)()  # a `Sequence` has none
    return found.values()


def _said(keys: Any, changed: frozenset[Any]) -> Sequence[Any]:
    if keys is None:
        names = ", ".join(sorted(repr(table.name) for table in changed))
        raise ConfigurationError(
            _OPTION,
            f"a statement changes rows of {names}, and it is not known which; add "
            "execution_options(invalidates=[...]) with their keys, [] for none, or 'all'",
        )
    return [ALL] if keys == "all" else several(keys)


def several(keys: Iterable[K]) -> tuple[K, ...]:
    """Return ``keys``; a text is refused, as one key in place of several."""
    if isinstance(keys, (str, bytes)) or not hasattr(keys, "__iter__"):
        raise ConfigurationError("keys", f"{keys!r} is one key or none; return a list, such as [product.id]")
    return tuple(keys)
