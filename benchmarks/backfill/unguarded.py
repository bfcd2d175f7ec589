"""The copy of this project without its guard, which overrules whatever is later than a page's read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.backfill import ours

if TYPE_CHECKING:
    from benchmarks.backfill.table import Place


async def copy(place: Place) -> int:
    """Copy the table; return the number of rows."""
    return await ours.copy(place, guard="none")
