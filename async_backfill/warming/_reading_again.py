"""Read rows again by their keys: their page was read too long ago, or a process was loading them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic

from async_backfill._common.other_keys import failures
from async_backfill.contracts import K, LimitedSource, V
from async_backfill.outcomes import Failed

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from async_backfill.contracts import Source

_MOST: Final = 1000  # keys of one call


@dataclass(frozen=True, slots=True, kw_only=True)
class Again(Generic[K, V]):
    """Some rows as they are now, those that are gone, and why others could not be read."""

    rows: Mapping[K, V]
    gone: Collection[K]
    failed: Mapping[K, BaseException]


async def read_again(source: Source[K, V], keys: Sequence[K]) -> Again[K, V]:
    """Return the rows of ``keys``, read in as many calls as the source wants."""
    limits = source.call_limits if isinstance(source, LimitedSource) else None
    most = _MOST if limits is None else min(_MOST, limits.max_batch)
    rows: dict[K, V] = {}
    gone: list[K] = []
    failed: dict[K, BaseException] = {}
    for first in range(0, len(keys), most):
        part = keys[first : first + most]
        answer = await source.load_many(part)
        found: Mapping[K, V | Failed] = {**answer, **failures(part, answer, LookupError)}
        for key in part:
            if key not in found:
                gone.append(key)
            elif isinstance(value := found[key], Failed):
                failed[key] = value.error
            else:
                rows[key] = value
    return Again(rows=rows, gone=gone, failed=failed)
