"""The keys of a far store, one page after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from async_backfill.contracts._types import K_co

if TYPE_CHECKING:
    from async_backfill.contracts._sources import Page


class KeyListing(Protocol[K_co]):
    """The ability of some far stores to list the keys that they hold.

    A store that inherits from this class is asked for keys that have no row any more, when a job is verified.
    """

    async def list_keys(self, cursor: object | None, limit: int, /) -> Page[K_co]:
        """Return some keys after ``cursor``, about ``limit``; ``None`` starts at the first.

        A key that the store holds all the time comes, perhaps more than once; one that was removed lately
        may come as well. A key that is too long to be kept whole, or of a class that the store was not given,
        does not come. Only the store that made a cursor can interpret it; ``None`` is the end.
        """
        ...
