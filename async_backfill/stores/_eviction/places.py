"""Places in eviction queues: remove a key from the middle of a queue without searching for it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Generic, TypeAlias, TypeVar

from async_backfill.contracts import K
from async_backfill.outcomes import ABSENT, Absent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_SLACK: Final = 64
_FEW: Final = 4
_A_STEP: Final = 16
"""Places that one removal looks at while dead ones are taken out of the queues."""
_K = TypeVar("_K")


class Again(Generic[_K]):
    """The place of a key that was added again while its older, dead place is still in the queue."""

    __slots__ = ("key",)

    def __init__(self, key: _K) -> None:
        self.key = key


Place: TypeAlias = _K | Again[_K]


class Queue(Generic[_K]):
    """The places of a queue: those in ``front``, and after them those in ``back``.

    ``front`` is empty, except while dead places are taken out: then it has those that were looked at, and so
    a queue of a million is tidied a few places at a time.
    """

    __slots__ = ("append", "back", "front")

    def __init__(self, places: Iterable[Place[_K]] = ()) -> None:
        self.front: deque[Place[_K]] = deque()
        self.back: deque[Place[_K]] = deque(places)
        self.append = self.back.append

    def __len__(self) -> int:
        return len(self.front) + len(self.back)

    def first(self) -> Place[_K] | Absent:
        """Return the first place; `ABSENT` when there is none."""
        part = self.front or self.back
        return part[0] if part else ABSENT

    def appendleft(self, place: Place[_K]) -> None:
        """Put ``place`` before the first one."""
        (self.front or self.back).appendleft(place)

    def popleft(self) -> Place[_K]:
        """Remove and return the first place; `IndexError` when there is none."""
        return (self.front or self.back).popleft()

    def tidied(self) -> None:
        """Take note that all places were looked at."""
        self.front, self.back = self.back, self.front
        self.append = self.back.append

    def clear(self) -> None:
        """Forget all places."""
        self.front.clear()
        self.back.clear()


class Places(Generic[K]):
    """Distinguishes the living places in the queues of an eviction order from the dead ones.

    A key that is removed stays in its queue as a dead place, which is skipped when it comes up. The
    place of a key is the key itself, which costs no memory; only a key that comes back while its dead
    place is still in the queue gets an object of its own, so that the two are never confused. Once a
    quarter of the places are dead, each further removal looks at a few places and takes out those, so every
    operation takes a short time, however many keys there are. (``next(iter(dict))`` does not: a dict that
    lost its first million keys walks over a million holes.) See decision 6 in notes.md.
    """

    __slots__ = ("_again", "_count", "_dead", "_is_tidying", "are_keys")

    def __init__(self) -> None:
        self._dead: set[K] = set()
        self._again: dict[K, Again[K]] = {}
        self._count = 0
        self._is_tidying = False
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
        if not self._count:
            self._dead.clear()  # a set gives its memory back only when it is cleared

    def pop(self, queue: Queue[K]) -> Place[K] | Absent:
        """Remove and return the first living place of ``queue``; `ABSENT` when there is none.

        The place may be put into a queue again; when its key is evicted, call `leave`.
        """
        while part := queue.front or queue.back:
            place = part.popleft()
            if not self._count or self.lives(place):
                return place
            self.bury(place)
        return ABSENT

    def youngest_first(self, queue: Queue[K]) -> Iterator[K]:
        """Return the keys of ``queue`` as it is now, the last one first, to be read by and by."""
        places = (*queue.front, *queue.back)
        return (self.key(place) for place in reversed(places) if self.lives(place))

    @staticmethod
    def key(place: Place[K]) -> K:
        """Return the key of ``place``."""
        return place.key if isinstance(place, Again) else place

    def leave(self, key: K) -> None:
        """Forget the place of ``key``, which was popped and will not be put back."""
        if self._again:
            self._again.pop(key, None)
            self.are_keys = not (self._count or self._again)

    def tidy(self, *queues: Queue[K]) -> None:
        """Take a few dead places out of ``queues``, if there are many; pass all queues of the order.

        Dead places at the front go at once: what expires goes from there.
        """
        for queue in queues:
            for _ in range(_FEW):
                place = queue.first()
                if place is ABSENT or self.lives(place):
                    break
                self.bury(queue.popleft())
        if self._is_tidying:
            self._go_on(queues)
        else:
            self._is_tidying = self._count > _SLACK and 4 * self._count > sum(map(len, queues))

    def _go_on(self, queues: tuple[Queue[K], ...]) -> None:
        left = _A_STEP
        for queue in queues:
            while left and queue.back:
                left -= 1
                place = queue.back.popleft()
                if self.lives(place):
                    queue.front.append(place)
                else:
                    self.bury(place)
        if not any(queue.back for queue in queues):
            self._is_tidying = False
            for queue in queues:
                queue.tidied()

    def clear(self) -> None:
        """Forget all places."""
        self._dead.clear()
        self._again.clear()
        self._count = 0
        self._is_tidying = False
        self.are_keys = True
