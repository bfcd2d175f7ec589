"""From the rows of a query, which start with their key, to the answer for the keys it was asked for."""

from __future__ import annotations

import reprlib
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar, cast

from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

    from async_backfill.contracts import K, V

T = TypeVar("T")


def slices(items: Sequence[T], size: int) -> Iterator[list[T]]:
    """Return ``items`` in their order, at most ``size`` of them at a time."""
    left = iter(items)
    while some := list(islice(left, size)):
        yield some


def maker(
    names: Sequence[str], row: Callable[[Mapping[str, Any]], V] | None, *, bare: bool
) -> Callable[[Sequence[Any]], V]:
    """Return what makes the value from the cells of the columns ``names``.

    It is what ``row`` makes of them as a dict; without one, the dict itself, or the one ``bare`` cell.
    """
    if row is not None:
        return lambda cells: row(dict(zip(names, cells, strict=True)))
    if bare:
        return lambda cells: cast("V", cells[0])
    return lambda cells: cast("V", dict(zip(names, cells, strict=True)))


def answer(
    rows: Sequence[Sequence[Any]], keys: Sequence[K], make: Callable[[Sequence[Any]], V], name: str
) -> dict[K, V]:
    """Return the value of each row by its key, for a query that was asked for ``keys``.

    :param name: the column of the keys, for errors.
    :raises ConfigurationError: when a key has several rows, or the keys have another type than those that
        were asked for, which would make all of them look absent.
    """
    found = [row[0] for row in rows]
    check_unique(found, name)
    asked = set(keys)
    for key in found:
        if key not in asked and not any(_are_alike(key, other) for other in asked):
            problem = f"{name} holds {type(key).__name__} keys, such as {reprlib.repr(key)}"
            raise ConfigurationError("key", f"{problem}; it was asked for {reprlib.repr(keys[0])}")
    return {row[0]: make(row[1:]) for row in rows}


def check_unique(keys: Sequence[Hashable], name: str) -> None:
    """Make sure that no key is there twice; the first that is, is named.

    :raises ConfigurationError: when one is.
    """
    if len(set(keys)) == len(keys):
        return
    seen: set[Hashable] = set()
    for key in keys:
        if key in seen:
            raise ConfigurationError("key", f"{name} is not unique: {reprlib.repr(key)} has several rows")
        seen.add(key)


def _are_alike(key: Hashable, other: Hashable) -> bool:
    return isinstance(key, type(other)) or isinstance(other, type(key))
