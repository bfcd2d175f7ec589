"""The trigger: start a backfill when the miss rate of the latest lookups is too high."""

from __future__ import annotations

from collections import deque

from async_backfill._common.validation import whole
from async_backfill.backfill._threshold import checked_threshold

__all__ = ["MissRateTrigger"]


class MissRateTrigger:
    """Fires when at least ``threshold`` of the last ``window`` lookups were misses.

    Pure and synchronous. Only the numbers of the lookups that missed are kept, at most ``window`` of
    them, so a hit costs the trigger nothing: decision 5 in notes.md.

    :param threshold: a share of misses, 0.01 to 1.0.
    :param window: the number of latest lookups that the share is computed over, 1 or more.
    :param min_lookups: lookups that must be in the window before it can fire, 1 or more.
    :raises ConfigurationError: for any other value.
    """

    def __init__(self, threshold: float, *, window: int = 1000, min_lookups: int = 3) -> None:
        self._threshold = checked_threshold("miss_threshold", threshold)
        self._window = whole("window", window, least=1)
        self._min_lookups = whole("min_lookups", min_lookups, least=1)
        self._misses: deque[int] = deque()
        self._lookups = 0
        self._before = 0

    @property
    def threshold(self) -> float:
        """The share of misses at which the trigger fires."""
        return self._threshold

    @threshold.setter
    def threshold(self, share: float) -> None:
        self._threshold = checked_threshold("threshold", share)

    def observe_miss(self, lookup: int, /) -> bool:
        """Record that lookup number ``lookup`` (from 1, rising) missed; return whether to backfill."""
        misses = self._misses
        misses.append(lookup)
        before = lookup - self._window
        while misses[0] <= before:
            misses.popleft()
        lookups = lookup - self._before
        lookups = min(lookups, self._window)
        self._lookups = lookups
        return lookups >= self._min_lookups and len(misses) / lookups >= self._threshold

    def start_again(self, lookup: int) -> None:
        """Forget all lookups up to number ``lookup``: those before a flush say nothing about now."""
        self._misses.clear()
        self._lookups = 0
        self._before = lookup

    def reading(self) -> tuple[int, int]:
        """Return the misses and the lookups in the window at the latest miss."""
        return len(self._misses), self._lookups
