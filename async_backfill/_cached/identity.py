"""The identity of an instance as a weakly held part of a cache key."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Self
from weakref import ref

from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable


class Instance(ref[object]):
    """A weak reference to one object that is equal to itself only, whatever the object is equal to.

    It stays valid as a key when the object is gone: another object, even one at the same address in memory,
    gets another `Instance`. See decision 45 in notes.md.
    """

    __slots__ = ("loads", "number")
    __hash__ = object.__hash__
    __eq__ = object.__eq__
    __ne__ = object.__ne__

    number: int
    """The ``id`` of the object; once the object is gone, another one may have the same."""

    loads: int
    """How many results were computed for the object: at least as many as the cache holds."""

    def __new__(cls, instance: object, ended: Callable[[Instance], None]) -> Self:
        new = super().__new__(cls, instance, ended)
        new.number, new.loads = id(instance), 0
        return new

    def __repr__(self) -> str:
        instance = self()
        return "<an object that is gone>" if instance is None else object.__repr__(instance)


class Instances:
    """The `Instance` of each living object of a cached method, and a count of the results of dead ones."""

    def __init__(self) -> None:
        self.living: dict[int, Instance] = {}
        """The `Instance` of each object by its ``id``; hot paths read it directly, to save a call of `of`."""
        self._ended: deque[int] = deque()
        self._loads_of_dead = 0

    def __len__(self) -> int:
        return len(self.living)

    def of(self, instance: object) -> Instance:
        """Return the `Instance` of an object, always the same one while the object lives.

        :raises ConfigurationError: when the object cannot be held weakly.
        """
        known = self.living.get(id(instance))
        if known is None or known() is not instance:
            try:
                known = Instance(instance, self._end)
            except TypeError:
                name = type(instance).__qualname__
                problem = f"a {name} cannot be held weakly; add '__weakref__' to the __slots__ of its class"
                raise ConfigurationError("cached", problem) from None
            self.living[id(instance)] = known
        return known

    def is_sweep_due(self, held: int) -> bool:
        """Return whether it is time to search all ``held`` results for those of dead objects.

        That is when these may be more than half of them. So a sweep looks at fewer than two results for
        each one that was computed since the last sweep.
        """
        while self._ended:
            self._loads_of_dead += self._ended.popleft()
        if 2 * self._loads_of_dead <= held:
            return False
        self._loads_of_dead = 0
        return True

    def _end(self, dead: Instance) -> None:
        # A weakref callback runs at any moment and in any thread, so it only takes a note; the next load
        # sweeps: decision 45 in notes.md.
        if self.living.get(dead.number) is dead:
            del self.living[dead.number]
        self._ended.append(dead.loads)
