"""What a cache reads from: a source, and the ability to list its keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol

from async_backfill.contracts._types import K, K_co, V_co

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from async_backfill.outcomes import Failed


class Source(Protocol[K, V_co]):
    """Where the truth is."""

    async def load_many(self, keys: Sequence[K], /) -> Mapping[K, V_co | Failed]:
        """Return the values of ``keys``; a key missing from the answer does not exist.

        ``keys`` are distinct and at least one. ``None`` is a value. A key whose value is a
        `async_backfill.outcomes.Failed` failed alone; an exception fails all of them. Keys that
        were not asked for are ignored.
        """
        ...


@dataclass(frozen=True, slots=True)
class Page(Generic[K_co]):
    """Some keys of a source, and the cursor that the next page starts after; ``None`` ends the scan."""

    keys: Sequence[K_co]
    cursor: object | None


class Scan(Protocol[K_co]):
    """The ability of some sources to list their keys in a stable order."""

    async def scan(self, cursor: object | None, limit: int, /) -> Page[K_co]:
        """Return up to ``limit`` keys after ``cursor``; ``None`` starts at the first key.

        A cursor means something to the source that made it, and to nobody else.
        """
        ...
