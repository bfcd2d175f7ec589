"""Coverage: what share of the keys that were hot has been cached since the cache was last empty."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic

from anyio.lowlevel import checkpoint

from async_backfill.contracts import K

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_LOOKS: Final = 1000
"""Keys looked at in one step: about a millisecond."""


class Coverage(Generic[K]):
    """Counts the keys of ``wanted`` that have been cached, and those that turned out not to exist.

    A key that has been seen once counts for good, and is not looked at again: so ``share`` never falls, and
    all looks together are few.

    :param wanted: the hot keys that there is room for, hottest first.
    :param has_value: returns whether a key is cached.
    :param is_gone: returns whether a key is known not to exist.
    """

    def __init__(
        self, wanted: Sequence[K], *, has_value: Callable[[K], bool], is_gone: Callable[[K], bool]
    ) -> None:
        self._wanted = wanted
        self._has_value = has_value
        self._is_gone = is_gone
        self._seen = bytearray(len(wanted))
        self._front = 0
        self.there = 0
        self.gone = 0
        self.share = 0.0 if wanted else 1.0

    def __len__(self) -> int:
        return len(self._wanted)

    @property
    def seen(self) -> int:
        """The number of keys that were cached or turned out not to exist."""
        return self.there + self.gone

    def __str__(self) -> str:
        return f"{self.there} of {len(self) - self.gone or len(self)} hot keys have been cached"

    async def look(self, most: int) -> None:
        """Look at the first ``most`` keys that were not seen so far, in steps of about a millisecond."""
        wanted, seen, looked, place = self._wanted, self._seen, 0, self._front
        while place < len(wanted) and looked < most:
            if not seen[place]:
                looked += 1
                self._look_at(wanted[place], place)
            if place == self._front and seen[place]:
                self._front += 1
            place += 1
            if place % _LOOKS == 0:
                await checkpoint()
        others = len(wanted) - self.gone
        if others:
            self.share = max(self.share, self.there / others)

    def _look_at(self, key: K, place: int) -> None:
        if self._has_value(key):
            self.there += 1
            self._seen[place] = 1
        elif self._is_gone(key):
            self.gone += 1
            self._seen[place] = 1
