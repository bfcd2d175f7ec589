"""The two ends of a job: the source that is read, and the store that is filled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias

from async_backfill.contracts import K, V

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from async_backfill._jobs._spec import JobSpec
    from async_backfill.contracts import FarStore, Invalidations, Rows, Source


class SourceFacts(Protocol):
    """The ability of some sources to say how large they are, what their rows look like, and how they fare."""

    async def count(self) -> tuple[int, str]:
        """Return the number of rows, and how it was found, such as ``"counted"``."""
        ...

    async def schema(self) -> str | None:
        """Return a fingerprint of the columns and their types."""
        ...

    async def lag(self) -> float | None:
        """Return the seconds that a replica lags behind; ``None`` for a source that is none."""
        ...

    async def load(self, query: str, /) -> float:
        """Return the number that ``query`` asks the source's database for."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreState:
    """How a store fares.

    ``used``, ``limit``
        bytes; ``None`` where it does not say, or has no limit.
    ``evicted``
        how many entries it has evicted since it began; ``None`` where it does not say.
    ``clock``
        seconds since the epoch by its own clock; ``None`` where it is the clock of this machine.
    """

    used: int | None = None
    limit: int | None = None
    evicted: int | None = None
    clock: float | None = None


class StoreFacts(Protocol):
    """The ability of some far stores to keep marks of jobs beside the entries, and to say how they fare.

    A mark is lost when the store is: so a job learns that the rows it wrote are gone.
    """

    async def mark(self, name: str, value: str, /) -> None:
        """Keep the mark of that name, until `unmark`."""
        ...

    async def marked(self, name: str, /) -> str | None:
        """Return the mark of that name; ``None`` if there is none."""
        ...

    async def unmark(self, name: str, /) -> None:
        """Forget the mark of that name."""
        ...

    async def state(self) -> StoreState:
        """Return how the store fares now."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEnds(Generic[K, V]):
    """What a worker needs of the source and of the store, open.

    ``rows``, ``source``
        usually one object: the rows in ranges, and the loads by key for rows that must be read again.
    ``source_facts``, ``store_facts``
        ``None`` where the end has no such ability.
    """

    rows: Rows[K, V]
    source: Source[K, V]
    store: FarStore[K, V]
    source_facts: SourceFacts | None = None
    store_facts: StoreFacts | None = None
    invalidations: Invalidations[K] | None = None


OpenEnds: TypeAlias = "Callable[[JobSpec], AbstractAsyncContextManager[JobEnds[Any, Any]]]"
"""Opens the ends that a spec describes, in any process that works on the job."""
