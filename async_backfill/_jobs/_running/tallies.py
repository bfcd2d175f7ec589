"""The counts of a page as the state keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from async_backfill._jobs._packing import pack_or_text
from async_backfill._jobs._records import JobCounts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from async_backfill.warming._progress import Tally


def counted(
    tally: Tally[Any], *, hidden: Callable[[str], str], before: JobCounts | None = None
) -> tuple[JobCounts, Sequence[tuple[bytes, str]]]:
    """Return the counts of ``tally``, less those of ``before``, and the dead rows, packed, with their errors.

    A row that the store cannot keep, such as one that is too large, is a dead one: it is kept with its error,
    and can be tried again.

    :param hidden: returns the text of an error without secrets.
    """
    before = before or JobCounts()
    dead = [(pack_or_text(key), hidden(why)) for key, why in tally.progress().bad.items()]
    counts = JobCounts(
        read=tally.read - before.read,
        kept=tally.kept - before.kept,
        newer=tally.newer - before.newer,
        leased=tally.leased - before.leased,
        dead=tally.dead + tally.rejected,
    )
    return counts, dead
