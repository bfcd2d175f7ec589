"""A change of a key that the far store is to be told of, and who waits for that."""

from __future__ import annotations

import enum
from typing import Final, Generic, TypeAlias

from anyio import Event

from async_backfill.contracts import K, V
from async_backfill.outcomes import ABSENT, Absent

LARGEST_CALL: Final = 500
"""Keys in one call of the store's."""


class Change(enum.Enum):
    """What is to become of a key in the far store."""

    LOADED = enum.auto()
    """It was loaded: write it, if that is no trouble."""

    LEASED = enum.auto()
    """It was loaded under a lease: write it if that still stands, and end the lease."""

    PUT = enum.auto()
    DELETED = enum.auto()


class Confirmation:
    """Tells who put, invalidated or cleared what became of it in the far store."""

    __slots__ = ("done", "error", "left")

    def __init__(self, left: int) -> None:
        self.done = Event()
        self.error: Exception | None = None
        self.left = left

    def settle(self, error: Exception | None) -> None:
        """Take note that one of the changes was written, or was not."""
        self.error = self.error or error
        self.left -= 1
        if self.left <= 0:
            self.done.set()


class PendingChange(Generic[V]):
    """The latest change of a key, and who waits for it to be written: an explicit one has such a waiter."""

    __slots__ = ("change", "token", "told", "value")

    def __init__(self, change: Change, value: V | Absent, token: bytes = b"") -> None:
        self.change = change
        self.value = value
        self.token = token
        self.told: list[Confirmation] = []

    def settle(self, error: Exception | None) -> None:
        """Tell those who wait what became of it."""
        for confirmation in self.told:
            confirmation.settle(error)
        self.told = []


PendingChanges: TypeAlias = "dict[K, PendingChange[V]]"


def values_of(pending: PendingChanges[K, V], *changes: Change) -> dict[K, V]:
    """Return the values of those of ``errands`` that are one of ``changes``."""
    return {
        key: item.value
        for key, item in pending.items()
        if item.change in changes and item.value is not ABSENT
    }
