"""Each page of a job is a span of a trace of its own, and so are its plan and its verification."""

from __future__ import annotations

from contextlib import aclosing, asynccontextmanager

import pytest
from anyio import move_on_after, sleep
from opentelemetry.trace import StatusCode

from async_backfill._jobs._reports import JobReports
from async_backfill._jobs._spec import JobSpec
from async_backfill.jobs import JobEnds, JobError, Jobs
from async_backfill.testing import MemoryFarStore
from tests.jobs.table import Facts, Table, rows_of
from tests.jobs.working import Job, state_in
from tests.traces.spans import Spans, facts_of, id_of, is_below, links_of

pytestmark = pytest.mark.anyio


@pytest.fixture
def state(tmp_path):
    with state_in(tmp_path) as opened:
        yield opened


class QueriedTable(Table):
    """A table with instrumentation of its own, whose reads take a moment and may fail."""

    def __init__(self, spans, rows):
        super().__init__(rows)
        self.spans = spans
        self.failures = 0

    async def rows(self, **bounds):
        async with aclosing(super().rows(**bounds)) as pages:
            while True:
                with self.spans.span("SELECT"):
                    await sleep(0.01)
                    if self.failures:
                        self.failures -= 1
                        raise ConnectionError("down at 10.0.0.1")
                    page = await anext(pages, None)
                if page is None:
                    return
                yield page


class QueriedStore(MemoryFarStore):
    """A store with instrumentation of its own."""

    spans: Spans

    async def set_page(self, *page, **settings):
        with self.spans.span("SET"):
            return await super().set_page(*page, **settings)


class TracedJob(Job):
    def __init__(self, state, spans, rows=2_000):
        super().__init__(state, table=QueriedTable(spans, rows_of(rows)), cuts=1)
        self.store = QueriedStore()
        self.store.spans = spans
        self.spans = spans

    async def work(self, **settings):
        return await super().work("w1", reports=JobReports((), self.spans.tracing), **settings)


async def test_each_page_is_a_span_above_its_read_and_its_write(state):
    spans = Spans()
    job = TracedJob(state, spans)
    with spans.span("worker"):
        await job.work()

    pages = [page for page in spans.named("job page") if facts_of(page).get("rows")]
    assert sum(facts_of(page)["kept"] for page in pages) == 2_000
    assert all(page.parent is None for page in pages)
    assert {frozenset(links_of(page)) for page in pages} == {frozenset({id_of(spans.one("worker"))})}
    for page in pages:
        assert any(is_below(read, page) for read in spans.named("SELECT"))
        assert any(is_below(write, page) for write in spans.named("SET"))
        assert facts_of(page)["is_done"] is True
        assert facts_of(page)["job"] == "shop"
    assert spans.open == 0


async def test_a_page_that_cannot_be_read_ends_with_the_type_of_its_error(state):
    spans = Spans()
    job = TracedJob(state, spans)
    job.table.failures = 1
    await job.work()

    (failed,) = [page for page in spans.named("job page") if page.status.status_code is StatusCode.ERROR]
    assert failed.attributes["error.type"] == "ConnectionError"
    assert "10.0.0.1" not in failed.to_json()
    assert spans.open == 0


async def test_pages_of_a_worker_that_is_cancelled_have_spans_that_end(state):
    spans = Spans()
    job = TracedJob(state, spans)
    for seconds in (0.005, 0.015, 0.02, 0.025):
        with move_on_after(seconds):
            await job.work()

    assert spans.named("job page")
    assert spans.open == 0


async def test_a_plan_and_a_verification_are_spans_below_who_asks(state):
    spans = Spans()
    table = QueriedTable(spans, rows_of(100))
    store = MemoryFarStore()

    @asynccontextmanager
    async def ends(_):
        yield JobEnds(rows=table, source=table, store=store, source_facts=table, store_facts=Facts())

    async with Jobs(state, open_ends=ends, tracing=spans.tracing) as jobs:
        with spans.span("request"):
            spec = JobSpec(name="products", source={}, store={}, shards=1)
            job = await jobs.plan(spec, by="ada")
            await jobs.approve(job.id, plan_hash=job.plan_hash, by="bob", reason="new prices")
            await jobs.run(job.id, by="bob")
            await jobs.verify(job.id, by="eve")
            with pytest.raises(JobError):
                await jobs.verify(job.id + 1, by="eve")

    assert is_below(spans.one("job plan"), spans.one("request"))
    assert len(spans.named("job verify")) == 2
    assert all(is_below(verify, spans.one("request")) for verify in spans.named("job verify"))
    assert spans.one("job plan").name == "job plan products"
