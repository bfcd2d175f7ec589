"""The probes of FastAPI and Starlette, and the operator's page beside them."""

from __future__ import annotations

import anyio
import pytest

pytest.importorskip("starlette", reason="needs starlette")

from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.routing import Mount

from async_backfill import BackfillCache, BackfillPolicy, ConfigurationError, MappingSource
from async_backfill.contracts import Heats
from async_backfill.frameworks.starlette import Resource, health_routes, lifespan, operator_page
from async_backfill.jobs import Jobs
from async_backfill.testing import GatedSource
from tests.admin.browser import Elements
from tests.frameworks.asgi import Client, asked
from tests.frameworks.conftest import ROWS

pytestmark = pytest.mark.anyio


class Remembered:
    """A journal that knows both products as hot."""

    async def load(self):
        return Heats(keys={"a": 2.0, "b": 1.0}, hit_rate=0.9)

    async def save(self, heats):
        pass


def warming(source):
    """A cache that warms itself from ``source``."""
    return BackfillCache(
        source,
        scan=MappingSource(ROWS),
        capacity=10,
        journal=Remembered(),
        backfill=BackfillPolicy(selection="history"),
    )


def application(*resources, **settings):
    return Starlette(routes=health_routes(*resources, **settings), lifespan=lifespan(*resources))


async def test_the_probe_says_503_until_each_cache_is_warm(products):
    source = GatedSource(ROWS)
    hot, cold = Resource("hot", lambda: warming(source)), Resource("cold", products.open)
    async with asked(application(hot, cold, retry_after=7)) as ask:
        before = await ask("/readyz")
        alive = await ask("/livez")
        await anyio.wait_all_tasks_blocked()
        source.open()
        await hot.of(ask.state).ready()
        after = await ask("/readyz")

    assert (before.status, before["retry-after"], before["cache-control"]) == (503, "7", "no-store")
    assert before.json == {
        "ready": False,
        "resources": {"hot": {"state": "warming", "coverage": 0.0}, "cold": {"state": "open"}},
    }
    assert (alive.status, alive.body, alive["cache-control"]) == (200, b"ok", "no-store")
    assert (after.status, after["retry-after"]) == (200, None)
    assert after.json["resources"]["hot"] == {"state": "ready", "coverage": 1.0}


async def test_a_cache_that_gave_up_takes_traffic():
    source = MappingSource({})
    hot = Resource("hot", lambda: warming(source))
    async with asked(application(hot)) as ask:
        await ask("/readyz")
        await hot.of(ask.state).ready()
        answer = await ask("/readyz", "HEAD")
        assert answer.status == 200
        assert (await ask("/readyz")).json["resources"]["hot"]["state"] == "gave_up"


async def test_what_is_not_open_is_not_ready_and_the_process_lives_all_the_same(products):
    resource = Resource("products", products.open)
    app = application(resource)
    async with asked(app) as ask:
        state = ask.state
    for known in (state, {}):  # closed, and never opened
        answer = await Client(app, known)("/readyz")
        assert (answer.status, answer.json["resources"]) == (503, {"products": {"state": "closed"}})
        assert (await Client(app, known)("/livez")).status == 200


@pytest.mark.parametrize("path", ["live", "ready"])
async def test_the_probes_may_have_other_paths(products, path):
    async with asked(application(Resource("products", products.open), **{path: "/mine"})) as ask:
        assert (await ask("/mine")).status == 200


@pytest.mark.parametrize("seconds", [0, 1.5])
def test_retry_after_is_a_number_of_whole_seconds(seconds):
    with pytest.raises(ConfigurationError, match="retry_after"):
        health_routes(retry_after=seconds)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # of the jobs
async def test_the_operators_page_shows_the_caches_and_the_jobs_that_were_opened(products, tmp_path):
    pytest.importorskip("jinja2", reason="the page needs it")
    jobs = Resource("jobs", lambda: Jobs(tmp_path / "jobs.sqlite"))
    cache = Resource("products", products.open)

    @asynccontextmanager
    async def other():
        yield "no cache"

    extra = Resource("extra", other)
    page = operator_page("/ops", cache, jobs, extra)
    app = Starlette(routes=[page], lifespan=lifespan(cache, jobs, extra))
    for lookups in (1, 2):  # the application is started again
        async with asked(app) as ask:
            for _ in range(lookups):
                await cache.of(ask.state).get("a")
            page = Elements((await ask("/ops/")).body.decode())
            assert [value for fact, value, _ in page.data if fact.endswith("lookups")] == [str(lookups)]
            assert "There are no jobs yet." in page.outside


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # of the jobs
async def test_the_operators_page_runs_with_the_lifespan_and_can_verify_jobs(tmp_path):
    pytest.importorskip("jinja2", reason="the page needs it")
    jobs = Resource("jobs", lambda: Jobs(tmp_path / "jobs.sqlite"))
    page = operator_page("/ops", jobs, state=str(tmp_path / "jobs.sqlite"), job_folder=tmp_path)
    app = Starlette(routes=[Mount("/inside", routes=[page])], lifespan=lifespan(jobs))
    async with asked(app) as ask:
        json_body = {"headers": [("content-type", "application/json")], "body": b"{}"}
        answer = await ask("/inside/ops/api/jobs/1/verify", "POST", **json_body)
        assert (answer.status, "there is no job 1" in answer.body.decode()) == (409, True)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_operators_page_has_the_jobs_of_one_state(tmp_path):
    pytest.importorskip("jinja2", reason="the page needs it")
    two = [Resource(name, lambda name=name: Jobs(tmp_path / name)) for name in ("one", "two")]
    app = Starlette(routes=[operator_page("/ops", *two)], lifespan=lifespan(*two))
    with pytest.raises(ConfigurationError, match="mount a page for each"):
        async with asked(app):
            pass
