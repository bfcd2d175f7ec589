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
ROWS = 20_000
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
        db.execute(f"INSERT INTO operated SELECT n, 'name ' || n FROM generate_series(1, {ROWS}) n")
    (tmp_path / "jobs").mkdir()
    job = {
        "name": "products",
        "shards": 8,
        "rate": 500,
        "batch": 200,
        "source": {"kind": "sql", "url": _hidden(postgres_url), "table": "operated", "key": "id", "value": ["name"]},
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
    process = subprocess.Popen([*COMMAND, *words], cwd=path, env=environment, stdout=subprocess.PIPE, text=True)
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
        page.screenshot(path=str(Path(PICTURES) / f"{name}.png"), full_page=True)


def check(page, errors):
    """A page has no serious fault for who cannot see it, fits a small screen, and breaks no rule of its own."""
    found = axe.Axe().run(page).response["violations"]
    assert [(one["id"], one["impact"], one["nodes"][0]["html"]) for one in found] == []
    size = page.viewport_size
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.set_viewport_size(size)
    assert errors == []


@pytest.mark.parametrize("colors", ["light", "dark"])
def test_a_job_is_driven_from_its_plan_to_its_verification(chromium, folder, colors):
    with served(folder) as url:
        page = chromium.new_page(color_scheme=colors, viewport={"width": 1100, "height": 800})
        errors = []
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(url)
        page.get_by_role("link", name="Plan a job").click()
        page.get_by_label("Job file").select_option("products.json")
        page.get_by_role("button", name="Plan").click()
        page.get_by_label("Why").fill("after the migration")
        check(page, errors)
        picture(page, f"operator-review-{colors}")
        page.get_by_role("button", name="Approve").click()
        status_is(page, "approved")
        page.get_by_role("button", name="Start").click()
        status_is(page, "interrupted")
        with started(folder, "jobs", "work", "--wait") as worker:
            status_is(page, "running")
            playwright.expect(page.locator("#job_workers tbody tr")).not_to_have_count(0)
            playwright.expect(page.locator("[data-of='counts.read']").first).to_have_text(re.compile(r"\d{3}"))
            check(page, errors)
            picture(page, f"operator-job-{colors}")
            page.get_by_role("button", name="Pause").click()
            status_is(page, "paused")
            page.get_by_label("Rate").fill("4000")
            page.get_by_role("button", name="Set").click()
            playwright.expect(page.locator("[data-of='settings.rate']")).to_have_text("4,000")
            page.get_by_role("button", name="Resume").click()
            status_is(page, "running")
            worker.kill()
            status_is(page, "interrupted")
        with started(folder, "jobs", "work", "--wait"):
            page.get_by_label("Rate").fill("none")
            page.get_by_role("button", name="Set").click()
            status_is(page, "done")
        check(page, errors)
        page.goto(url)
        check(page, errors)
        picture(page, f"operator-{colors}")
        page.close()
    path, environment = folder
    verified = subprocess.run(
        [*COMMAND, "jobs", "verify", "1", "--all"], cwd=path, env=environment, check=False, capture_output=True
    )
    assert verified.returncode == 0, verified.stderr
