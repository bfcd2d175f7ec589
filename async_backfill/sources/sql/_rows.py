"""Turn the rows of a query, whose first cell is the key, into values by key."""

from __future__ import annotations

import reprlib
from itertools import islice
from numbers import Number
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast
from uuid import UUID

from async_backfill._common.other_keys import failures
from async_backfill.errors import ConfigurationError
from async_backfill.outcomes import Failed

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

    from async_backfill.contracts import K, V

T = TypeVar("T")

_COMPARES: Final = (
    "the database found {}: it compares {} otherwise than Python does; ask for keys as they are stored, or "
    "change the collation or the type of the column"
)


def slices(items: Sequence[T], size: int) -> Iterator[list[T]]:
    """Yield ``items`` in order, in lists of at most ``size``."""
    left = iter(items)
    while some := list(islice(left, size)):
        yield some


def maker(
    names: Sequence[str], row: Callable[[Mapping[str, Any]], V] | None, *, bare: bool
) -> Callable[[Sequence[Any]], V]:
    """Return a function that makes the value from the cells of the columns ``names``.

    The value is the result of ``row`` for a dict of the cells; without ``row``, the dict itself, or with
    ``bare`` the only cell.
    """
    if row is not None:
        return lambda cells: row(dict(zip(names, cells, strict=True)))
    if bare:
        return lambda cells: cast("V", cells[0])
    return lambda cells: cast("V", dict(zip(names, cells, strict=True)))


def tried(make: Callable[[Sequence[Any]], V], row: Sequence[Any]) -> V | Failed:
    """Return what ``make`` makes of the cells of ``row`` behind its key; its error as a `Failed`."""
    try:
        return make(row[1:])
    except Exception as error:  # noqa: BLE001 - the user's code; it is the failure of this row
        error.add_note(f"raised by row() for the key {reprlib.repr(row[0])}")
        return Failed(error)


def answer(
    rows: Sequence[Sequence[Any]], keys: Sequence[K], make: Callable[[Sequence[Any]], V], name: str
) -> dict[K, V | Failed]:
    """Return the value of each row by its key, for a query for ``keys``; a row that cannot be made fails.

    A key without a row has failed when the database found rows that have other keys: it compares otherwise
    than Python, and nobody can tell whether one of them is meant.

    :param name: the name of the key column, for errors.
    :raises ConfigurationError: when a key has several rows, or the keys in the rows have another type than
        ``keys``, which would make all of them look absent.
    """
    rows = standard(rows)
    found = [row[0] for row in rows]
    check_unique(found, name)
    asked = set(keys)
    others = [key for key in found if key not in asked]
    for key in others:
        if not any(_are_alike(key, other) for other in asked):
            problem = f"{name} holds {type(key).__name__} keys, such as {reprlib.repr(key)}"
            raise ConfigurationError("key", f"{problem}; the query asked for {reprlib.repr(keys[0])}")
    answers: dict[K, V | Failed] = {row[0]: tried(make, row) for row in rows}
    if others:
        answers = {key: answers[key] for key in answers if key in asked}
        answers.update(failures(keys, found, lambda which: LookupError(_COMPARES.format(which, name))))
    return answers


def standard(rows: Sequence[Sequence[Any]]) -> Sequence[Sequence[Any]]:
    """Return ``rows`` with `uuid.UUID` in place of asyncpg's own subclass of it, also inside of arrays.

    A value must have the same type whoever answers, and what came back from a far tier would be a plain one.
    """
    # The cells of a column have one type, or are NULL: mostly one look at the first row is enough.
    if not rows or not any(cell is None or isinstance(cell, UUID | list) for cell in rows[0]):
        return rows
    kinds = set().union(*(map(type, row) for row in rows))
    if list not in kinds and all(kind is UUID or not issubclass(kind, UUID) for kind in kinds):
        return rows
    return [[_standard(cell) for cell in row] for row in rows]


def _standard(cell: Any) -> Any:
    if isinstance(cell, UUID) and type(cell) is not UUID:
        return UUID(bytes=cell.bytes)
    return [_standard(part) for part in cell] if type(cell) is list else cell


def check_unique(keys: Sequence[Hashable], name: str) -> None:
    """Check that no key appears twice.

    :raises ConfigurationError: when one does; names the first.
    """
    if len(set(keys)) == len(keys):
        return
    seen: set[Hashable] = set()
    for key in keys:
        if key in seen:
            raise ConfigurationError("key", f"{name} is not unique: {reprlib.repr(key)} has several rows")
        seen.add(key)


def _are_alike(key: Hashable, other: Hashable) -> bool:
    # 1 is 1.0 and Decimal(1), and a driver may ask for 2 in place of 2.5.
    are_numbers = isinstance(key, Number) and isinstance(other, Number)
    return are_numbers or isinstance(key, type(other)) or isinstance(other, type(key))
