"""The recorder of lookups for the hot keys, made so that a hit costs next to nothing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Generic

from async_backfill.contracts import Heats, K

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from async_backfill.backfill._history.hot_keys import HotKeys

AFTER_A_MISS: Final = 16
BURST: Final = 1000
_MISSES: Final = 10_000


class HeatRecorder(Generic[K]):
    """Records every miss, and up to ``AFTER_A_MISS`` hits after each miss.

    All other hits are not recorded. So with frequent misses nearly every lookup is recorded, and with
    rare misses a hit costs nothing; lookups that are not recorded still age the others. `burst` records
    the next hits without a miss, for traffic that has none. See decision 23 in notes.md.

    :param hot: the hot keys that lookups are recorded in.
    :param touch: the function that the store wants called at each hit; ``None`` when it wants none.
    :param use: called with the function that each hit must call from now on, or ``None``.
    :param hits: returns the number of hits that the cache has counted.
    :param lookups: returns the number of lookups that the cache has counted.
    """

    def __init__(
        self,
        hot: HotKeys[K],
        *,
        touch: Callable[[K], object] | None,
        use: Callable[[Callable[[K], object] | None], None],
        hits: Callable[[], int],
        lookups: Callable[[], int],
    ) -> None:
        self._hot = hot
        self._plain = touch
        self._use = use
        self._hits = hits
        self._lookups = lookups
        self._noted: list[K] = []
        self._wanted = 0
        self._seen = 0
        self._hits_seen = 0
        self._saved_at = 0
        self._has_history = False
        self._recent_hits = 0.0
        self._recent_lookups = 0.0
        self._noting = self._make_touch()
        self._looks_for_wanted = False
        self._missed: set[K] = set()
        self.wanted = 0
        self._watched: set[K] = set()
        self.counted = 0

    def watch(self, keys: Collection[K], /, *, anew: bool) -> None:
        """Count in ``counted`` which of ``keys`` are hit; with ``anew``, from 0, and no others any more."""
        if anew:
            self._watched, self.counted = set(), 0
        self._watched.update(keys)

    @property
    def hit_rate(self) -> float | None:
        """The hit rate, where older lookups count less; ``None`` before the first lookup."""
        return self._recent_hits / self._recent_lookups if self._recent_lookups else None

    @property
    def is_blank(self) -> bool:
        """Whether nothing was recorded or restored yet."""
        return not self._recent_lookups

    def changed_heats(self) -> Heats[K] | None:
        """Return the heats for the journal; ``None`` when there was no lookup since the last call.

        It also starts a `burst`, so that hits are recorded even in traffic without misses.
        """
        if self._lookups() == self._saved_at:
            return None
        self._saved_at = self._lookups()
        self.burst()
        return Heats(keys=self._hot.heats(), hit_rate=self.hit_rate)

    @property
    def has_history(self) -> bool:
        """Whether hot keys were known when the cache was last empty."""
        return self._has_history

    def flushed(self) -> None:
        """Record that the cache was cleared."""
        self._has_history = self._looks_for_wanted = bool(self._hot)
        self._missed = set()

    @property
    def size(self) -> int:
        """The largest number of hot keys."""
        return self._hot.size

    @property
    def half_life(self) -> float:
        """Lookups after which a lookup counts half."""
        return self._hot.half_life

    async def restore(self, heats: Heats[K], missed: int = 0) -> None:
        """Replace all that was recorded by ``heats`` from a journal, while other tasks run.

        :param missed: lookups since they were saved, which nobody has recorded: the heats fade by them.
        """
        await self._hot.restore_in_steps(heats.keys)
        self._hot.skip(missed)
        self.flushed()
        if heats.hit_rate is not None:
            self._recent_lookups = self._hot.half_life / math.log(2.0)  # the limit for a steady stream
            self._recent_hits = heats.hit_rate * self._recent_lookups

    def missed(self, keys: Sequence[K]) -> None:
        """Record the lookups of ``keys``, which the cache has counted, and start to record hits."""
        self._catch_up(len(keys))
        if self._looks_for_wanted:
            self._count_wanted(keys)
        self._hot.note(keys)
        self._start(AFTER_A_MISS)

    def _count_wanted(self, keys: Sequence[K]) -> None:
        """Count those of ``keys`` that were hot before the cache was emptied, each once."""
        new = [key for key in keys if key not in self._missed]
        self.wanted += sum(key in self._hot for key in new)
        self._missed.update(new)
        if len(self._missed) > _MISSES:  # a recovery is long over, or known to be worth it
            self._looks_for_wanted = False
            self._missed = set()

    def burst(self) -> None:
        """Start to record hits although nothing missed."""
        self._catch_up(0)
        self._start(BURST)

    def drop(self, keys: Iterable[K]) -> None:
        """Forget ``keys``, which the source does not have, and their hits that are not in the heat yet."""
        gone = frozenset(keys)
        self._hot.drop(gone)
        if self._noted and not gone.isdisjoint(self._noted):
            self._noted[:] = [key for key in self._noted if key not in gone]

    def _catch_up(self, known: int) -> None:
        """Add the hits recorded since the last call; skip the other lookups, except ``known`` of them."""
        hits, lookups = self._hits(), self._lookups()
        since = max(0, lookups - self._seen)
        self._hot.skip(max(0, since - len(self._noted) - known))
        self._hot.note(self._noted)
        if self._watched:
            read = self._watched.intersection(self._noted)
            self.counted += len(read)
            self._watched -= read
        self._noted.clear()
        fading = 2.0 ** (-since / self._hot.half_life)
        self._recent_hits = self._recent_hits * fading + hits - self._hits_seen
        self._recent_lookups = self._recent_lookups * fading + since
        self._seen, self._hits_seen = lookups, hits

    def hit(self, keys: Sequence[K]) -> None:
        """Record hits of ``keys`` that did not call the hit's function, if hits are being recorded."""
        room = self._wanted - len(self._noted)
        if room > 0:
            self._noted.extend(keys[:room])

    def _start(self, wanted: int) -> None:
        self._wanted = wanted
        self._use(self._noting)

    def _make_touch(self) -> Callable[[K], object]:
        plain, noted = self._plain, self._noted

        def touch(key: K) -> None:
            if plain is not None:
                plain(key)
            noted.append(key)
            if len(noted) >= self._wanted:
                self._use(plain)

        return touch
