"""Rows from places spread over a whole source: what a plan, a dry run and a sample look at."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from async_backfill._jobs._calls import answer, first_page
from async_backfill._jobs._errors import JobError
from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from async_backfill.contracts import K, RowPage, Rows, V

_SMALLER: Final = 4
_MOST_OF_A_PAGE: Final = 1000


async def cuts_of(rows: Rows[Any, Any], shards: int, seconds: float) -> Sequence[object]:
    """Return the cursors between up to ``shards`` ranges: fewer when they are not found in ``seconds``.

    None when even a few are not found: then there is one range, which is right as well.

    :raises JobError: when a setting of the source is wrong.
    """
    while shards > 1:
        try:
            return await answer(
                partial(rows.cuts, shards), seconds, "the source could not be cut into shards"
            )
        except JobError as error:
            if isinstance(error.__cause__, ConfigurationError):
                raise
            shards //= _SMALLER
    return ()


def ranges(
    cuts: Sequence[object], until: object | None = None
) -> Sequence[tuple[object | None, object | None]]:
    """Return the ranges between ``cuts``, the last of them to ``until``."""
    return tuple(pairwise((None, *cuts, until)))


async def spread(
    rows: Rows[K, V],
    places: Sequence[tuple[object | None, object | None]],
    wanted: int,
    seconds: float,
    *,
    attempts: int = 1,
) -> AsyncGenerator[RowPage[K, V], None]:
    """Yield pages of about ``wanted`` rows in all, as many from each of the ``places``.

    :raises JobError: when a page cannot be read in ``seconds``.
    """
    share = -(-wanted // len(places))
    for begin, end in places:
        after, left = begin, share
        while left > 0:
            size = min(left, _MOST_OF_A_PAGE)
            page = await first_page(rows, after, end, size, seconds, attempts)
            if page is None:
                break
            yield page
            after, left = page.cursor, left - len(page) - len(page.failed)
