"""The hot keys: ranked by decayed frequency, where older lookups count less."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping
from itertools import count, islice
from typing import TYPE_CHECKING, Final, Generic, TypeAlias

from anyio.lowlevel import checkpoint

from async_backfill._common.key_size import is_long
from async_backfill._common.validation import real, whole
from async_backfill.contracts import K

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    _Known: TypeAlias = tuple[float, int, K]

_TOO_LARGE: Final = 1e200
_FEW: Final = 300.0
_MOST_OUTDATED: Final = 64
"""Outdated heats that one removal brings up to date at the most."""
_MOVED: Final = 8
_A_STEP: Final = 2000
"""Keys restored in one step: about two milliseconds."""


class _Snapshot(Mapping[K, float]):
    """The heats at one moment; each is computed when it is read, in the thread that saves the journal."""

    def __init__(self, heats: dict[K, float], now: float) -> None:
        self._heats = heats
        self._now = now

    def __getitem__(self, key: K) -> float:
        return self._heats[key] / self._now

    def __iter__(self) -> Iterator[K]:
        return iter(self._heats)

    def __len__(self) -> int:
        return len(self._heats)


class HotKeys(Generic[K]):
    """The hottest keys of a stream of lookups, at most ``size`` of them.

    The heat of a key is the number of its lookups, where a lookup that is ``half_life`` lookups old
    counts half: the "combined recency and frequency" of LRFU (Lee et al., IEEE Transactions on Computers
    50(12), 2001, section 2). It is computed by forward decay (Cormode et al., ICDE 2009, section III):
    newer lookups weigh more, and older ones are never touched. A new key replaces the coldest one; one of
    more than 4 KiB is not remembered.
    A lazy heap finds the coldest key: a key that comes up with an outdated heat goes back with its current
    one. One removal brings 64 of them up to date at the most, then takes the coldest that it has seen, so
    that it is short however many keys were noted since. See decision 22 in notes.md.

    One step is long with a million keys, a quarter of a second: once in 664 half lives all heats are made
    smaller, before they no longer fit a float.

    :param size: the largest number of keys remembered, 1 or more.
    :param half_life: lookups after which a lookup counts half, 1.0 or more.
    :raises ConfigurationError: for any other value.
    """

    def __init__(self, size: int, half_life: float) -> None:
        self._size = whole("size", size, least=1)
        self._half_life = real("half_life", half_life, least=1.0, most=math.inf)
        self._growth = 2.0 ** (1.0 / self._half_life)
        self._now = 1.0
        self._heats: dict[K, float] = {}
        self._coldest: list[_Known[K]] = []
        self._aside: list[_Known[K]] = []  # a heap of many dropped keys, whose others move over
        self._number = count()
        self._lookups = 0

    @property
    def lookups(self) -> int:
        """The number of lookups so far, recorded or skipped."""
        return self._lookups

    @property
    def half_life(self) -> float:
        """Lookups after which a lookup counts half."""
        return self._half_life

    @property
    def size(self) -> int:
        """The largest number of keys remembered."""
        return self._size

    def __len__(self) -> int:
        return len(self._heats)

    def __contains__(self, key: object) -> bool:
        return key in self._heats

    def __iter__(self) -> Iterator[K]:
        return iter(self._heats)

    def note(self, keys: Iterable[K]) -> None:
        """Record the lookups of ``keys``, one after another."""
        heats, growth, now = self._heats, self._growth, self._now
        for key in keys:
            self._lookups += 1
            now *= growth
            heat = heats.get(key)
            if heat is not None:
                heats[key] = heat + now
            else:
                self._add(key, now)
            if now > _TOO_LARGE:
                self._rescale(1.0 / now)
                heats, now = self._heats, 1.0
        self._now = now

    def skip(self, lookups: int) -> None:
        """Count ``lookups`` whose keys were not recorded; they only age the others."""
        self._lookups += lookups
        halvings = lookups / self._half_life
        if halvings < _FEW:
            self._now *= 2.0**halvings
            if self._now > _TOO_LARGE:
                self._rescale(1.0 / self._now)
        else:  # the growth would overflow a float: shrink the old heats instead, down to 0.0
            self._rescale(2.0 ** -min(halvings, _FEW * 3) / self._now)

    def heat(self, key: K) -> float:
        """Return the heat of ``key``, on a scale of its own; 0.0 for a key that is not hot."""
        return self._heats.get(key, 0.0)

    def hottest(self) -> list[K]:
        """Return the keys, hottest first."""
        return sorted(self._heats, key=self._heats.__getitem__, reverse=True)

    def drop(self, keys: Iterable[K]) -> None:
        """Forget ``keys``; keys that are not remembered are ignored."""
        for key in keys:
            self._heats.pop(key, None)
            self._move()

    def heats(self) -> Mapping[K, float]:
        """Return a fixed snapshot of the heat of each key, where one lookup right now is 1.0."""
        return _Snapshot(dict(self._heats), self._now)

    def restore(self, heats: Mapping[K, float]) -> None:
        """Replace all recorded heats by ``heats``; if there are too many, by the hottest of them."""
        restored: HotKeys[K] = HotKeys(self._size, self._half_life)
        restored._take(heats.items())
        self._become(restored)

    async def restore_in_steps(self, heats: Mapping[K, float]) -> None:
        """Do what `restore` does while other tasks run; nothing changes before the end."""
        restored: HotKeys[K] = HotKeys(self._size, self._half_life)
        rest = iter(heats.items())
        while step := tuple(islice(rest, _A_STEP)):
            restored._take(step)
            await checkpoint()
        self._become(restored)

    def _take(self, heats: Iterable[tuple[K, float]]) -> None:
        """Add ``heats``, of keys that are not there yet; who is colder than all others finds no room."""
        for key, heat in heats:
            if len(self._heats) < self._size or heat > self._coldest[0][0]:
                self._add(key, heat)

    def _become(self, other: HotKeys[K]) -> None:
        self._now, self._heats = other._now, other._heats
        self._coldest, self._aside = other._coldest, other._aside
        self._number = other._number

    def _rescale(self, factor: float) -> None:
        # Who was colder is colder afterwards, so what was a heap is one.
        self._now = 1.0
        self._heats = {key: heat * factor for key, heat in self._heats.items()}
        self._coldest = [(heat * factor, number, key) for heat, number, key in self._coldest]
        self._aside = [(heat * factor, number, key) for heat, number, key in self._aside]

    def _add(self, key: K, heat: float) -> None:
        if is_long(key):
            return
        if len(self._heats) >= self._size:
            self._remove_coldest()
        self._heats[key] = heat
        heapq.heappush(self._coldest, (heat, next(self._number), key))
        self._move()

    def _move(self) -> None:
        """Set all aside if most of them were dropped; move a few of those that are aside back."""
        if not self._aside and len(self._coldest) > 2 * len(self._heats) + self._size:
            self._coldest, self._aside = self._aside, self._coldest
        aside = self._aside
        for _ in range(min(_MOVED, len(aside))):
            known = aside.pop()  # a heap without its last item is still a heap
            if known[2] in self._heats:
                heapq.heappush(self._coldest, known)

    def _remove_coldest(self) -> None:
        heats, left = self._heats, _MOST_OUTDATED
        coldest_seen: tuple[float, K] | None = None
        while True:
            coldest = self._coldest
            if self._aside and (not coldest or self._aside[0] < coldest[0]):
                coldest = self._aside
            known, number, key = coldest[0]
            heat = heats.get(key)
            if heat is None:
                heapq.heappop(coldest)
            elif heat > known and left:
                left -= 1
                heapq.heapreplace(coldest, (heat, number, key))
                if coldest_seen is None or heat < coldest_seen[0]:
                    coldest_seen = heat, key
            elif heat > known and coldest_seen is not None and coldest_seen[0] < heat:
                del heats[coldest_seen[1]]
                return
            else:
                heapq.heappop(coldest)
                del heats[key]
                return
