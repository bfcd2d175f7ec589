"""Between a lookup that is no hit and what answers it: three steps, the middle one is the caller's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, Protocol, cast

from async_backfill.contracts import K, V
from async_backfill.errors import CacheClosedError

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from async_backfill._loading.batch import Batch
    from async_backfill.outcomes import Absent

CLOSED: Final = "the cache is not open; use it inside 'async with cache:'"


class Later(Generic[V]):
    """The rest of a lookup that takes more than one wait: ``rest`` is awaited at once."""

    __slots__ = ("rest",)

    def __init__(self, rest: Coroutine[Any, Any, V | Absent]) -> None:
        self.rest = rest


class Answering(Protocol[K, V]):
    """Answers lookups that are no hits.

    No step is a coroutine: each level of them shows in a stampede, where thousands are kept while they wait.
    The caller awaits the batch itself, and tells when it leaves in between.
    """

    def begin(self, key: K, /) -> V | Absent | Batch[K, V] | Later[V]:
        """Return the value of ``key``, which has no fresh one, or its absence, or what is to be awaited.

        That is a batch, which counts the caller among its waiters, or `Later`.
        """
        ...

    def leave(self, batch: Batch[K, V], /) -> None:
        """Take note that a caller who waited for ``batch`` does so no longer."""
        ...

    def ended(self, key: K, batch: Batch[K, V], /) -> V | Absent | Later[V]:
        """Return the value of ``key``, or its absence, now that ``batch`` has landed, or `Later`."""
        ...


class Refusing:
    """Answers for a cache that is not open: it refuses each lookup with ``reason``."""

    __slots__ = ("_reason",)

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def begin(self, _: object, /) -> NoReturn:
        """Raise `CacheClosedError`."""
        raise CacheClosedError(self._reason)


def refusing(reason: str = CLOSED) -> Answering[Any, Any]:
    """Return what refuses each lookup with ``reason``, so that there is never a step after the first."""
    return cast("Answering[Any, Any]", Refusing(reason))
