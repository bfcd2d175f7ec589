"""A batch: the keys of one ``load_many`` call, its state, its outcome and its waiters."""

from __future__ import annotations

import enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Generic

from async_backfill.contracts import K, V
from async_backfill.outcomes import ABSENT, Absent, Failed, LoadCause

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
    from contextvars import Context

    from anyio import CancelScope

    from async_backfill._loading.load_trace import LoadTrace
    from async_backfill._loading.signals import Signal

_NOTHING: Final[Any] = frozenset()
_NO_NEEDS: Final[Any] = MappingProxyType({})
_NO_COPIES: Final[Mapping[Any, float]] = MappingProxyType({})
_UNSTABLE: Final = "the key was not found again when its load ended: its hash or its == has changed meanwhile"


def is_found_again(key: Hashable, keys: Mapping[Any, None]) -> bool:
    """Return whether ``key``, which is one of ``keys``, still is where its hash was when it came."""
    return key in keys and hash(key) == hash(key)  # the first alone may meet it by chance


class BatchState(enum.Enum):
    """The stages of a batch, in order; a batch never goes back."""

    QUEUED = enum.auto()
    LOADING = enum.auto()
    LANDED = enum.auto()


class Batch(Generic[K, V]):
    """The keys of one source call and its outcome; owned by the loader, never by a caller.

    ``wanted``
        keys of a backfill that a live caller waits for as well.
    ``along``
        keys of a live load that no caller asked for: successors.
    ``calls``
        of a load that no caller has missed: the source calls that were made for it.
    ``context``
        the context of its first caller, which the source is called in; ``None`` for that of the opening.
    ``due``
        the time at which it has waited too long for a place; ``None`` for no limit.
    ``begun``
        the rest of a source call whose first step was already taken.
    ``copies``
        seconds for which each value that came from the far tier, not from the source, may be used.
    ``done``
        set when it lands; ``None`` until somebody waits.
    ``seconds``
        how long the source took.
    ``since``
        when its first source call began, by the clock of the cache; ``None`` if there was none.
    ``found``
        the outcomes of the keys that have one, once it has landed.
    ``moved``
        the batches that some of its keys moved on to, because they have to wait longer than the others.
    ``needs``
        the batches that this load waits for, each with the key it needs: the edges of the graph in
        which a load cycle is found, each under a name of its own.
    ``trace``
        the span of the load that it belongs to; ``None`` where none is made.
    ``lend``
        called with 1 when the load starts to wait for another one, with -1 when it goes on.

    :param signal: returns a new signal; called when somebody waits.
    """

    # Making a batch is much of a lone miss. So what few loads use is of the class, and empty, until they do:
    # whoever adds to ``needs`` makes one of the batch's own first. What is looked at often is of the batch,
    # because what is of a class takes longer to find.
    wanted: set[K] = _NOTHING
    along: set[K] = _NOTHING
    context: Context | None = None
    due: float | None = None
    begun: Awaitable[dict[K, V | Failed]] | None = None
    scope: CancelScope | None = None
    error: BaseException | None = None
    needs: dict[object, tuple[Hashable, Batch[Any, Any]]] = _NO_NEEDS
    calls = 0
    seconds = 0.0
    since: float | None = None
    moved: dict[K, Batch[K, V]] | None = None
    copies: Mapping[K, float] = _NO_COPIES
    trace: LoadTrace | None = None
    found: Mapping[K, V | Failed] = MappingProxyType({})

    def __init__(self, cause: LoadCause, signal: Callable[[], Signal], lend: Callable[[int], None]) -> None:
        self.cause = cause
        self.keys: dict[K, None] = {}
        self._signal = signal
        self.lend = lend
        self.state = BatchState.QUEUED
        self.is_landed = False
        self.waiters = 0
        self.done: Signal | None = None
        self.full: Signal | None = None

    def wait(self) -> Awaitable[object]:
        """Return an awaitable that ends when this lands; await it at once and only once."""
        done = self.done
        if done is None:
            done = self.done = self._signal()
            if self.is_landed:
                done.set()
        return done.wait()

    def land(self, found: Mapping[K, V | Failed], error: BaseException | None) -> None:
        """Store the outcome and wake all waiters; called once for each batch."""
        self.found = found
        self.error = error
        self.state = BatchState.LANDED
        self.is_landed = True
        if self.done is not None:
            self.done.set()

    def want(self, key: K) -> None:
        """Take note that a live caller waits for ``key``, one of a backfill."""
        if not self.wanted:
            self.wanted = set()
        self.wanted.add(key)

    def bring_along(self, key: K) -> None:
        """Add ``key``, which no caller asked for."""
        if not self.along:
            self.along = set()
        self.along.add(key)
        self.keys[key] = None

    def leave_out_after(self, size: int) -> None:
        """Remove the keys that came after the first ``size``, without calling their hash."""
        while len(self.keys) > size:
            self.keys.popitem()

    def outcome(self, key: K) -> V | Absent | Failed:
        """Return the value of ``key``, its absence or its failure; only after the batch has landed."""
        if self.error is not None:
            return Failed(self.error)
        outcome = self.found.get(key, ABSENT)
        if outcome is ABSENT and self.moved is None and not is_found_again(key, self.keys):
            return Failed(TypeError(_UNSTABLE))
        return outcome

    def outcomes(self, keys: Iterable[K]) -> dict[K, V | Absent | Failed]:
        """Return the `outcome` of each of ``keys``, in their order; only after the batch has landed."""
        if self.error is not None:
            return dict.fromkeys(keys, Failed(self.error))
        return {key: self.outcome(key) for key in keys}

    def values(self, keys: Iterable[K]) -> dict[K, V]:
        """Return the values of those of ``keys`` that have one, in their order."""
        values: dict[K, V] = {}
        for key in keys:
            value = self.found.get(key, ABSENT)
            if value is not ABSENT and not isinstance(value, Failed):
                values[key] = value
        return values

    def answers(self) -> dict[K, V | Failed]:
        """Return the value or the failure of each key of this batch that exists."""
        found = self.found
        return {key: found[key] for key in self.keys if key in found}
