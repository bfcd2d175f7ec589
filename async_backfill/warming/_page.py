"""A page of rows on its way to the store, and a sample of the rows that the store kept."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final, Generic

from async_backfill.contracts import K, RowPage, V

if TYPE_CHECKING:
    from collections.abc import Mapping

    from async_backfill.contracts import Kept
    from async_backfill.outcomes import Failed

_OF_A_PAGE: Final = 5
_MOST_SAMPLED: Final = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[K, V]):
    """Rows, the time before their read began, and how long they are kept.

    ``end`` is what a copy resumes after when all of them are dealt with, ``failed`` are rows that could not
    be read.
    """

    rows: Mapping[K, V]
    read_at: float
    ttl: float | None
    end: object
    failed: Mapping[K, Failed]


def page_of(rows: Mapping[K, V], read_at: float, ttl: float | None) -> Page[K, V] | None:
    """Return the page of ``rows``; ``None`` when there is nothing in it."""
    if isinstance(rows, RowPage):
        end, failed = rows.cursor, rows.failed
    else:
        end, failed = next(iter(deque(rows, maxlen=1)), None), {}
    if not rows and not failed:
        return None
    return Page(rows=rows, read_at=read_at, ttl=ttl, end=end, failed=failed)


class Sample(Generic[K, V]):
    """Some rows that the store kept, spread evenly over the copy."""

    def __init__(self) -> None:
        self._rows: list[tuple[K, float]] = []
        self._every = 1
        self._pages = 0

    def add(self, page: Page[K, V], kept: Kept[K]) -> None:
        """Take a few rows of ``page`` that were ``kept``."""
        self._pages += 1
        if self._pages % self._every or not kept.kept:
            return
        left = {*kept.newer, *kept.leased, *kept.rejected}
        until = math.inf if page.ttl is None else page.read_at + page.ttl
        step = max(1, len(page.rows) // _OF_A_PAGE)
        taken = [key for key in islice(page.rows, 0, None, step) if key not in left]
        self._rows.extend((key, until) for key in taken[:_OF_A_PAGE])
        if len(self._rows) > _MOST_SAMPLED:
            del self._rows[::2]
            self._every *= 2

    def living(self, now: float) -> list[K]:
        """Return the keys whose time is not over."""
        return list(dict.fromkeys(key for key, until in self._rows if until > now))
