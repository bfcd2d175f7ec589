"""Values that each process has for itself, because what a fork copies must not be there twice."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class EachProcess(Generic[T]):
    """A value that is made when a process first asks for it, by ``make()``.

    What a forked process has inherited is kept, not dropped: dropping a connection of the parent, or of its
    event loop, may close it for the parent, too.
    """

    __slots__ = ("_made", "_make", "inherited")

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: tuple[int, T] | None = None
        self.inherited: list[T] = []
        """The values of the processes from which this one was forked, as they were then."""

    def get(self) -> T:
        """Return the value of this process."""
        made, process = self._made, os.getpid()
        if made is not None:
            if made[0] == process:
                return made[1]
            self.inherited.append(made[1])
        self._made = made = process, self._make()
        return made[1]
