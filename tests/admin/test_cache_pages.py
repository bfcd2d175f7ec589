"""What an operator sees of the caches of a process, and does with them."""

from __future__ import annotations

import msgspec
import pytest
from anyio import sleep

from async_backfill import (
    BackfillCache,
    BackfillPolicy,
    CircuitPolicy,
    FarTier,
    HistoryPolicy,
    LoadPolicy,
    MappingSource,
    Status,
)
from async_backfill.admin import Access, Application
from async_backfill.admin._cache_verbs import VERBS
from async_backfill.stores.snapshot_file import SnapshotFile
from async_backfill.testing import MemoryFarStore
from tests.admin.browser import Browser, Elements
from tests.admin.conftest import browser_on
from tests.admin.test_hostile_texts import EVIL, check
from tests.real_time import REAL_BACKENDS

pytestmark = pytest.mark.anyio
SOURCE = MappingSource({number: f"value {number}" for number in range(100)})


@pytest.fixture
async def cache(tmp_path):
    settings = {
        "scan": SOURCE,
        "capacity": 50,
        "max_backfills": 0,
        "backfill": BackfillPolicy(probation=True),
        "load": LoadPolicy(circuit=CircuitPolicy()),
        "far": FarTier(store=MemoryFarStore(), ttl=60.0),
        "snapshot": SnapshotFile(tmp_path / "snapshot"),
    }
    async with BackfillCache(SOURCE, **settings) as cache:
        for key in range(10):
            await cache.get(key)
        await cache.settle()
        yield cache


@pytest.fixture
def page(cache):
    return browser_on(Application(caches={"prices": cache}, access=Access(local_user="ada")))


async def address_of(browser):
    elements = (await browser.get("/")).page.elements
    return next(given["href"] for _, given in elements if given.get("href", "").startswith("/caches/"))


async def test_a_cache_that_needs_approval_says_so_and_is_approved_by_who_has_logged_in(page, cache):
    address = await address_of(page)
    assert "Needs approval" in (await page.get(address)).text
    shown = await page.send(address, f"{address}/approve", n="3", reason="after the migration")
    record = cache.audit_log[-1]

    assert (record.status, record.by, record.reason) == (Status.APPROVED, "ada", "after the migration")
    assert cache.stats.permits_left == 3
    assert "after the migration" in shown.text
    assert "Needs approval" not in shown.text


@pytest.mark.parametrize("fields", [{"n": "0"}, {"n": ""}, {"n": "-1"}, {"n": "x"}, {"reason": " "}])
async def test_an_approval_that_allows_nothing_or_says_no_reason_is_refused(page, cache, fields):
    address = await address_of(page)
    answer = await page.send(address, f"{address}/approve", **{"reason": "why", **fields})

    assert answer.status == 400
    assert cache.stats.permits_left == 0


@pytest.mark.parametrize("anyio_backend", REAL_BACKENDS[:1])  # it is written in a thread
async def test_a_snapshot_is_saved_and_restoring_stopped(page, cache):
    address = await address_of(page)
    await page.send(address, f"{address}/snapshot")
    assert cache.stats.snapshot.saved == 1
    answer = await page.send(address, f"{address}/stop-restoring")

    assert answer.status == 200


async def test_to_look_at_a_cache_begins_no_warming_and_to_ask_does():
    history = BackfillPolicy(selection="history")
    async with BackfillCache(SOURCE, scan=SOURCE, backfill=history, history=HistoryPolicy(size=20)) as cache:
        browser = browser_on(Application(caches={"warm": cache}, access=Access(local_user="ada")))
        address = await address_of(browser)
        await browser.get(address)
        assert cache.stats.source_calls == 0
        assert "Nobody has asked yet" in (await browser.get(address)).text
        answer = await browser.send(address, f"{address}/readiness")

        assert answer.status == 200
        assert answer.page.data[0][:2] == ["state", "ready"]
        await sleep(1.1)
        assert ["state", "ready", "ready"] in (await browser.get(address)).page.data


async def test_each_figure_of_a_cache_is_a_field_of_its_stats(page, cache):
    address = await address_of(page)
    stats = msgspec.to_builtins(cache.stats)
    for path in ("/", address):
        html = (await page.get(path)).text
        before, _, rest = html.split('id="cache_readiness"')[0].partition('id="cache_control"')
        figures = Elements(before + rest.partition('id="cache_figures"')[2]).data
        assert len(figures) > 9
        for of, value, _ in figures:
            found = stats
            for step in of.split("."):
                found = found[step]
            assert value == ("" if found is None else str(found))


async def test_a_cache_is_followed(page, cache):
    address = await address_of(page)
    async with page.follow(f"{address}/events") as followed:
        await sleep(0.5)
        assert {"cache_status", "cache_figures", "cache_forms", "cache_audit"} < set(followed.news())
        await cache.get(77)
        await sleep(1.5)

        assert "cache_figures" in followed.news()


async def test_a_cache_that_leaves_while_it_is_followed_is_told_and_so_is_its_return(cache, caplog):
    caches = {"prices": cache}
    page = browser_on(Application(caches=caches, access=Access(local_user="ada")))
    address = await address_of(page)
    async with page.follow(f"{address}/events") as followed:
        await sleep(0.5)
        followed.news()
        del caches["prices"]
        await sleep(1.5)
        assert followed.news() == {"trouble": "There is no such cache in this process."}
        caches["prices"] = cache
        await sleep(1.5)

        assert followed.news()["trouble"] == ""
    assert not caplog.records


async def test_forms_of_a_cache_are_refused_without_a_token_and_to_who_may_only_look(cache):
    token = "b" * 20
    browser = Browser(Application(caches={"prices": cache}, access=Access(read_tokens={"bob": token})))
    await browser.send("/", "/login", token=token)
    address = await address_of(browser)
    shown = (await browser.get(address)).page.forms
    assert list(shown) == ["/logout", f"{address}/explain"]
    for verb in (*set(VERBS) - {"explain"}, "readiness"):
        for fields in ({}, shown["/logout"]):
            answer = await browser.post(f"{address}/{verb}", {"n": "1", "reason": "x", **fields})
            assert answer.status == 403
    assert cache.stats.permits_left == 0
    assert cache.stats.snapshot.saved == 0


@pytest.mark.parametrize("evil", EVIL, ids=range(len(EVIL)))
async def test_names_and_reasons_of_caches_are_texts(evil):
    async with BackfillCache(SOURCE, scan=SOURCE, max_backfills=0) as cache:
        await cache.approve_backfills(1, by=f".{evil}", reason=f".{evil}")
        browser = browser_on(Application(caches={evil: cache}, access=Access(local_user="ada")))
        address = await address_of(browser)
        for path in ("/", address):
            answer = await browser.get(path)
            assert answer.status == 200
            check(answer)


async def test_of_many_caches_those_that_need_a_person_come_first():
    quiet = {f"quiet {number}": BackfillCache(SOURCE) for number in range(250)}
    waiting = BackfillCache(SOURCE, scan=SOURCE, max_backfills=0)
    browser = browser_on(Application(caches={**quiet, "waiting": waiting}, access=Access(local_user="ada")))
    page = await browser.get("/")
    assert page.text.index("waiting") < page.text.index("quiet 0")
    async with browser.follow("/events") as followed:
        await sleep(0.5)

        assert set(followed.news()) == {"caches_told", "trouble"}


async def test_the_hit_rate_is_drawn_over_time_while_somebody_looks(page, cache):
    address = await address_of(page)
    assert "<polyline" not in (await page.get(address)).text
    async with page.follow(f"{address}/events") as followed:
        for key in (0, 0, 0, 77):
            await sleep(5)
            await cache.get(key)
        await sleep(11)
        course = followed.news()["cache_course"]

    assert "<polyline" in course
    assert "highest 100.0 %" in course
