"""One ``load_many`` call in the making, under way or done, and those who wait for it."""

from __future__ import annotations

import enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Generic

from async_backfill.contracts import K, V
from async_backfill.outcomes import ABSENT, Absent, Failed, LoadCause

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping

    from anyio import CancelScope

    from async_backfill._loading.signals import Signal

_NO_COPIES: Final[Mapping[Any, float]] = MappingProxyType({})


class BatchState(enum.Enum):
    """How far a batch has come; it only ever moves down this list."""

    QUEUED = enum.auto()
    LOADING = enum.auto()
    LANDED = enum.auto()


class Batch(Generic[K, V]):
    """The keys of one source call and its outcome; it belongs to the loader, never to a caller.

    ``copies`` says of values that did not come from the source how many seconds they may be used.
    ``wanted`` are the keys of a backfill that a live caller came to wait for as well; ``along`` are
    those of a live load that nobody asked for. ``begun`` is a source call whose first step was
    taken already. ``seconds`` is how long the source took. ``needs`` says
    which batches this one's load waits for, and for which of their keys: the edges along
    which a circle of loads is found, each under a name of its own.
    """

    __slots__ = (
        "_found",
        "along",
        "begun",
        "cause",
        "copies",
        "done",
        "error",
        "full",
        "is_landed",
        "keys",
        "lend",
        "needs",
        "scope",
        "seconds",
        "state",
        "waiters",
        "wanted",
    )

    def __init__(self, cause: LoadCause, done: Signal, lend: Callable[[int], None]) -> None:
        self.cause = cause
        self.keys: dict[K, None] = {}
        self.wanted: set[K] = set()
        self.along: set[K] = set()
        self.state = BatchState.QUEUED
        self.is_landed = False
        self.waiters = 0
        self.begun: Awaitable[dict[K, V | Failed]] | None = None
        self.done = done
        self.full: Signal | None = None
        self.scope: CancelScope | None = None
        self.error: BaseException | None = None
        self.needs: dict[object, tuple[Hashable, Batch[Any, Any]]] = {}
        self.lend = lend
        self.seconds = 0.0
        self.copies: Mapping[K, float] = _NO_COPIES
        self._found: Mapping[K, V | Failed] = {}

    def land(self, found: Mapping[K, V | Failed], error: BaseException | None) -> None:
        """Take the outcome and wake everyone who waits; a batch lands once."""
        self._found = found
        self.error = error
        self.state = BatchState.LANDED
        self.is_landed = True
        self.done.set()

    def outcome(self, key: K) -> V | Absent | Failed:
        """Return what became of ``key``, once landed."""
        if self.error is not None:
            return Failed(self.error)
        return self._found.get(key, ABSENT)

    def outcomes(self, keys: Iterable[K]) -> dict[K, V | Absent | Failed]:
        """Return what became of each of ``keys``, once landed, in their order."""
        if self.error is not None:
            return dict.fromkeys(keys, Failed(self.error))
        found = self._found
        return {key: found.get(key, ABSENT) for key in keys}

    def values(self, keys: Iterable[K]) -> dict[K, V]:
        """Return the value of each of ``keys`` that has one, in their order."""
        values: dict[K, V] = {}
        for key in keys:
            value = self._found.get(key, ABSENT)
            if value is not ABSENT and not isinstance(value, Failed):
                values[key] = value
        return values

    def answers(self) -> dict[K, V | Failed]:
        """Return the value or the failure of each key that was asked for and exists."""
        found = self._found
        return {key: found[key] for key in self.keys if key in found}
