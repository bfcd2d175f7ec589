"""A key in the middle between two others, by their values: no row is read for it."""

from __future__ import annotations

from datetime import date
from uuid import UUID


def middle_of(low: object, high: object) -> object | None:
    """Return the mean of two keys, if these are whole numbers, dates, times or UUIDs; else ``None``.

    A database orders those by their values, as Python does. ``None`` as well when nothing is between them.
    """
    middle: object | None = None
    match low, high:
        case bool(), _:
            pass
        case int(), int():
            middle = (low + high) // 2
        case UUID(), UUID():
            middle = UUID(int=(low.int + high.int) // 2)
        case date(), date() if type(low) is type(high):
            middle = low + (high - low) / 2
    return None if middle in {low, high} else middle
