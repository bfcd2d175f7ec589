"""The two ends of a job: the source that is read, and the store that is filled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeAlias

from async_backfill.contracts import K, SourceFacts, StoreFacts, V

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from async_backfill._jobs._spec import JobSpec
    from async_backfill.contracts import FarStore, Invalidations, Permits, ReadBudget, Rows, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEnds(Generic[K, V]):
    """What a worker needs of the source and of the store, open.

    ``rows``, ``source``
        usually one object: the rows in ranges, and the loads by key for rows that must be read again.
    ``source_facts``, ``store_facts``
        ``None`` where the end has no such ability.
    ``budget``
        of all who read the source, where the rate and the pages at once of several workers or jobs are one.
    ``permits``
        of which each job takes one before it runs, as caches take one for each backfill.
    ``hidden``
        returns a text, such as that of an error, without secrets, before it is kept, logged or shown.
    """

    rows: Rows[K, V]
    source: Source[K, V]
    store: FarStore[K, V]
    source_facts: SourceFacts | None = None
    store_facts: StoreFacts | None = None
    invalidations: Invalidations[K] | None = None
    budget: ReadBudget | None = None
    permits: Permits | None = None
    hidden: Callable[[str], str] = str


OpenEnds: TypeAlias = "Callable[[JobSpec], AbstractAsyncContextManager[JobEnds[Any, Any]]]"
"""Opens the ends that a spec describes, in any process that works on the job."""
