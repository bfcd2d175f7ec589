"""Pending changes: writes to the far tier (L2), and the callers who wait for them."""

from __future__ import annotations

import enum
from typing import Final, Generic, TypeAlias

from anyio import Event

from async_backfill.contracts import K, V
from async_backfill.outcomes import ABSENT, Absent, Failed

LARGEST_CALL: Final = 500
"""The largest number of keys in one call of the far tier's store."""


class Change(enum.Enum):
    """The kinds of change of a key in the far tier."""

    LOADED = enum.auto()
    """The key was loaded: write its value, if there is room in the queue.

    Without a value, which the store could not keep, an older one is removed.
    """

    LEASED = enum.auto()
    """The key was loaded under a lease: write its value if the lease is still valid, and end the lease.

    With it goes an older one of a value that the store could not keep.
    """

    GONE = enum.auto()
    """The source has the key no more: remove its old value."""

    PUT = enum.auto()
    DELETED = enum.auto()


class Confirmation:
    """The result that a caller of put, invalidate or clear waits for, of ``left`` changes.

    Callers wait because a change that did not arrive must not pass for done: decision 39 in notes.md.
    """

    __slots__ = ("done", "error", "left")

    def __init__(self, left: int) -> None:
        self.done = Event()
        self.error: Exception | None = None
        self.left = left

    def settle(self, error: Exception | None) -> None:
        """Record that one of the changes was written, or failed with ``error``."""
        self.error = self.error or error
        self.left -= 1
        if self.left <= 0:
            self.done.set()

    async def result(self) -> None:
        """Wait until all changes were written.

        :raises Exception: an error like that of the first which failed.
        """
        if self.left > 0:
            await self.done.wait()
        if self.error is not None:
            raise type(self.error)(*self.error.args) from self.error.__cause__


class PendingChange(Generic[V]):
    """The latest change of a key, and the confirmations that wait for it; an explicit change has one.

    ``outcome``
        what those who wait for the lease of the key get to know, when there is no value.
    ``since``
        when the load of the value began, by the clock of `SealedChanges.now`.
    ``is_refused``
        whether there is a value, which the store could not keep.
    """

    __slots__ = ("change", "is_refused", "outcome", "since", "token", "told", "value")

    def __init__(
        self,
        change: Change,
        value: V | Absent,
        token: bytes = b"",
        outcome: Absent | Failed | None = None,
        since: float = 0.0,
        *,
        is_refused: bool = False,
    ) -> None:
        self.since = since
        self.is_refused = is_refused
        self.outcome = outcome
        self.change = change
        self.value = value
        self.token = token
        self.told: list[Confirmation] = []

    @property
    def removes(self) -> bool:
        """Whether this change removes the key from the store, whoever has its lease."""
        return self.value is ABSENT and self.change is not Change.LEASED

    @property
    def ends_copy(self) -> bool:
        """Whether an older copy goes with the lease that this change ends."""
        return self.outcome is ABSENT or self.is_refused

    @property
    def is_unsettled(self) -> bool:
        """Whether the store may hold what is no longer true, until this was written."""
        return bool(self.told) or self.ends_copy or self.removes

    def settle(self, error: Exception | None) -> None:
        """Confirm to the waiting callers that the change was written, or failed with ``error``."""
        for confirmation in self.told:
            confirmation.settle(error)
        self.told = []


PendingChanges: TypeAlias = "dict[K, PendingChange[V]]"


def settle_all(pending: PendingChanges[K, V], error: Exception | None) -> None:
    """Confirm to all who wait for ``pending`` changes that these were written, or failed with ``error``."""
    for item in pending.values():
        item.settle(error)


def values_of(pending: PendingChanges[K, V], change: Change) -> dict[K, V]:
    """Return the values of the ``pending`` changes whose kind is ``change``."""
    return {
        key: item.value for key, item in pending.items() if item.change is change and item.value is not ABSENT
    }


def of_one_time(pending: PendingChanges[K, V], values: dict[K, V], ttl: float | None) -> list[dict[K, V]]:
    """Return ``values`` in groups whose loads began at the same time, or so: a second or 1/16 of ``ttl``."""
    step = 1.0 if ttl is None else min(1.0, ttl / 16.0)
    groups: dict[float, dict[K, V]] = {}
    for key, value in values.items():
        groups.setdefault(pending[key].since // step, {})[key] = value
    return list(groups.values())
