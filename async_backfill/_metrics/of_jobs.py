"""What is told of a job: one table for all libraries, read from its report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from async_backfill._jobs._records import JobStatus
from async_backfill._metrics.facts import Fact, Metric, Timing, one, some

if TYPE_CHECKING:
    from async_backfill._jobs._report import JobReport
    from async_backfill._metrics.facts import Values

JOB: Final = "job_name"
"""The label that every metric of a job has. Not ``job``: a server of Prometheus has a label of that name."""

_STATUSES: Final = (*(status.value for status in JobStatus), "interrupted", "pausing", "cancelling")
_OUTCOMES: Final = ("kept", "newer", "leased", "rejected", "dead")
_KINDS: Final = ("wrong", "missing", "extra")


def _rows(report: JobReport) -> Values:
    return [((outcome,), getattr(report.counts, outcome)) for outcome in _OUTCOMES]


def _status(report: JobReport) -> Values:
    return [((status,), float(report.status == status)) for status in _STATUSES]


def _waiting(report: JobReport) -> Values:
    return () if report.throttled is None else [((report.throttled.reason,), 1.0)]


def _differences(report: JobReport) -> Values:
    return [((kind,), report.findings.get(kind, 0)) for kind in _KINDS]


FACTS: Final[tuple[Fact[JobReport], ...]] = (
    one("job.id", "gauge", "", lambda job: job.id,
        "The number of the job: of those with one name the one under way, or else the last one planned."),
    some("job.status", "gauge", "", ("status",), _status,
         "1 for the status of the job, 0 for the others; interrupted: it should run, and no worker lives."),
    one("job.rows.planned", "gauge", "{row}", lambda job: job.rows_total, "Rows of the source, as planned."),
    one("job.rows.read", "counter", "{row}", lambda job: job.counts.read,
        "Rows that were read; a job that begins anew begins at 0."),
    some("job.rows", "gauge", "{row}", ("outcome",), _rows,
         "Rows by what became of them; their sum is the rows that were read."),
    one("job.pages", "counter", "{page}", lambda job: job.pages, "Pages that were written and kept."),
    one("job.pages.repeated", "counter", "{page}", lambda job: job.repeated_pages,
        "Pages that were read again after a worker was lost."),
    one("job.rows_per_second", "gauge", "", lambda job: job.rows_per_second,
        "Rows a second of the workers that live."),
    one("job.eta", "gauge", "s", lambda job: job.eta_seconds,
        "Seconds until the planned rows are read at that speed; nothing when nobody works or none is left."),
    one("job.workers", "gauge", "{worker}",
        lambda job: sum(worker.lease_seconds > 0.0 for worker in job.workers), "Workers that live."),
    some("job.waiting", "gauge", "", ("reason",), _waiting,
         "1 for the reason why the workers read no page now; nothing when they do not wait."),
    some("job.differences", "gauge", "{row}", ("kind",), _differences,
         "Differences that the last verification found and left, of 10,000 at the most."),
)  # fmt: skip

READABLE: Final = Metric(
    name="jobs.readable", kind="gauge", text="1 when the state of the jobs could be read lately, else 0."
)
THROTTLED: Final = Metric(
    name="job.throttled",
    kind="counter",
    unit="s",
    labels=("reason",),
    text="Seconds for which lanes of this process's workers waited, by why; counted when they go on.",
)
PAGE: Final = Timing(
    name="job.page.duration",
    text="Seconds that this process's workers took to write a page.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
