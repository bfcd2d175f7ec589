"""The limits of the calls of a loader: what its policy and its source say together."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from async_backfill.contracts import LimitedSource
from async_backfill.errors import LoadTimeoutError

if TYPE_CHECKING:
    from async_backfill.contracts import Source
    from async_backfill.policies import LoadPolicy

_CALLS: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How a source is called.

    ``max_batch``
        keys in one call at the most.
    ``concurrency``
        calls at once.
    ``bulk``
        calls at once for what no caller has missed: refreshes and backfills. Where a source limits its calls,
        such a load may be many of them, and leaves half of the places to live misses.
    ``patience``
        seconds that a live miss waits for a place; ``None`` for no limit. Where a source limits its calls,
        more of them queue, and those behind calls that hang must not wait for one timeout after another.
    """

    max_batch: int
    concurrency: int
    bulk: int
    patience: float | None

    @property
    def are_of_source(self) -> bool:
        """Whether the source limits its calls."""
        return self.bulk < sys.maxsize


def limits_of(source: Source[Any, Any], policy: LoadPolicy) -> Limits:
    """Return the limits of the calls of ``source``: never more than ``policy`` or the source allows."""
    own = source.call_limits if isinstance(source, LimitedSource) else None
    if own is None:
        calls = _CALLS if policy.concurrency is None else policy.concurrency
        return Limits(max_batch=policy.max_batch, concurrency=calls, bulk=sys.maxsize, patience=None)
    calls = own.concurrency if policy.concurrency is None else min(policy.concurrency, own.concurrency)
    return Limits(
        max_batch=min(policy.max_batch, own.max_batch),
        concurrency=calls,
        bulk=max(1, calls // 2),
        patience=policy.timeout,
    )


def no_place(limits: Limits) -> LoadTimeoutError:
    """Return the error of a load that waited for a place as long as a call may take."""
    waited = f"none of {limits.concurrency} calls ended within the timeout of {limits.patience} s"
    return LoadTimeoutError(f"the source was not called: {waited} (LoadPolicy.concurrency)")
