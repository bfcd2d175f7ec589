"""The pace of backfills: so many keys a second, in portions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from anyio import Event, current_time, move_on_after

if TYPE_CHECKING:
    from collections.abc import Callable

_A_PORTION: Final = 0.25


class Pace:
    """Lets backfills ask for keys at a rate, all of them together; a new rate counts at once.

    A portion is what a quarter of a second allows, one key at the least; the next follows when the time of
    the latest is over.

    :param rate: returns the keys a second; ``None`` for no limit.
    """

    def __init__(self, rate: Callable[[], float | None]) -> None:
        self._rate = rate
        self._begun = -math.inf
        self._asked = 0
        self._changed = Event()

    def changed(self) -> None:
        """Take note of another rate."""
        self._changed.set()
        self._changed = Event()

    async def turn(self, keys: int) -> int:
        """Wait until keys may be asked for; return how many of ``keys``, 1 or more."""
        while (rate := self._rate()) is not None:
            left = self._begun + self._asked / rate - current_time()
            if left <= 0.0:
                break
            with move_on_after(left):
                await self._changed.wait()
        if rate is not None:
            keys = min(keys, max(1, int(rate * _A_PORTION)))
        self._begun, self._asked = current_time(), keys
        return keys
