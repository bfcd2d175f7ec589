"""The page inside of another application."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount

from async_backfill._jobs._state.jobs import add_job
from async_backfill.admin import Access, routes
from tests.admin.browser import Browser
from tests.jobs.state_rows import plan_of

pytestmark = pytest.mark.anyio


@pytest.fixture
def mounted(jobs):
    async def outer(request, error):
        return PlainTextResponse(f"outer: {request.url}: {error!r}", 500)

    page = routes(jobs=jobs, access=Access(local_user="ada"))
    app = Starlette(routes=[Mount("/ops", routes=page)], exception_handlers={Exception: outer, 404: outer})
    return Browser(app, root="/ops")


async def outer_path(browser, path):
    """Return the addresses on a page that would leave the place where it is mounted."""
    answer = await browser.get(path)
    assert answer.status == 200
    elements = answer.page.elements
    names = ("href", "src", "action", "data-events")
    given = [attributes[name] for _, attributes in elements for name in names if attributes.get(name)]
    return [address for address in given if not address.startswith(("/ops/", "#"))]


async def test_all_addresses_stay_below_the_place_where_it_is_mounted(state, mounted):
    state.now(add_job, plan_of(), by="eve")
    for path in ("/", "/jobs/1", "/jobs/1/review", "/jobs/1/log", "/plan"):
        assert await outer_path(mounted, path) == []


async def test_forms_and_streams_work_there(jobs, state, mounted):
    state.now(add_job, plan_of(), by="eve")
    page = await mounted.send("/jobs/1/review", "/jobs/1/approve", reason="fine")

    assert page.status == 200
    assert (await jobs.status(1)).approval.by == "ada"


async def test_its_errors_are_its_own_pages(mounted):
    for path in ("/jobs/1", "/nothing"):
        answer = await mounted.get(path)
        assert answer.status == 404
        assert "outer" not in answer.text
        assert answer.headers["x-frame-options"] == "DENY"


async def test_a_websocket_is_refused(browser):
    sent = []

    async def send(message):
        sent.append(message)

    await browser.app({**browser.scope("GET", "/", {}), "type": "websocket"}, None, send)

    assert sent == [{"type": "websocket.close", "code": 1008}]
