"""How jobs, amounts and times are told to people: plain, and within 80 columns."""

from __future__ import annotations

import textwrap
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from rich.filesize import decimal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from async_backfill.jobs import JobCounts, JobReport, JobSpec, Throttled

_WIDE: Final = 79
_NAMES: Final = 12
_PLACES: Final = ("url", "file", "table", "namespace")


def columns(rows: Iterable[tuple[str, str | None]]) -> Sequence[str]:
    """Return lines of names and what is said of each; what is ``None`` is left out."""
    lines: list[str] = []
    for name, said in rows:
        if said is not None:
            later = " " * _NAMES
            lines += textwrap.wrap(
                said,
                _WIDE,
                initial_indent=f"{name:<{_NAMES}}",
                subsequent_indent=later,
                break_long_words=False,
                break_on_hyphens=False,
            )
    return lines


def job_lines(report: JobReport) -> Sequence[str]:
    """Return all that there is to say of a job."""
    ended = [shard for shard in report.shards if shard.status == "done"]
    failed = [shard for shard in report.shards if shard.status == "failed"]
    wrong = next((shard for shard in report.shards if shard.error is not None and shard not in ended), None)
    shards = f"{len(ended):,} of {len(report.shards):,} done"
    return [
        f"job {report.id} {report.name}: {report.status.replace('_', ' ')}",
        *columns(
            [
                ("why", report.reason),
                ("rows", ", ".join([share_read(report), *speed(report)])),
                ("of these", _counts(report.counts)),
                ("pages", f"{report.pages:,}, {report.repeated_pages:,} repeated"),
                ("shards", f"{shards}, {len(failed):,} failed" if failed else shards),
                ("error", None if wrong is None else f"shard {wrong.number}: {wrong.error}"),
                ("workers", ", ".join(map(_worker, report.workers)) or None),
                ("waits", None if report.throttled is None else waiting(report.throttled)),
                ("budget", budget_words(report.plan.spec)),
                ("settings", settings_words(report)),
            ]
        ),
    ]


def share_read(report: JobReport) -> str:
    """Return how many rows of a job are read."""
    read, total = report.counts.read, report.rows_total
    share = f" ({min(1.0, read / total):.0%})" if total else ""
    return f"{read:,} of {total:,}{share}"


def speed(report: JobReport) -> Sequence[str]:
    """Return how fast a job is, and for how long it will run, if it is worked on."""
    said = [f"{report.rows_per_second:,.0f} rows/s"] if report.rows_per_second else []
    return said if report.eta_seconds is None else [*said, f"{duration(report.eta_seconds)} left"]


def waiting(throttled: Throttled) -> str:
    """Return why a job waits, and since when."""
    since = time.strftime("%H:%M:%S", time.localtime(throttled.since))
    return f"since {since} {throttled.reason}: {throttled.value} (limit: {throttled.limit})"


def settings_words(report: JobReport) -> str:
    """Return the settings of a job, which can be changed."""
    settings = report.settings
    rate = "none" if settings.rate is None else f"{settings.rate:g}"
    pages = "" if report.plan.spec.budget is None else f" pages={settings.pages or 'none'}"
    return f"rate={rate} batch={settings.batch} lanes={settings.lanes}{pages}"


def budget_words(spec: JobSpec) -> str | None:
    """Return which budget a job shares with others, if it does."""
    if spec.budget is None:
        return None
    permit = "" if spec.budget.get("permits") is None else ", one permit of it"
    name = spec.budget.get("name", "source")
    return f"{place(spec.budget)} {name}, of all who read this source{permit}"


def place(end: Mapping[str, Any]) -> str:
    """Return which source or store a description in a job file is."""
    return " ".join(str(end[name]) for name in ("kind", *_PLACES) if name in end)


def size(count: float) -> str:
    """Return a number of bytes."""
    return decimal(round(count))


def duration(seconds: float) -> str:
    """Return seconds as hours, minutes and seconds."""
    return str(timedelta(seconds=round(seconds))) if seconds < timedelta.max.total_seconds() else "for ever"


def moment(at: float) -> str:
    """Return the local time of seconds since the epoch."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def _counts(counts: JobCounts) -> str:
    left = f"{counts.newer:,} newer in the store, {counts.leased:,} leased"
    return f"{counts.kept:,} kept, {left}, {counts.rejected:,} rejected, {counts.dead:,} dead"


def _worker(worker: Any) -> str:
    if worker.lease_seconds < 0:
        return f"{worker.owner} (lost {duration(-worker.lease_seconds)} ago)"
    return f"{worker.owner} ({worker.shards:,} shards)"
