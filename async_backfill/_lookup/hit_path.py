"""What stands between a cache and its lookups: a ``get``, and what it works with while the cache is open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, cast

from async_backfill._lookup.answering import CLOSED, Later, refusing
from async_backfill.contracts import K, V
from async_backfill.outcomes import ABSENT

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import TypeAlias

    from async_backfill._lookup.answering import Answering
    from async_backfill.outcomes import Absent
    from async_backfill.stores._reading import Entries

    Touch: TypeAlias = Callable[[K], object]
    Find: TypeAlias = Callable[[K, Absent], V | Absent]


class HitPath(Generic[K, V]):
    """A ``get``, and what it works with while a cache is open; closed at first.

    ``use_soonest``
        sets a time before which all values are fresh; ``None`` where that is not asked for.
    ``find``, ``answering``
        the same in pieces, for a caller that is a coroutine itself: a plain function that looks a hit up,
        which the caller then counts, and what answers the others.

    :param get: looks a key up; returns the default for what is absent.
    :param use: sets the entries that ``get`` looks into, the listener of hits, and the handler of misses.
    """

    def __init__(
        self,
        get: Callable[..., Coroutine[Any, Any, object]],
        use: Callable[[Entries[K, V], Touch[K] | None, Answering[K, V]], None],
        use_soonest: Callable[[float], None] | None = None,
    ) -> None:
        self.get = get
        self.use_soonest = use_soonest
        self._use = use
        self.answering: Answering[K, V] = refusing()
        self.find: Find[K, V] = _nothing_held()
        self._opened: tuple[Entries[K, V], Answering[K, V]] | None = None

    def open(
        self, entries: Entries[K, V], touch: Touch[K] | None, miss: Answering[K, V], find: Find[K, V]
    ) -> None:
        """Look hits up in ``entries``, call ``touch`` with each, and let ``miss`` answer the others.

        :param find: looks a hit up, and tells the eviction order.
        """
        self._opened = (entries, miss)
        self.answering = miss
        self.find = find
        self._use(entries, touch, miss)

    def listen(self, touch: Touch[K] | None) -> None:
        """Call ``touch`` with each hit from now on; does nothing while it is closed."""
        if self._opened is not None:
            entries, miss = self._opened
            self._use(entries, touch, miss)

    def close(self, reason: str = CLOSED) -> None:
        """Find nothing from now on, and refuse every lookup with ``reason``."""
        self._opened = None
        self.answering, self.find = refusing(reason), _nothing_held()
        self._use({}, None, refusing(reason))


class WholeGet:
    """The pieces of a ``get`` that has none: each lookup awaits it."""

    def __init__(self, get: Callable[..., Coroutine[Any, Any, Any]]) -> None:
        self.find: Find[Any, Any] = _nothing_held()
        self.answering: Any = self
        self._get = get

    def begin(self, key: Any, /) -> Later[Any]:
        """Return the whole lookup."""
        return Later(self._get(key, ABSENT))


def _nothing_held() -> Find[Any, Any]:
    return cast("Find[Any, Any]", {}.get)
