"""The rows of a source, read in ranges: what a copy of a whole source is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from async_backfill.contracts._types import K, V

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

    from async_backfill.outcomes import Failed


class RowPage(dict[K, V]):
    """A page of rows: a dict of their values by key, in their order, which knows where it ends.

    It compares as the dict that it is.

    :param rows: the values by key, or pairs of both.
    :param cursor: the place right behind the last row of the page, as `Rows` describes it.
    :param failed: the rows whose value could not be made, by key; they are not among the items.
    """

    # A dict, so that whoever takes mappings takes pages: see the decision on pages of ranges in notes.md.

    __slots__ = ("cursor", "failed")

    cursor: object
    failed: Mapping[K, Failed]

    def __init__(
        self,
        rows: Mapping[K, V] | Iterable[tuple[K, V]] = (),
        /,
        *,
        cursor: object,
        failed: Mapping[K, Failed] | None = None,
    ) -> None:
        super().__init__(rows)
        self.cursor = cursor
        self.failed = {} if failed is None else failed


class Rows(Protocol[K, V]):
    """The ability of some sources to read all their rows, in ranges, in an order of their own.

    A *cursor* is a place between two rows, right behind one of them. Order and comparison are the source's:
    nobody else compares keys or cursors. A cursor is of types that a key may have, such as text, a number or
    a tuple of these, so it can be kept, and used with the same source in another process.
    """

    def rows(
        self, *, after: object | None = None, until: object | None = None, page: int = 5000
    ) -> AsyncIterator[RowPage[K, V]]:
        """Yield the rows between the cursors ``after`` and ``until``, in pages of 1 to ``page`` rows.

        The row at ``after`` does not come, the one at ``until`` does. ``None`` is no bound: then rows come
        that were not there when a cursor was made. A row that exists all the time comes exactly once,
        whatever is added, changed or removed meanwhile, the rows at the cursors included. Each page is read
        when it is asked for, not before. After an error, continue behind the cursor of the last page.
        """
        ...

    async def cuts(self, shards: int, /) -> Sequence[object]:
        """Return the cursors between ``shards`` ranges of about as many rows each, in the source's order.

        They are ``shards`` - 1 or fewer, such as none when there are hardly any rows or nothing is known of
        them. The ranges are ``None`` to the first, each to the next, and the last to ``None``.
        """
        ...
