"""Orders to a cache by a form and by the API: carried out, refused in one line, audited with who and why."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from anyio import create_task_group, sleep

from async_backfill import BackfillCache, MappingSource
from async_backfill.admin import Access, Application
from async_backfill.admin._cache_verbs import VERBS
from async_backfill.errors import StoreError
from async_backfill.testing import GatedSource
from tests.admin.browser import Elements
from tests.admin.conftest import browser_on
from tests.admin.test_api import ADA, BOB, TOKENS, Program
from tests.admin.test_hostile_texts import EVIL, check

pytestmark = pytest.mark.anyio
ROWS = {number: f"value {number}" for number in range(100)}
NAME = "prices of/today?"
HOSTILE = [*EVIL, "\x00", "é", "-1", "' OR 1=1 --"]
ORDERS = ("pause", "resume", "cancel", "approve", "revoke", "off", "on", "invalidate", "retune")
FIELDS = {
    "approve": {"n": "2"},
    "revoke": {"n": "1"},
    "invalidate": {"key": "7"},
    "retune": {"threshold": "0.25", "batch": "7", "rate": "12.5"},
}
READ = {"key": str, "n": int, "threshold": float, "batch": int, "rate": float, "reason": str}
PATH = f"/api/caches/{quote(NAME)}"


@pytest.fixture
async def cache():
    source = MappingSource(ROWS)
    async with BackfillCache(source, scan=source, max_backfills=0) as cache:
        for key in (7, 7, 200, 201, 202):
            await cache.get(key, None)
        await cache.settle()
        yield cache


@pytest.fixture
def app(cache):
    return Application(caches={NAME: cache}, access=TOKENS)


@pytest.fixture
async def browser(app):
    browser = browser_on(app)
    await browser.send("/", "/login", token=ADA)
    return browser


@pytest.fixture
async def address(browser):
    elements = (await browser.get("/")).page.elements
    return next(given["href"] for _, given in elements if given.get("href", "").startswith("/caches/"))


@pytest.fixture
def by_form(browser, address):
    async def order(verb, **fields):
        token = (await browser.get(address)).page.forms[f"{address}/explain"]["form_token"]
        return (await browser.post(f"{address}/{verb}", {"form_token": token, **fields})).status == 303

    return order


@pytest.fixture
def by_api(app):
    async def order(verb, **fields):
        status, data = await Program(app, token=ADA).order(f"{PATH}/{verb}", fields)
        return status == 200 and data["name"] == NAME

    return order


@pytest.fixture
def from_python(cache):
    async def order(verb, **fields):
        given = {name: READ[name](value) for name, value in fields.items()}
        await getattr(cache.control, verb)(**given, by="ada")
        return True

    return order


@pytest.fixture
def ways(from_python, by_form, by_api):
    return {"python": from_python, "form": by_form, "api": by_api}


@pytest.mark.parametrize("way", ["python", "form", "api"])  # of the command line: commands/test_caches
async def test_each_order_is_audited_with_who_and_why(ways, cache, way):
    order = ways[way]
    for verb in ORDERS:
        assert await order(verb, **FIELDS.get(verb, {}), reason=f"why {verb}")
        record = cache.audit_log[-1]
        assert (record.verb, record.by, record.reason) == (verb, "ada", f"why {verb}")
        assert cache.control.status.orders[verb].by == "ada"
    status = cache.control.status

    assert (status.is_off, status.is_paused, status.permits_left) == (False, False, 1)
    assert (status.threshold, status.batch, status.rate) == (0.25, 7, 12.5)


@pytest.mark.parametrize("way", ["form", "api"])
@pytest.mark.parametrize("reason", [None, "", "  ", "x" * 2_000])
async def test_an_order_without_a_reason_is_refused(ways, cache, way, reason):
    order = ways[way]
    before = cache.audit_log
    for verb in ORDERS:
        given = {} if reason is None else {"reason": reason}
        assert not await order(verb, **FIELDS.get(verb, {}), **given)

    assert cache.audit_log == before


async def test_the_page_shows_what_was_ordered_and_the_form_that_takes_it_back(browser, address, cache):
    await browser.send(address, f"{address}/off", reason="it serves <old> prices")
    shown = await browser.send(address, f"{address}/pause", reason="for the night")
    assert "it serves &lt;old&gt; prices" in shown.text
    assert {f"{address}/on", f"{address}/resume"} < set(shown.page.forms)
    assert {f"{address}/off", f"{address}/pause"}.isdisjoint(shown.page.forms)
    await browser.send(address, f"{address}/on", reason="mended")

    assert not cache.control.status.is_off
    assert cache.control.status.is_paused


async def test_a_backfill_that_runs_is_shown_and_ended(address, browser):
    source = GatedSource(ROWS)
    async with BackfillCache(source, scan=MappingSource(ROWS)) as cache, create_task_group() as group:
        browser = browser_on(Application(caches={NAME: cache}, access=Access(local_user="ada")))
        assert f"{address}/cancel" not in (await browser.get(address)).page.forms
        group.start_soon(cache.force_backfill)
        await sleep(1.1)
        assert ["running.keys", "10", "10"] in (await browser.get(address)).page.data
        await browser.send(address, f"{address}/cancel", reason="too slow")
        await sleep(1.1)

        assert f"{address}/cancel" not in (await browser.get(address)).page.forms
        assert cache.control.status.running is None


async def test_each_figure_of_the_orders_is_a_field_of_the_api(browser, address, app, by_form):
    for verb in ORDERS:
        await by_form(verb, **FIELDS.get(verb, {}), reason="why")
    control = (await Program(app, token=ADA).read(PATH))[1]["control"]
    html = (await browser.get(address)).text.split('id="cache_control"')[1].split('id="cache_figures"')[0]
    figures = [figure for figure in Elements(html).data if figure[0] != "time"]

    assert len(figures) == 3
    for of, value, _ in figures:
        assert value == str(control[of])


async def test_a_key_is_explained_by_form_and_by_api_to_who_may_only_look(app, address, cache):
    browser = browser_on(app)
    await browser.send("/", "/login", token=BOB)
    shown = await browser.send(address, f"{address}/explain", key="7", key_type="int")
    figures = [figure for figure in shown.page.data if figure[0] not in {"left_ago", "far_failed"}]
    status, data = await Program(app, token=BOB).order(f"{PATH}/explain", {"key": 7})

    assert (status, data["answer"]["where"], data["answer"]["key"]) == (200, "memory", "7")
    assert len(figures) == 7
    for of, value, _ in figures:
        assert value == ("" if data["answer"][of] is None else str(data["answer"][of]))
    assert cache.audit_log[-1].verb is None
    assert (await Program(app, token=BOB).order(f"{PATH}/invalidate", {"key": 7, "reason": "x"}))[0] == 403


async def test_all_caches_and_one_are_read_by_name_or_by_address(app, address, cache):
    program = Program(app, token=BOB)
    assert [one["name"] for one in (await program.read("/api/caches"))[1]["caches"]] == [NAME]
    for path in (PATH, f"/api{address}"):
        data = (await program.read(path))[1]
        assert data["name"] == NAME
        assert data["stats"]["lookups"] == cache.stats.lookups
        assert data["audit"][0] == json.loads(json.dumps(cache.audit_log[-1].as_dict()))
    for path in ("/api/caches/nothing", "/api/caches/", f"{PATH}x"):
        assert (await program.read(path))[0] == 404


async def test_an_order_that_fails_or_hangs_is_told_in_one_line(app, cache, monkeypatch):
    program = Program(app, token=ADA)

    async def fail(*_, **__):
        raise StoreError("the far tier\nis away")

    monkeypatch.setattr(type(cache.control), "invalidate", fail)
    assert (await program.order(f"{PATH}/invalidate", {"key": 1, "reason": "x"}))[0] == 502

    async def hang(*_, **__):
        await sleep(1_000)

    monkeypatch.setattr(type(cache.control), "pause", hang)
    assert (await program.order(f"{PATH}/pause", {"reason": "x"}))[0] == 504


async def test_a_cache_that_is_closed_is_shown_and_takes_no_order():
    async with BackfillCache(MappingSource(ROWS)) as cache:
        program = Program(Application(caches={"prices": cache}, access=TOKENS), token=ADA)
    assert (await program.read("/api/caches/prices"))[0] == 200
    for verb in set(VERBS) - {"snapshot"}:
        fields = {"reason": "x", "n": 1, "key": 1, "rate": 1}
        assert (await program.order(f"/api/caches/prices/{verb}", fields))[0] == 409


@pytest.mark.parametrize("evil", HOSTILE, ids=range(len(HOSTILE)))
async def test_hostile_keys_reasons_and_settings_are_texts(app, browser, address, by_form, cache, evil):
    program = Program(app, token=ADA)
    text = evil.encode("utf-8", "replace").decode()
    await by_form("invalidate", key=text, reason=f".{text}"[:900])
    await by_form("explain", key=text)
    for path in ("/", address):
        check(await browser.get(path))
    for kind in ("int", "uuid", "date", "decimal", "json", evil):
        status, _ = await program.order(f"{PATH}/explain", {"key": evil, "key_type": kind})
        assert status in {200, 400}
    for name in ("threshold", "batch", "rate"):
        assert (await program.order(f"{PATH}/retune", {name: evil, "reason": "x"}))[0] == 400
    for key in ([evil], {"a": evil}, [[evil, 1]], None, evil):
        assert (await program.order(f"{PATH}/invalidate", {"key": key, "reason": evil}))[0] in {
            200,
            400,
        }
    assert (await program.read(PATH))[0] == 200
    assert cache.control.status.rate is None


async def test_every_address_of_caches_that_takes_a_change_is_one_of_these_tests(app):
    posts = {route.path for route in app.addresses if "POST" in (getattr(route, "methods", None) or ())}

    assert {path for path in posts if "/caches/" in path} == {
        "/caches/{cache}/readiness",
        "/caches/{cache}/explain",
        "/caches/{cache}/{verb}",
        "/api/caches/{cache:path}/explain",
        "/api/caches/{cache:path}/{verb}",
    }
