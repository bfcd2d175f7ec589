"""Which object a cached method was called on, as a part of a key that does not keep the object alive."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Self
from weakref import ref

from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable


class Instance(ref[object]):
    """One object, held weakly; it is equal to itself only, whatever the object is equal to.

    After the object is gone it stays what it was: a new object, even one in the same place in memory, has
    another one.
    """

    __slots__ = ("loads", "number")
    __hash__ = object.__hash__
    __eq__ = object.__eq__
    __ne__ = object.__ne__

    number: int
    """What ``id`` says of the object; as soon as that is gone another object may have the same."""

    loads: int
    """How many results were worked out for the object: no fewer than are held."""

    def __new__(cls, instance: object, ended: Callable[[Instance], None]) -> Self:
        new = super().__new__(cls, instance, ended)
        new.number, new.loads = id(instance), 0
        return new

    def __repr__(self) -> str:
        instance = self()
        return "<an object that is gone>" if instance is None else object.__repr__(instance)


class Instances:
    """The `Instance` of each living object that was asked for, and how much is held for dead ones."""

    def __init__(self) -> None:
        self.living: dict[int, Instance] = {}
        """What stands for each object, by its ``id``; to be read where a call of `of` shows."""
        self._ended: deque[int] = deque()
        self._loads_of_dead = 0

    def __len__(self) -> int:
        return len(self.living)

    def of(self, instance: object) -> Instance:
        """Return what stands for ``instance`` in a key, always the same while it lives.

        :raises ConfigurationError: when it cannot be held weakly.
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
        """Return whether it is time to look through all ``held`` results for those of dead objects.

        It is when they may be more than half. So a sweep looks at fewer than two results for each one that
        was worked out since the last.
        """
        while self._ended:
            self._loads_of_dead += self._ended.popleft()
        if 2 * self._loads_of_dead <= held:
            return False
        self._loads_of_dead = 0
        return True

    def _end(self, dead: Instance) -> None:
        # It may be called at any moment and in any thread: whatever takes more than this is done later.
        if self.living.get(dead.number) is dead:
            del self.living[dead.number]
        self._ended.append(dead.loads)
