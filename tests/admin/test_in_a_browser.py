"""The page in a real Chromium, with real servers: a job from its plan to its verification, and a cache.

It needs ``playwright``, ``axe-playwright-python`` and a Chromium, which are in no extra: without them these
tests are skipped. With ``ASYNC_BACKFILL_PICTURES`` in the environment it writes the pictures of the manual.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="the browser's driver is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core is not installed")
psycopg = pytest.importorskip("psycopg")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
PICTURES = os.environ.get("ASYNC_BACKFILL_PICTURES")
ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "async_backfill")


@pytest.fixture(scope="module")
def chromium():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def folder(tmp_path, postgres_url, valkey_url):
    """A folder with a job file: a table of PostgreSQL into Valkey."""
    with psycopg.connect(postgres_url) as db:
        db.execute("DROP TABLE IF EXISTS operated")
        db.execute("CREATE TABLE operated (id integer PRIMARY KEY, name text)")
        db.execute("INSERT INTO operated SELECT n, 'name ' || n FROM generate_series(1, 20000) n")
    (tmp_path / "jobs").mkdir()
    table = {"table": "operated", "key": "id", "value": ["name"]}
    job = {
        "name": "products",
        "shards": 8,
        "rate": 500,
        "batch": 200,
        "source": {"kind": "sql", "url": _hidden(postgres_url), **table},
        "store": {"kind": "redis", "url": _hidden(valkey_url), "namespace": "operated"},
    }
    (tmp_path / "jobs" / "products.json").write_text(json.dumps(job), "utf-8")
    passwords = {_name(url): urlsplit(url).password or "" for url in (postgres_url, valkey_url)}
    return tmp_path, os.environ | passwords


def _name(url):
    """Return the variable with the password of a server, which no job file has."""
    return f"PASSWORD_OF_{urlsplit(url).port}"


def _hidden(url):
    password = urlsplit(url).password
    return url if password is None else url.replace(f":{password}@", f":${{{_name(url)}}}@")


@contextmanager
def started(folder, *words):
    path, environment = folder
    process = subprocess.Popen(
        [*COMMAND, *words], cwd=path, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def served(folder):
    with started(folder, "serve", "--job-folder", "jobs", "--port", "0") as server:
        yield re.search(r"http://\S+", server.stdout.readline())[0]


def status_is(page, word):
    playwright.expect(page.locator("#job_status .status")).to_contain_text(word, timeout=120_000)


def picture(page, name):
    if PICTURES:
        page.screenshot(path=str(Path(PICTURES) / f"{name}.png"), full_page=False)


def check(page):
    """A page has no fault for who cannot see it, in light and dark, and fits a small screen."""
    size = page.viewport_size
    for colors in ("dark", "light"):
        page.emulate_media(color_scheme=colors)
        found = axe.Axe().run(page).response["violations"]
        assert [(colors, one["id"], one["impact"], one["nodes"][0]["html"]) for one in found] == []
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.set_viewport_size(size)


@contextmanager
def opened(chromium, url, **settings):
    """A page that breaks no rule of its own Content-Security-Policy."""
    errors = []
    context = chromium.new_context(viewport={"width": 1100, "height": 900}, **settings)
    page = context.new_page()
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(url)
    yield page
    assert errors == []
    context.close()


def test_a_job_is_driven_from_its_plan_to_its_verification(chromium, folder):
    with served(folder) as url, opened(chromium, url) as page:
        page.get_by_role("link", name="Plan a job").click()
        page.get_by_label("Job file").select_option("products.json")
        page.get_by_role("button", name="Plan").click()
        page.get_by_label("Why").fill("after the migration")
        check(page)
        picture(page, "operator-review")
        page.get_by_role("button", name="Approve").click()
        status_is(page, "approved")
        page.get_by_role("button", name="Start").click()
        status_is(page, "interrupted")
        with started(folder, "jobs", "work", "--wait") as worker:
            status_is(page, "running")
            playwright.expect(page.locator("#job_workers tbody tr")).not_to_have_count(0)
            playwright.expect(page.locator("[data-of='counts.read']").first).to_have_text(
                re.compile(r"\d{3}")
            )
            check(page)
            picture(page, "operator-job")
            page.get_by_role("button", name="Pause").click()
            status_is(page, "paused")
            page.get_by_label("Rate").fill("400")
            page.get_by_role("button", name="Set").click()
            playwright.expect(page.locator("[data-of='settings.rate']")).to_have_text("400")
            page.get_by_role("button", name="Resume").click()
            status_is(page, "running")
            worker.kill()
            status_is(page, "interrupted")
        with started(folder, "jobs", "work", "--wait"):
            page.get_by_label("Rate").fill("none")
            page.get_by_role("button", name="Set").click()
            status_is(page, "done")
        verification = page.locator("#job_verification")
        verify = page.locator("form[action$='/verify']")
        verify.get_by_label("Rows").select_option("all")
        verify.get_by_role("button").click()
        playwright.expect(page.get_by_role("button", name="End the verification")).to_be_visible()
        check(page)
        playwright.expect(verification).to_contain_text("No difference is left.", timeout=120_000)
        playwright.expect(verification).to_contain_text("20,000 rows compared, all: 0 differences")
        status_is(page, "done")
        check(page)
        page.get_by_role("link", name="Overview").click()
        check(page)


def test_a_job_is_planned_approved_and_ended_without_javascript(chromium, folder):
    with served(folder) as url, opened(chromium, url, java_script_enabled=False) as page:
        page.get_by_role("link", name="Plan a job").click()
        page.get_by_role("button", name="Plan").click()
        page.get_by_label("Why").fill("after the migration")
        page.get_by_role("button", name="Approve").click()
        status_is(page, "approved")
        page.get_by_label("yes, it will never run again").check()
        page.get_by_role("button", name="End it for good").click()
        status_is(page, "cancelled")


def steer(page):
    """Give a cache orders: off and on, another threshold, one key away, and ask about another."""
    order(page, "off", reason="it serves old names")
    playwright.expect(page.locator("#cache_control")).to_contain_text("go through")
    check(page)
    order(page, "on", reason="the names are right again")
    playwright.expect(page.locator("#cache_control")).to_contain_text("are cached")
    page.get_by_text("Change when and how it backfills").click()
    order(page, "retune", threshold="0.9", reason="it is warm enough")
    playwright.expect(page.locator("[data-of='threshold']")).to_have_text("0.9")
    page.get_by_text("Remove a key").click()
    check(page)
    order(page, "invalidate", key="7", key_type="int", reason="renamed")
    playwright.expect(page.locator("#cache_control")).to_contain_text("renamed")
    order(page, "explain", key="23999", key_type="int")
    playwright.expect(page.locator("main")).to_contain_text("To look has loaded nothing")
    check(page)


def order(page, verb, *, key_type=None, **fields):
    form = page.locator(f"form[action$='/{verb}']")
    for name, value in fields.items():
        form.locator(f"[name='{name}']").fill(value)
    if key_type is not None:
        form.get_by_label("Type").select_option(key_type)
    form.get_by_role("button").click()


def test_a_cache_that_needs_approval_is_approved_and_typing_is_not_disturbed(chromium):
    command = (sys.executable, "-m", "tests.admin.cache_server")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        try:
            with opened(chromium, server.stdout.readline().strip()) as page:
                page.keyboard.press("Tab")
                assert page.evaluate("document.activeElement.textContent") == "To the content"
                page.get_by_role("link", name="product names").click()
                status = page.locator("#cache_status")
                playwright.expect(status).to_contain_text("Needs approval", timeout=60_000)
                approve = page.locator("form[action$='/approve']")
                approve.get_by_label("Backfills").fill("2")
                approve.get_by_label("Why").press_sequentially("a new season", delay=200)
                assert approve.get_by_label("Why").input_value() == "a new season"
                playwright.expect(page.locator("#cache_course polyline")).to_be_visible(timeout=60_000)
                check(page)
                picture(page, "operator-cache")
                approve.get_by_role("button").click()
                playwright.expect(page.locator("#cache_audit")).to_contain_text("a new season")
                playwright.expect(status).to_contain_text("Needs approval", timeout=60_000)  # both were used
                steer(page)
        finally:
            server.kill()
