"""The summary of a replay: counts, the outcome of each lookup, and the audit log."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from async_backfill._common.json_text import json_text
from async_backfill._runner.replay.lookups import LookupFailure
from async_backfill._runner.replay.plain import PlainValues
from async_backfill.outcomes import ABSENT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from async_backfill._runner.scenario.model import Settings
    from async_backfill.records import AuditRecord
    from async_backfill.stats import Stats

_DECIMALS: Final = 4
_MICROSECONDS: Final = 6
_ONLY_WHERE_GIVEN: Final = frozenset({"capacity_bytes"})  # younger than the form of the summary


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualTime:
    """The virtual ``seconds`` of a replay, and the latencies of its lookups."""

    seconds: float
    latencies: Sequence[float]


def summarize(
    stats: Stats,
    audit: Sequence[AuditRecord],
    settings: Settings,
    *,
    results: Sequence[tuple[object, object]] | None,
    virtual: VirtualTime | None = None,
    hidden: Callable[[str], str] = str,
) -> dict[str, Any]:
    """Return the summary as plain JSON types, in the order in which it is written.

    The same replay gives the same summary: wall-clock times are left out.

    :param results: each lookup's key and outcome; ``None`` leaves them out.
    :param hidden: returns the text of an error as it may be shown.
    :param virtual: the times of a replay in virtual time, which are the same on each run.
    """
    summary: dict[str, Any] = {
        "lookups": stats.lookups,
        "cache_size": stats.size,
        "hits": stats.hits,
        "misses": stats.misses,
        "absent": stats.absent,
        "failed": stats.failed,
        **_causes(stats),
        "hit_rate": round(stats.hit_rate, _DECIMALS),
        "miss_rate": round(stats.miss_rate, _DECIMALS),
        "backfills": stats.backfills,
        "backfills_skipped": stats.backfills_skipped,
        "backfills_denied": stats.backfills_denied,
        "evictions": stats.evictions,
        "source_calls": stats.source_calls,
        "source_keys": stats.source_keys,
    }
    if stats.far is not None:
        far = asdict(stats.far)
        summary["far"] = {**far, "circuit": stats.far.circuit.value}
    if virtual is not None:
        summary["virtual_seconds"] = round(virtual.seconds, _MICROSECONDS)
        for percent in (50, 99):
            summary[f"latency_p{percent}"] = round(percentile(virtual.latencies, percent), _MICROSECONDS)
    if results is not None:
        plain = PlainValues()
        summary["lookup_results"] = [_result(key, outcome, plain, hidden) for key, outcome in results]
        if plain.notes:
            summary["notes"] = plain.notes
    summary["audit"] = [_as_shown(record, hidden) for record in audit]
    summary["audit_dropped"] = stats.audit_dropped
    summary["settings"] = {
        name: value
        for name, value in msgspec.structs.asdict(settings).items()
        if value is not None or name not in _ONLY_WHERE_GIVEN
    }
    return summary


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the nearest-rank percentile of ``values``; 0.0 when there are none."""
    if not values:
        return 0.0
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def encode(summary: dict[str, Any]) -> bytes:
    """Return ``summary`` as indented JSON in UTF-8 with a line end."""
    # Half of a surrogate pair, which UTF-8 cannot hold, becomes the escape that JSON has for it.
    text = json_text(summary, indent=2, allow_nan=False)
    return f"{text}\n".encode(errors="backslashreplace")


def _causes(stats: Stats) -> dict[str, dict[str, int]]:
    """Return the misses by cause, if the cache counts causes."""
    causes = {cause.value: count for cause, count in stats.miss_causes.items()}
    return {"misses_by_cause": causes} if causes else {}


def _result(key: object, outcome: object, plain: PlainValues, hidden: Callable[[str], str]) -> dict[str, Any]:
    result: dict[str, Any] = {"key": plain.of(key), "value": None, "found": False}
    if isinstance(outcome, LookupFailure):
        result["error"] = hidden(outcome.error)
    elif outcome is not ABSENT:
        result.update(value=plain.of(outcome), found=True)
    return result


def _as_shown(record: AuditRecord, hidden: Callable[[str], str]) -> dict[str, object]:
    fields = record.as_dict()
    for name in ("time", "process", "cache"):  # they differ from run to run
        fields.pop(name, None)
    error = fields.get("error")
    if isinstance(error, str):
        fields["error"] = hidden(error)
    return fields
