"""A replay as one HTML page that needs nothing else: no network, no script, no other file."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from jinja2 import Environment, StrictUndefined

from async_backfill._runner.replay.charts import bars, flushes, places, rate, stretches
from async_backfill._runner.replay.course import COLD, EVICTED, EXPIRED, FAILED, MISSING, UNKEPT
from async_backfill._runner.scenario.model import Settings
from async_backfill._runner.wording import one_line
from async_backfill.outcomes import LoadCause

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from async_backfill._runner.replay.course import Course, Receipt
    from async_backfill._runner.replay.facts import Facts

_EACH_END: Final = 20
_MOST_KEYS: Final = 10
_LONGEST: Final = 120
_CAUSES: Final = (
    (COLD, "never cached before, or not since the cache was cleared"),
    (EVICTED, "pushed out to make room"),
    (EXPIRED, "older than its ttl"),
    (UNKEPT, "loaded before, but not kept: too large, or there was no free room"),
    (MISSING, "the source does not have the key"),
    (FAILED, "the source did not answer"),
)
_LOADS: Final = (
    (LoadCause.MISS, "misses"),
    (LoadCause.REFRESH, "refreshes"),
    (LoadCause.BACKFILL, "backfills"),
)


def draw(facts: Facts) -> bytes:
    """Return the page in UTF-8; the same replay gives the same bytes."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_finished
    )
    template = files(__package__).joinpath("page.html").read_text("utf-8")
    return environment.from_string(template).render(_shown(facts)).encode()


def _finished(value: object) -> object:
    """Return what stands for ``value``: a number with commas, a text without control characters."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return one_line(value) if type(value) is str else value


def _shown(facts: Facts) -> dict[str, Any]:
    summary, course = facts.summary, facts.course
    place = places(course, timed=facts.timed)
    points = course.points
    flush_at = summary["settings"]["flush_at"]
    return {
        "title": f"Replay of {facts.name}",
        "about": f"source: {facts.source}; {summary['lookups']:,} lookups",
        "taken_for": facts.taken_for,
        "figures": _figures(summary),
        "stretches": stretches(points, place),
        "rate": rate(points, place),
        "costs": [
            bars("source calls", points, place, lambda point: point.source_calls),
            bars("keys read from the source", points, place, lambda point: point.source_keys),
        ],
        "flushes": flushes(flush_at, points, place),
        "start": "0 s" if facts.timed else "first lookup",
        "end": f"{points[-1].seconds:,.1f} s" if facts.timed else f"{points[-1].lookups:,} lookups",
        "misses": _misses(course, summary["misses"]),
        "missed": [(_key(key), count) for key, count in course.missed.most_common(_MOST_KEYS)],
        "failures": [(cause, count) for cause, count in facts.failures],
        "backfills": _backfills(summary, course),
        "receipts": _receipts(course.receipts),
        "successors": _successors(course.successors),
        "source": [*_loads(course), ("all", summary["source_calls"], "", "", summary["source_keys"])],
        "settings": _settings(summary["settings"]),
    }


def _figures(summary: Mapping[str, Any]) -> list[tuple[str, str | int]]:
    figures: list[tuple[str, str | int]] = [
        ("hit rate", f"{summary['hit_rate']:.2%}"),
        *((name, summary[name]) for name in ("hits", "misses", "backfills", "evictions")),
        ("source calls", summary["source_calls"]),
        ("source keys", summary["source_keys"]),
        ("cache size", summary["cache_size"]),
    ]
    if "virtual_seconds" in summary:
        figures += [
            ("virtual time", f"{summary['virtual_seconds']:,.1f} s"),
            ("latency p50", f"{summary['latency_p50']:,.4f} s"),
            ("latency p99", f"{summary['latency_p99']:,.4f} s"),
        ]
    return figures


def _misses(course: Course, total: int) -> list[tuple[str, int, str]]:
    return [
        (f"{cause}: {meaning}", count, f"{count / total:.1%}")
        for cause, meaning in _CAUSES
        if (count := course.causes[cause])
    ]


def _backfills(summary: Mapping[str, Any], course: Course) -> str:
    told = (
        f"{summary['backfills']:,} started, {summary['backfills_skipped']:,} skipped (no keys or no free "
        f"room), {summary['backfills_denied']:,} denied (no permit)."
    )
    loaded = sum(receipt.loaded for receipt in course.receipts.values())
    if not loaded:
        return told
    read = sum(receipt.read for receipt in course.receipts.values())
    return f"{told} They loaded {loaded:,} keys, of which {read:,} ({read / loaded:.1%}) were read."


def _receipts(receipts: Mapping[int, Receipt]) -> list[tuple[object, ...]]:
    """Return a row for each of ``receipts``; of many, for the first and the last ones."""
    rows = [_receipt(str(number), receipt) for number, receipt in receipts.items()]
    if len(rows) <= 2 * _EACH_END:
        return rows
    between = list(receipts.values())[_EACH_END:-_EACH_END]
    return [*rows[:_EACH_END], _sum(f"{len(between):,} more", between), *rows[-_EACH_END:]]


def _receipt(name: str, receipt: Receipt) -> tuple[object, ...]:
    waiting = receipt.loaded - receipt.read - receipt.left
    return (name, receipt.lookup, receipt.loaded, receipt.read, receipt.left, waiting)


def _sum(name: str, receipts: Iterable[Receipt]) -> tuple[object, ...]:
    rows = [_receipt("", receipt)[2:] for receipt in receipts]
    return (name, "", *(sum(column) for column in zip(*rows, strict=True)))


def _successors(receipt: Receipt) -> str:
    if not receipt.loaded:
        return ""
    share = receipt.read / receipt.loaded
    return f"Successors: {receipt.loaded:,} keys were loaded along with missed ones, {share:.1%} were read."


def _loads(course: Course) -> list[tuple[object, ...]]:
    return [
        (name, calls.calls, calls.failed, calls.asked, calls.delivered)
        for cause, name in _LOADS
        if (calls := course.calls[cause]).calls
    ]


def _settings(settings: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    defaults = Settings()
    return [
        (name, _setting(value), "" if value == getattr(defaults, name) else _setting(getattr(defaults, name)))
        for name, value in settings.items()
    ]


def _setting(value: object) -> str:
    if value is None:
        return "none"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _key(key: object) -> str:
    text = key if isinstance(key, str) else str(key)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
