"""The page of metrics lists each metric as it is told, and each value that its labels can have."""

from __future__ import annotations

import re

from async_backfill._metrics import of_caches, of_jobs
from async_backfill.backfill.readiness import ReadinessState
from async_backfill.outcomes import LoadCause
from async_backfill.records import CircuitState
from tests.docs.reading import MANUAL

PAGE = (MANUAL / "metrics.md").read_text("utf-8")
OF_CACHES = (*of_caches.FACTS, *of_caches.TIMINGS)
OF_JOBS = (*of_jobs.FACTS, of_jobs.READABLE, of_jobs.PAGE, of_jobs.THROTTLED)


def rows(title):
    """Return the cells of the table below ``title``, without its head."""
    _, _, after = PAGE.partition(f"\n### {title}\n")
    lines = [line for line in after.partition("\n##")[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def as_told(metrics):
    return [
        [f"`{metric.series}`", metric.kind, ", ".join(f"`{label}`" for label in metric.labels), metric.text]
        for metric in metrics
    ]


def test_the_page_lists_each_metric_of_a_cache_as_it_is_told():
    assert rows("Of caches") == as_told(OF_CACHES)


def test_the_page_lists_each_metric_of_a_job_as_it_is_told():
    assert rows("Of jobs") == as_told(OF_JOBS)


def test_the_page_lists_each_label_and_the_values_that_are_known():
    said = {label.strip("`"): set(re.findall(r"`([a-z_ ]+)`", values)) for label, values in rows("Labels")}

    assert set(said) == {label for metric in (*OF_CACHES, *OF_JOBS) for label in metric.labels}
    assert {str(cause) for cause in LoadCause} <= said["cause"]
    assert said["state"] == {*map(str, CircuitState), *map(str, ReadinessState)}
    assert said["kind"] == {"wrong", "missing", "extra"}


def test_each_metric_is_told_in_one_sentence():
    assert [metric.text for metric in (*OF_CACHES, *OF_JOBS) if not metric.text.endswith(".")] == []
    assert len({metric.series for metric in (*OF_CACHES, *OF_JOBS)}) == len(OF_CACHES) + len(OF_JOBS)


RUNBOOK = (MANUAL / "runbook.md").read_text("utf-8")


def test_the_runbook_has_a_part_for_each_alert_and_names_only_metrics_that_there_are():
    alerts = re.findall(r"alert: (\w+)", (MANUAL / "monitoring/alerts.yaml").read_text("utf-8"))
    parts = RUNBOOK.split("\n## ")[1:]
    named = set(re.findall(r"`(async_backfill_\w+)", RUNBOOK))
    families = {name for metric in (*OF_CACHES, *OF_JOBS) for name in (metric.series, metric.family)}

    assert [alert for alert in alerts if not any(f"Alert `{alert}`" in part for part in parts)] == []
    assert named - families == set()


def test_what_the_runbook_quotes_of_the_log_is_in_the_table_of_log_lines():
    lines = (MANUAL / "events_and_logs.md").read_text("utf-8")
    table = re.sub(r"\{circuit\}", "source", lines) + re.sub(r"\{circuit\}", "far tier", lines)
    logged = [line for line in re.sub(r"\n(?=\S)", " ", RUNBOOK).splitlines() if "Log: " in line]
    quoted = [text for line in logged for text in re.findall(r"\*([^*]+)\*", line.partition("Log: ")[2])]
    known = re.sub(r"\{\w+\}|…", "…", table)

    assert [text for text in quoted if text not in known and not text.startswith("job …")] == []
    assert len(quoted) > 10
