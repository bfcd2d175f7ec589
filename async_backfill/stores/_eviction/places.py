"""Places in eviction queues: remove a key from the middle of a queue without searching for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, TypeAlias, TypeVar

from async_backfill.contracts import K
from async_backfill.outcomes import ABSENT, Absent

if TYPE_CHECKING:
    from collections import deque

_SLACK: Final = 64
_FEW: Final = 4
_K = TypeVar("_K")


class Again(Generic[_K]):
    """The place of a key that was added again while its older, dead place is still in the queue."""

    __slots__ = ("key",)

    def __init__(self, key: _K) -> None:
        self.key = key


Place: TypeAlias = _K | Again[_K]


class Places(Generic[K]):
    """Distinguishes the living places in the queues of an eviction order from the dead ones.

    A key that is removed stays in its queue as a dead place, which is skipped when it comes up. The
    place of a key is the key itself, which costs no memory; only a key that comes back while its dead
    place is still in the queue gets an object of its own, so that the two are never confused. The queues
    are rebuilt once more than half of their places are dead, so every operation takes constant time,
    amortised. (``next(iter(dict))`` does not: a dict that lost its first million keys walks over a
    million holes.) See decision 6 in notes.md.
    """

    __slots__ = ("_again", "_count", "_dead", "are_keys")

    def __init__(self) -> None:
        self._dead: set[K] = set()
        self._again: dict[K, Again[K]] = {}
        self._count = 0
        self.are_keys = True
        """True while each place is the key itself and alive: then no place needs a check."""

    def new(self, key: K) -> Place[K]:
        """Return a living place for ``key``, which must have none."""
        if key not in self._dead:
            return key
        place = self._again[key] = Again(key)
        return place

    def discard(self, key: K) -> None:
        """Mark the living place of ``key`` as dead."""
        self._count += 1
        self.are_keys = False
        if self._again.pop(key, None) is None:
            self._dead.add(key)

    def lives(self, place: Place[K]) -> bool:
        """Return whether ``place`` is the living place of its key."""
        if isinstance(place, Again):
            return self._again.get(place.key) is place
        return place not in self._dead

    def bury(self, place: Place[K]) -> None:
        """Forget a dead place that was taken out of its queue."""
        self._count -= 1
        if not isinstance(place, Again):
            self._dead.remove(place)
        self.are_keys = not (self._count or self._again)

    def pop(self, queue: deque[Place[K]]) -> Place[K] | Absent:
        """Remove and return the first living place of ``queue``; `ABSENT` when there is none.

        The place may be put into a queue again; when its key is evicted, call `leave`.
        """
        while queue:
            place = queue.popleft()
            if not self._count or self.lives(place):
                return place
            self.bury(place)
        return ABSENT

    @staticmethod
    def key(place: Place[K]) -> K:
        """Return the key of ``place``."""
        return place.key if isinstance(place, Again) else place

    def leave(self, key: K) -> None:
        """Forget the place of ``key``, which was popped and will not be put back."""
        if self._again:
            self._again.pop(key, None)
            self.are_keys = not (self._count or self._again)

    def tidy(self, *queues: deque[Place[K]]) -> None:
        """Rebuild ``queues`` once more than half of their places are dead; pass all queues of the order.

        Dead places at the front go at once: what expires goes from there, and needs no rebuilding.
        """
        for queue in queues:
            for _ in range(_FEW):
                if not queue or self.lives(queue[0]):
                    break
                self.bury(queue.popleft())
        if self._count <= _SLACK or self._count * 2 <= sum(map(len, queues)):
            return
        for queue in queues:
            living = [place for place in queue if self.lives(place)]
            queue.clear()
            queue.extend(living)
        self._dead.clear()
        self._count = 0
        self.are_keys = not self._again

    def clear(self) -> None:
        """Forget all places."""
        self._dead.clear()
        self._again.clear()
        self._count = 0
        self.are_keys = True
