"""Keys, names, errors and headers that are made to break a page: no script, no traceback, one line each."""

from __future__ import annotations

import logging

import pytest

from async_backfill._jobs._packing import pack
from async_backfill._jobs._records import JobCounts, Throttled
from async_backfill._jobs._spec import JobSettings, JobSpec
from async_backfill._jobs._state.approvals import approve, start
from async_backfill._jobs._state.jobs import add_job, set_settings
from async_backfill._jobs._state.shards import PageDone, checkpoint, claim, renew
from async_backfill.admin import Access, Application
from async_backfill.errors import JournalError
from async_backfill.jobs import JobStateError
from tests.admin.browser import Browser
from tests.jobs.state_rows import plan_of

pytestmark = pytest.mark.anyio
EVIL = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'/**/onmouseover=alert(1)//",
    "</title></textarea></script><svg onload=alert(1)>",
    "javascript:alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "line\none\r\n\r\ndata: forged\n\n",
    "\x1b[31mred\x07\x00",
    "\u202egnp.exe\u2066\ud800",
    "x" * 20_000,
]
PAGES = ("/", "/jobs/1", "/jobs/1/review", "/jobs/1/log", "/plan")
HARMLESS = {"script", "svg", "img", "iframe", "object", "embed", "style", "base", "meta", "link"}


def job_with(state, evil):
    """A job with that text wherever a text can be."""
    text = evil.encode("utf-8", "replace").decode()
    spec = JobSpec(name=text, source={"kind": text, text: text, "l": [text]}, store={text: {text: text}})
    plan = plan_of(spec=spec, rows_by=text, schema=text, release=text)
    state.now(add_job, plan, by=text)
    state.now(approve, 1, plan_hash=plan.hash, by=text, reason=f".{text}")
    state.now(start, 1, by=text)
    shard = state.now(claim, 1, owner=text, lease=30.0)
    dead = [(pack(text), text), (pack((text, 1)), text)]
    done = PageDone(cursor=b"#1", counts=JobCounts(read=3, kept=1, dead=2), seconds=1.0, batch=5, dead=dead)
    state.now(checkpoint, shard, done, lease=30.0)
    why = Throttled(reason=text, since=1e30, value=text, limit=text)
    state.now(renew, shard, lease=30.0, throttled=why)
    state.now(set_settings, 1, JobSettings(rate=1e300, batch=1, lanes=1), by=text)
    state.now(lambda tx: tx.rows("UPDATE shard SET error = ?", text))


def check(answer):
    page = answer.page
    assert "Traceback" not in answer.text
    assert [given for tag, given in page.elements if any(name.startswith("on") for name in given)] == []
    found = [(tag, given) for tag, given in page.elements if tag in HARMLESS]
    assert {tag for tag, _ in found} <= {"meta", "link", "script"} | (
        {"svg"} if "cache_course" in answer.text else set()
    )
    assert [given["src"] for tag, given in found if tag == "script"] == ["/static/page.js"]
    for _, given in page.elements:
        assert not given.get("href", "/").lower().startswith("javascript")
    assert [letter for letter in answer.text if letter != "\n" and not letter.isprintable()] == []
    assert len(answer.text) < 60_000


@pytest.mark.parametrize("evil", EVIL, ids=range(len(EVIL)))
async def test_texts_of_a_job_are_texts_in_each_page(browser, state, evil):
    job_with(state, evil)
    for path in PAGES:
        answer = await browser.get(path)
        assert answer.status == 200
        check(answer)


@pytest.mark.parametrize("evil", EVIL[:-1], ids=range(len(EVIL) - 1))
async def test_what_a_form_says_is_a_text_in_each_page(browser, state, evil):
    state.now(add_job, plan_of(), by="eve")
    evil = evil.encode("utf-8", "replace").decode()
    check(await browser.send("/jobs/1/review", "/jobs/1/approve", reason=evil))
    for path in PAGES:
        check(await browser.get(path))
    for name in ("rate", "batch", "lanes"):
        answer = await browser.send("/jobs/1", "/jobs/1/set", **{name: evil})
        assert answer.status == 400
        check(answer)


@pytest.mark.parametrize("error", [JobStateError, JournalError, ValueError, KeyError, RecursionError])
@pytest.mark.parametrize("evil", EVIL, ids=range(len(EVIL)))
async def test_an_error_is_one_line_and_no_traceback(browser, jobs, monkeypatch, caplog, error, evil):
    async def fail(*_):
        raise error(evil)

    monkeypatch.setattr(type(jobs), "list", fail)
    caplog.set_level(logging.CRITICAL + 1, "async_backfill.admin")  # a report of a test is UTF-8
    answer = await browser.get("/")

    assert answer.status == {JobStateError: 503, JournalError: 502}.get(error, 500)
    check(answer)


@pytest.mark.parametrize(
    "path",
    [
        "/<script>alert(1)</script>",
        "/jobs/<script>",
        "/jobs/1'--",
        "/jobs/99999999999999999999999",
        "/jobs/-1",
        "/jobs/7",
        "/jobs/7/events",
        "/static/../_access.py",
        "/static/%2e%2e/_access.py",
        "/static/page.html",
        "/?done=<script>",
        "/" + "x" * 5_000,
    ],
)
async def test_addresses_that_are_not_there_are_plain_pages(browser, path):
    answer = await browser.get(path)

    assert answer.status in {404, 414} or path.startswith("/?")
    check(answer)


async def test_headers_of_a_request_are_shown_nowhere(jobs):
    app = Application(jobs=jobs, access=Access(change_tokens={"ada": "a" * 20}))
    evil = "<script>\xe9\x00"
    names = ("user-agent", "referer", "cookie", "x-forwarded-proto", "accept-language", "origin", "x-user")
    for name in names:
        answer = await Browser(app, headers={name: evil}).get("/")
        assert answer.status == 401
        check(answer)


async def test_each_answer_has_the_strict_headers(browser):
    for path in ("/", "/nothing", "/static/page.js", "/static/page.css"):
        headers = (await browser.get(path)).headers
        assert headers["content-security-policy"] == (
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
            "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
        )
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "same-origin"


async def test_no_page_has_a_style_a_script_or_an_asset_of_its_own_or_of_elsewhere(browser, state):
    job_with(state, "job")
    for path in PAGES:
        for tag, given in (await browser.get(path)).page.elements:
            assert "style" not in given
            assert tag != "style"
            for name in ("src", "href", "action", "data-events"):
                assert given.get(name, "/").startswith(("/", "#")) or given[name] == ""
