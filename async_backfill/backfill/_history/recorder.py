"""Tells the hot keys of lookups, so that a hit costs next to nothing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Generic

from async_backfill.contracts import Heats, K

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from async_backfill.backfill._history.hot_keys import HotKeys

AFTER_A_MISS: Final = 16
BURST: Final = 1000


class HeatRecorder(Generic[K]):
    """Notes every miss, and the hits that follow one, up to ``AFTER_A_MISS`` of them.

    In between nobody is told of a hit but the store. So where misses are frequent nearly every lookup is
    noted, and where they are rare a hit costs nothing; lookups that are not noted still age what
    was. `burst` has the next hits noted without a miss, for traffic that has none.

    :param touch: what is told of a hit when nothing is noted; ``None`` when nothing is.
    :param use: is given what to tell of a hit from now on.
    :param hits: how many hits the cache has counted.
    :param lookups: how many lookups.
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

    @property
    def hit_rate(self) -> float | None:
        """The share of hits, where lookups count less the older they are; ``None`` before the first."""
        return self._recent_hits / self._recent_lookups if self._recent_lookups else None

    @property
    def is_blank(self) -> bool:
        """Whether nothing was noted or restored yet."""
        return not self._recent_lookups

    def changed_heats(self) -> Heats[K] | None:
        """Return what a journal should keep; ``None`` when there was no lookup since the last time.

        It also has the next hits noted, so that traffic without misses leaves its trace.
        """
        if self._lookups() == self._saved_at:
            return None
        self._saved_at = self._lookups()
        self.burst()
        return Heats(keys=self._hot.heats(), hit_rate=self.hit_rate)

    @property
    def has_history(self) -> bool:
        """Whether it was known what is hot when the cache was last empty."""
        return self._has_history

    def flushed(self) -> None:
        """Take note that the cache was emptied."""
        self._has_history = bool(self._hot)

    def restore(self, heats: Heats[K]) -> None:
        """Take what a journal kept in place of what was noted."""
        self._hot.restore(heats.keys)
        self._has_history = bool(self._hot)
        if heats.hit_rate is not None:
            self._recent_lookups = self._hot.half_life / math.log(2.0)  # what a steady stream comes to
            self._recent_hits = heats.hit_rate * self._recent_lookups

    def missed(self, keys: Sequence[K]) -> None:
        """Take note of the lookups of ``keys``, already counted, and have the next hits noted."""
        self._catch_up(len(keys))
        self._hot.note(keys)
        self._start(AFTER_A_MISS)

    def burst(self) -> None:
        """Have the next hits noted although nothing missed."""
        self._catch_up(0)
        self._start(BURST)

    def drop(self, keys: Iterable[K]) -> None:
        """Forget ``keys``: the source does not have them."""
        self._hot.drop(keys)

    def _catch_up(self, known: int) -> None:
        """Note the hits since the last time, and let go by what was not noted, but for ``known`` lookups."""
        hits, lookups = self._hits(), self._lookups()
        since = max(0, lookups - self._seen)
        self._hot.skip(max(0, since - len(self._noted) - known))
        self._hot.note(self._noted)
        self._noted.clear()
        fading = 2.0 ** (-since / self._hot.half_life)
        self._recent_hits = self._recent_hits * fading + hits - self._hits_seen
        self._recent_lookups = self._recent_lookups * fading + since
        self._seen, self._hits_seen = lookups, hits

    def hit(self, keys: Sequence[K]) -> None:
        """Take note of hits of ``keys`` of which nobody was told, if any are wanted."""
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
