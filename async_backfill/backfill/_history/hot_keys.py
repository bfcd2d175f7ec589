"""The hot keys: ranked by decayed frequency, where older lookups count less."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Final, Generic

from anyio.lowlevel import checkpoint

from async_backfill._common.validation import real, whole
from async_backfill.backfill._history.heat_table import TOO_LARGE, HeatTable
from async_backfill.contracts import K

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_FEW: Final = 300.0
_A_STEP: Final = 2000
"""Keys restored in one step: about two milliseconds."""


class _Snapshot(Mapping[K, float]):
    """The heats at one moment; each is computed when it is read, in the thread that saves the journal."""

    def __init__(self, table: HeatTable[K], now: float) -> None:
        self._table = table
        self._now = now

    def __getitem__(self, key: K) -> float:
        place = self._table.find(key)
        if not place:
            raise KeyError(key)
        return self._table.heats[place] / self._now

    def __iter__(self) -> Iterator[K]:
        return self._table.keys()

    def __len__(self) -> int:
        return self._table.count


class HotKeys(Generic[K]):
    """The hottest keys of a stream of lookups, at most ``size`` of them.

    The heat of a key is the number of its lookups, where a lookup that is ``half_life`` lookups old
    counts half: the "combined recency and frequency" of LRFU (Lee et al., IEEE Transactions on Computers
    50(12), 2001, section 2). It is computed by forward decay (Cormode et al., ICDE 2009, section III):
    newer lookups weigh more, and older ones are never touched. A new key replaces the coldest one; one of
    more than 4 KiB is not remembered. See decision 22 in notes.md.

    One step is long with a million keys, a tenth of a second: once in 664 half lives all heats are made
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
        self._table: HeatTable[K] = HeatTable(self._size)
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
        return self._table.count

    def __contains__(self, key: K) -> bool:
        return bool(self._table.find(key))

    def __iter__(self) -> Iterator[K]:
        return self._table.keys()

    def note(self, keys: Iterable[K]) -> None:
        """Record the lookups of ``keys``, one after another."""
        count, self._now = self._table.rise(keys, self._now, self._growth)
        self._lookups += count

    def skip(self, lookups: int) -> None:
        """Count ``lookups`` whose keys were not recorded; they only age the others."""
        self._lookups += lookups
        halvings = lookups / self._half_life
        if halvings < _FEW:
            self._now *= 2.0**halvings
            if self._now > TOO_LARGE:
                self._rescale(1.0 / self._now)
        else:  # the growth would overflow a float: shrink the old heats instead, down to 0.0
            self._rescale(2.0 ** -min(halvings, _FEW * 3) / self._now)

    def heat(self, key: K) -> float:
        """Return the heat of ``key``, on a scale of its own; 0.0 for a key that is not hot."""
        place = self._table.find(key)
        return self._table.heats[place] if place else 0.0

    def heat_now(self, key: K) -> float:
        """Return the heat of ``key``, where one lookup right now is 1.0."""
        return self.heat(key) / self._now

    def all_heats(self) -> dict[K, float]:
        """Return the heat of each key, as `heat` does, in one step: for few keys."""
        return self._table.all_heats()

    def drop(self, keys: Iterable[K]) -> None:
        """Forget ``keys``; keys that are not remembered are ignored."""
        for key in keys:
            self._table.remove(key)

    def heats(self) -> Mapping[K, float]:
        """Return a fixed snapshot of the heat of each key, where one lookup right now is 1.0."""
        return _Snapshot(self._table.copy(), self._now)

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
        table = self._table
        for key, heat in heats:
            if heat < math.inf and (table.count < self._size or heat > table.coldest_heat()):
                table.add(key, heat)

    def _become(self, other: HotKeys[K]) -> None:
        self._now, self._table = other._now, other._table

    def _rescale(self, factor: float) -> None:
        self._table.scale(factor)
        self._now = 1.0
