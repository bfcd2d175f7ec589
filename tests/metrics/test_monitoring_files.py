"""The dashboard and the alert rules: each expression is one, of metrics and labels that there are."""

from __future__ import annotations

import json
import re
from contextlib import AsyncExitStack

import looptime
import promql_parser
import pytest
import yaml
from anyio import create_task_group, sleep

from async_backfill import (
    BackfillCache,
    BackfillPolicy,
    CircuitPolicy,
    FarTier,
    LoadPolicy,
    MappingSource,
    WeighedStore,
)
from async_backfill._jobs._spec import JobSettings
from async_backfill.jobs import Jobs
from async_backfill.prometheus import CacheMetrics, JobMetrics
from async_backfill.testing import MemoryFarStore
from tests.docs.reading import MANUAL
from tests.metrics.scraped import families
from tests.metrics.test_job_metrics import WatchedJob

pytestmark = pytest.mark.anyio

ROWS = {number: number for number in range(100)}
ALERTS = yaml.safe_load((MANUAL / "monitoring/alerts.yaml").read_text("utf-8"))
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
DASHBOARD = json.loads((MANUAL / "monitoring/grafana.json").read_text("utf-8"))
TARGETS = [(panel["title"], target) for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
OF_THE_SERVER = {"instance", "job"}
REASONS = set(re.findall(r"^\| `([a-z ]+)` \|", (MANUAL / "jobs.md").read_text("utf-8"), re.MULTILINE))
RUNBOOK = "https://github.com/async-backfill/async_backfill/blob/main/docs/runbook.md#"


@pytest.fixture
def anyio_backend():
    """One backend: what is scraped is the same on each."""
    return "asyncio", {"loop_factory": lambda: looptime.new_event_loop(start=0.0, end=None, noop_cycles=0)}


@pytest.fixture
async def there(registry, state):
    """The labels, and the values of each, that the series of a scrape have, by their names."""
    caches, job_metrics = CacheMetrics(registry), JobMetrics(registry)
    source = MappingSource(ROWS)
    load = LoadPolicy(circuit=CircuitPolicy())
    of_history = BackfillPolicy(selection="history")
    kinds = [
        {"backfill": of_history, "scan": source, "capacity": 9, "max_backfills": 1},
        {"store": WeighedStore(5, lambda *_: 1), "far": FarTier(store=MemoryFarStore())},
    ]
    job = WatchedJob(state, job_metrics, rows=500)
    job.set(JobSettings(rate=100.0, batch=100))
    async with AsyncExitStack() as opened, create_task_group() as tasks:
        for number, settings in enumerate(kinds):
            cache = BackfillCache(source, name=f"cache {number}", observers=[caches], load=load, **settings)
            await opened.enter_async_context(cache)
            await cache.get(1)
            assert number or cache.is_ready() is not None
        tasks.start_soon(job.work)
        await sleep(2.5)
        await job_metrics.look(Jobs(state))
        found = families(registry)
    series = {}
    for family in found.values():
        for sample in family.samples:
            labels = series.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    return series


def parts(expression):
    """Return all parts of a parsed expression, itself among them."""
    below = [getattr(expression, name, None) for name in ("lhs", "rhs", "expr", "param", "vector_selector")]
    below += getattr(expression, "args", None) or ()
    return [expression, *(part for each in below if each is not None for part in parts(each))]


def parsed(text):
    """Return the parts of an expression, whose variables of Grafana stand for any value."""
    return parts(promql_parser.parse(re.sub(r"\$__rate_interval", "5m", text).replace("$", "any_")))


def names_in(text):
    """Return the names of the metrics in an expression."""
    return {part.name for part in parsed(text) if isinstance(part, promql_parser.VectorSelector)}


def problems(text, there):
    """Return what ``text`` asks for that no scrape has."""
    said, labels = [], set()
    for part in parsed(text):
        if isinstance(part, promql_parser.VectorSelector):
            if part.name not in there:
                said.append(f"no metric {part.name}")
                continue
            labels |= there[part.name].keys()
            for matcher in part.matchers.matchers:
                known = there[part.name].get(matcher.name, set())
                if matcher.name == "reason":
                    known = REASONS
                wanted = matcher.value
                if not known or not (wanted.startswith("any_") or _all_known(wanted, known)):
                    said.append(f"{part.name} has no {matcher.name}={wanted}")
    grouped = [part.modifier for part in parsed(text) if getattr(part, "modifier", None) is not None]
    for modifier in grouped:
        names = {name for inner in re.findall(r"\((.*)\)", str(modifier)) for name in inner.split(", ")}
        said += [f"no label {name}" for name in names - labels - OF_THE_SERVER]
    return said


def _all_known(wanted, known):
    return all(any(re.fullmatch(part, value) for value in known) for part in wanted.split("|"))


async def test_each_expression_of_the_dashboard_finds_its_metrics_and_labels(there):
    wrong = {title: problems(target["expr"], there) for title, target in TARGETS}
    assert {title: said for title, said in wrong.items() if said} == {}
    assert len(TARGETS) > 25


async def test_each_alert_finds_its_metrics_and_labels(there):
    wrong = {rule["alert"]: problems(rule["expr"], there) for rule in RULES}
    assert {name: said for name, said in wrong.items() if said} == {}


async def test_a_metric_or_a_label_or_a_value_that_is_not_there_is_found(there):
    assert problems("sum(rate(async_backfill_lookup_total[5m]))", there) == [
        "no metric async_backfill_lookup_total"
    ]
    assert problems('async_backfill_lookups_total{result=~"hit|fresh"}', there) != []
    assert problems("sum by (name) (async_backfill_keys)", there) == ["no label name"]


def test_the_dashboard_shows_each_metric_that_an_alert_looks_at():
    shown = {name for _, target in TARGETS for name in names_in(target["expr"])}
    alerted = {name for rule in RULES for name in names_in(rule["expr"])}
    assert alerted - shown == {"async_backfill_jobs_readable"}


async def test_the_variables_of_the_dashboard_are_labels_of_their_metrics(there):
    asked = [item["definition"] for item in DASHBOARD["templating"]["list"] if item["type"] == "query"]
    found = [re.fullmatch(r"label_values\((\w+), (\w+)\)", text).groups() for text in asked]
    assert [label for metric, label in found if label in there[metric]] == ["cache", "job_name"]


def test_the_texts_name_only_labels_that_their_expression_leaves():
    legends = [(target["legendFormat"], target["expr"]) for _, target in TARGETS]
    for text, expression in [*legends, *((rule["annotations"]["summary"], rule["expr"]) for rule in RULES)]:
        left = set(re.findall(r"by \(([\w, ]+)\)", expression)[0].split(", "))
        assert set(re.findall(r"\{\{ ?(?:\$labels\.)?([a-z_]+) ?\}\}", text)) <= left, expression


def test_each_alert_leads_to_its_part_of_the_runbook():
    headings = re.findall(r"^## (.+)$", (MANUAL / "runbook.md").read_text("utf-8"), re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    for rule in RULES:
        page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert f"{page}#" == RUNBOOK
        assert anchor in anchors, rule["alert"]
