"""The share of misses at which a backfill starts."""

from __future__ import annotations

from typing import Final

from async_backfill._common.validation import real

_LEAST_THRESHOLD: Final = 0.01
_MOST_THRESHOLD: Final = 1.0
_WHY: Final = (
    " (at 0 every single miss would start a backfill: the cache reads the source without end and thrashes)"
)


def checked_threshold(setting: str, share: object) -> float:
    """Return ``share`` if it is one that a trigger may have, or raise `ConfigurationError`."""
    return real(setting, share, least=_LEAST_THRESHOLD, most=_MOST_THRESHOLD, why=_WHY)
