"""The result of tuning, and its JSON report."""

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
    """The sample that was replayed.

    ``error``
        the largest difference between the sampled and the full hit rate of a setting worth choosing;
        ``None`` when they were not replayed in full.
    """

    share: float
    lookups: int
    keys: int
    error: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """The result of tuning.

    ``own``
        the result of the scenario's own settings.
    ``tried``
        all results, in the order of the trials; with a sample, all are estimates.
    ``chosen``
        the few worth choosing, in ascending order of memory; with a check, replayed in full.
    ``all_wanted``
        whether each key of the source is looked up.
    ``taken_for``
        lines about what each file was taken for, and what was read into memory.
    """

    lookups: int
    keys: int
    own: Result
    tried: Sequence[Result]
    chosen: Sequence[Result]
    sample: Sample | None
    all_wanted: bool = False
    taken_for: Sequence[str] = ()


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
        "cost": round(result.cost, 2),
        "hit_rate": round(result.hit_rate, _DECIMALS),
        "hit_rate_margin": round(result.margin, _DECIMALS),
        "backfills": result.backfills,
    }
