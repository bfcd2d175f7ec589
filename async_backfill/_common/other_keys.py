"""Answers under keys that nobody asked for, while some that were asked for are missing.

Nobody can tell whether a missing key does not exist, or whether the answer calls it by another name: ``"1"``
for ``1``, or ``"Ada"`` for ``"ada"``. To take it for absent would hide the row for good, so it has failed.
"""

from __future__ import annotations

import reprlib
from itertools import islice
from typing import TYPE_CHECKING, Final

from async_backfill.outcomes import Failed

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Iterable

    from async_backfill.contracts import K

_LOOKED_AT: Final = 1000


def failures(
    keys: Iterable[K],
    answered: Collection[Hashable],
    error: Callable[[str], Exception],
) -> dict[K, Failed]:
    """Return a failure for each of ``keys`` that is not among ``answered``, which has others instead.

    Nothing is returned when all of ``answered`` were asked for.

    :param error: makes the error of one key; it is told which key came instead of which one, and how the two
        differ.
    """
    asked = tuple(keys)
    known = set(asked)
    by_look: dict[object, Hashable] = {}
    for other in islice((key for key in answered if key not in known), _LOOKED_AT):
        by_look.setdefault(_look(other), other)
        by_look.setdefault(type(other), other)
    if not by_look:
        return {}
    first = next(iter(by_look.values()))
    failed: dict[K, Failed] = {}
    for key in asked:
        if key not in answered:
            other = by_look.get(_look(key), by_look.get(type(key), first))
            failed[key] = Failed(error(f"{shown(other)} instead of {shown(key)}{_difference(key, other)}"))
    return failed


def _difference(key: Hashable, other: Hashable) -> str:
    """Return how two keys differ that are not equal, in parentheses; nothing when that is plain to see."""
    how = ""
    if type(key) is not type(other):
        how = f"a {type(other).__name__}, not a {type(key).__name__}"
    elif (_zone(key) is None) is not (_zone(other) is None):
        how = "only one of them has a time zone"
    elif isinstance(key, str) and isinstance(other, str):
        if key.strip() == other.strip():
            how = "they differ in the spaces around them"
        elif key.casefold() == other.casefold():
            how = "they differ in upper and lower case"
    elif isinstance(key, float) and key != key:  # noqa: PLR0124 - NaN
        how = "NaN is not equal to itself"
    return f" ({how})" if how else ""


def _zone(key: Hashable) -> object:
    return getattr(key, "tzinfo", None)


def shown(key: Hashable) -> str:
    """Return ``key`` in a few characters, whatever its class does."""
    try:
        return reprlib.repr(key)
    except Exception:  # noqa: BLE001 - a class of the user's
        return f"a {type(key).__name__}"


def _look(key: Hashable) -> str:
    try:
        return str(key).strip().casefold()
    except Exception:  # noqa: BLE001 - a class of the user's
        return ""
