"""What came of tuning, as values and as the content of its file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from async_backfill._runner.tuning.grid import DIMENSIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_backfill._runner.tuning.trial import Result

_DECIMALS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """How much of the scenario was replayed.

    ``error``
        the largest difference between a sampled hit rate and the full one, of the settings worth
        choosing; ``None`` when they were not replayed in full.
    """

    share: float
    lookups: int
    keys: int
    error: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """What came of it.

    ``own``
        the result of the scenario's own settings.
    ``tried``
        every result, in the order in which they were tried; with a sample, all are estimates.
    ``chosen``
        the few worth choosing, the one with the least memory first; with a check, replayed in full.
    """

    lookups: int
    keys: int
    own: Result
    tried: Sequence[Result]
    chosen: Sequence[Result]
    sample: Sample | None


def encode(tuning: Tuning) -> bytes:
    """Return ``tuning`` as indented JSON in UTF-8; the same trials give the same bytes."""
    sample = tuning.sample
    document = {
        "lookups": tuning.lookups,
        "keys": tuning.keys,
        "tried": len(tuning.tried),
        "sample": sample
        and {
            "share": sample.share,
            "lookups": sample.lookups,
            "keys": sample.keys,
            "hit_rate_error": None if sample.error is None else round(sample.error, _DECIMALS),
        },
        "scenario": _plain(tuning.own),
        "worth_choosing": [_plain(result) for result in tuning.chosen],
    }
    return f"{json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)}\n".encode()


def _plain(result: Result) -> dict[str, Any]:
    return {
        "settings": {dimension.name: getattr(result.settings, dimension.name) for dimension in DIMENSIONS},
        "entries": result.entries,
        "source_calls": result.source_calls,
        "source_keys": result.source_keys,
        "hit_rate": round(result.hit_rate, _DECIMALS),
        "hit_rate_margin": round(result.margin, _DECIMALS),
        "backfills": result.backfills,
    }
