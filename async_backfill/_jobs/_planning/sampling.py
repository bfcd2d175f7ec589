"""Look at rows from all over a source: what they take in the store, and what it has of them."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic

from async_backfill._jobs._calls import copies_of
from async_backfill._jobs._planning.packed import packed
from async_backfill._jobs._planning.places import spread
from async_backfill.contracts import K, V

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from async_backfill._jobs._ends import JobEnds
    from async_backfill._jobs._planning.packed import Packed
    from async_backfill.contracts import FarCopy, RowPage


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled(Generic[K, V]):
    """A page of rows, how they pack, and the copies of them that the store has."""

    page: RowPage[K, V]
    packed: Packed[K]
    copies: Mapping[K, FarCopy[V]]

    @property
    def looked(self) -> int:
        """The number of rows, those included that could not be made."""
        return len(self.page) + len(self.page.failed)


async def sample(
    ends: JobEnds[K, V], places: Sequence[tuple[object | None, object | None]], wanted: int, seconds: float
) -> AsyncGenerator[Sampled[K, V], None]:
    """Yield about ``wanted`` rows in all, as many from each of the ``places``; nothing is written.

    :raises JobError: when an end cannot be read in ``seconds``.
    """
    async with aclosing(spread(ends.rows, places, wanted, seconds)) as pages:
        async for page in pages:
            copies = await copies_of(ends.store, tuple(page), seconds) if page else {}
            yield Sampled(page=page, packed=packed(ends.store, page), copies=copies)
