"""Sample the keys of a scenario by hash (SHARDS), and scale the counts up to the whole.

C. Waldspurger, N. Park, A. Garthwaite, I. Ahmad, Efficient MRC Construction with SHARDS, FAST 2015,
sections 3 and 4. The hash of a key decides whether it is in the sample. The cache is scaled with the sample.
If the sample has too many or too few lookups, the difference is taken for hits (SHARDS-adj). Keys that the
source does not have are counted in full: each lookup of one is a miss.

Backfills are not in the paper. The window of the trigger is scaled like the lookups, a batch like the
capacity, and the budget stays the same, so that the same number of backfills loads the same share of the
keys. If a scaled batch would be less than one key, one sampled backfill stands for several, and the budget
is scaled instead. A sample has fewer misses, so its backfills start later than those of the whole.
"""

# Why by key hash, and where the estimate does not hold: see decision 28 in notes.md.

from __future__ import annotations

import math
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

import msgspec

from async_backfill._common.written_keys import canonical

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping

    from async_backfill._runner.scenario.model import Settings
    from async_backfill.stats import Stats

_BYTES: Final = 8
_PLACES: Final = 256**_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """The estimated counts of a replay of the whole scenario."""

    lookups: int
    source_calls: int
    source_keys: int
    entries: int
    hit_rate: float
    backfills: int


def place_of(key: Hashable) -> float:
    """Return the hash of ``key`` as a number in [0.0, 1.0), the same in every process."""
    text = canonical(key) or repr(key)
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_BYTES).digest()
    return int.from_bytes(digest) / _PLACES


def sampled(keys: Iterable[Hashable], share: float) -> list[Any]:
    """Return the ``keys`` in the sample, in order: all occurrences of a key, or none."""
    known: dict[Hashable, bool] = {}
    taken: list[Any] = []
    for key in keys:
        if key not in known:
            known[key] = place_of(key) < share
        if known[key]:
            taken.append(key)
    return taken


def scale_down(settings: Settings, share: float) -> Settings:
    """Return ``settings`` scaled for a replay of the sample; threshold, successors and flush stay."""
    budget, backfills = settings.max_backfills, _backfills_per_sampled(settings, share)
    return msgspec.structs.replace(
        settings,
        capacity=None if settings.capacity is None else _scaled(settings.capacity, share),
        window=max(settings.min_lookups, _scaled(settings.window, share)),
        backfill_batch=_scaled(settings.backfill_batch, share),
        max_backfills=None if budget is None else budget and _scaled(budget, 1 / backfills),
    )


def scale_up(
    stats: Stats, settings: Settings, share: float, *, entries: int, lookups: int, absent: int
) -> Estimate:
    """Return the estimate for all ``lookups`` from the counts of a replay of the sample.

    :param settings: the settings of the whole, not scaled.
    :param entries: the largest number of sampled keys in the cache.
    :param absent: the number of lookups of keys that the source does not have.
    """
    factor = _backfills_per_sampled(settings, share)
    entries = round(entries / share)
    misses = absent + (stats.misses - stats.absent) / share
    missing = (stats.source_calls - stats.backfills - stats.absent) / share
    return Estimate(
        lookups=lookups,
        # A backfill is one call, also for the keys that are not in the sample, so it is not scaled.
        source_calls=round(absent + missing + stats.backfills * factor),
        source_keys=round(stats.source_keys / share),
        entries=entries if settings.capacity is None else min(entries, settings.capacity),
        hit_rate=max(0.0, 1.0 - misses / lookups) if lookups else 0.0,
        backfills=round(stats.backfills * factor),
    )


def margin_of(loads: Mapping[Any, int], share: float, lookups: int) -> float:
    """Return three standard errors of a sampled hit rate.

    The misses are a sum over keys, each of which is in the sample with the probability ``share``; their
    variance is that of Horvitz and Thompson 1952 for independent draws. The error from scaling the cache is
    not included.

    :param loads: the number of loads of each sampled key that the source has.
    """
    if not lookups:
        return 0.0
    squares = sum(count * count for count in loads.values())
    return 3.0 * math.sqrt((1.0 - share) * squares) / (share * lookups)


def _scaled(size: int, share: float) -> int:
    return max(1, round(size * share))


def _backfills_per_sampled(settings: Settings, share: float) -> float:
    """Return the number of backfills that one sampled backfill stands for; 1 unless batches are tiny."""
    return max(1.0, 1.0 / (settings.backfill_batch * share))
