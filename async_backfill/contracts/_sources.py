"""The source that a cache reads from, and the scan that lists its keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol

from async_backfill.contracts._types import K, K_co, V_co

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from async_backfill.outcomes import Failed


class Source(Protocol[K, V_co]):
    """The system of record behind a cache: a database, a service, a file."""

    async def load_many(self, keys: Sequence[K], /) -> Mapping[K, V_co | Failed]:
        """Return the values of ``keys``; a key missing from the answer does not exist.

        ``keys`` are distinct and at least one. ``None`` is a value. An
        `async_backfill.outcomes.Failed` in place of a value means that this key alone failed; an
        exception fails all keys. Answer under the very keys that were asked for, or equal ones. Other keys
        in an answer are ignored, unless one that was asked for is missing: then it has failed, because it
        may be among them by another name, such as ``"1"`` for ``1``.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CallLimits:
    """How a source wants to be called.

    ``max_batch``
        the largest number of keys in one ``load_many`` call: with 1 each key has a call of its own, so that a
        slow one delays no other.
    ``concurrency``
        the largest number of ``load_many`` calls at once.
    """

    max_batch: int
    concurrency: int


class LimitedSource:
    """A base class for a source that says how it wants to be called; to derive from it is to say so.

    A cache never calls it with more keys, or more often at once, whatever its `LoadPolicy` allows.
    """

    call_limits: CallLimits | None = None
    """The limits of a call; ``None`` for those of the `LoadPolicy` alone."""


@dataclass(frozen=True, slots=True)
class Page(Generic[K_co]):
    """One page of a scan: some keys, and the cursor after which the next page starts; ``None`` at the end."""

    keys: Sequence[K_co]
    cursor: object | None


class Scan(Protocol[K_co]):
    """The ability of some sources to list their keys in a stable order."""

    async def scan(self, cursor: object | None, limit: int, /) -> Page[K_co]:
        """Return up to ``limit`` keys after ``cursor``; ``None`` starts at the first key.

        Only the source that made a cursor can interpret it.
        """
        ...
