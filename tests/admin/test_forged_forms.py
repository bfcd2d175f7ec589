"""Forms that were not sent from this page, or by who may not change anything: nothing is changed."""

from __future__ import annotations

import pytest
from starlette.routing import Route

from async_backfill._jobs._state.jobs import add_job
from async_backfill.admin import Access, Application
from tests.admin.browser import HOST, Browser
from tests.jobs.state_rows import plan_of

pytestmark = pytest.mark.anyio
VERBS = ("approve", "revoke", "resume", "pause", "cancel", "set", "verify", "mend", "end-verification")
FORMS = ("/plan", "/panic", *(f"/jobs/1/{verb}" for verb in VERBS))
FIELDS = {"reason": "x", "for_good": "yes", "rate": "7", "file": "job.toml"}


@pytest.fixture
async def unchanged(state, jobs):
    """Fails if anything was logged."""
    job = state.now(add_job, plan_of(), by="eve")
    yield FIELDS | {"plan_hash": job.plan_hash}
    assert len(await jobs.log(1)) == 1
    assert (await jobs.status(1)).settings == job.settings


async def token_of(browser):
    return (await browser.get("/")).page.forms["/panic"]["form_token"]


async def refused(browser, path, fields, status, **headers):
    answer = await browser.post(path, fields, headers=headers)
    assert answer.status == status, path
    assert "Traceback" not in answer.text


@pytest.mark.parametrize("token", [None, "", "0" * 64, "é"])
async def test_each_form_without_its_token_is_refused(browser, unchanged, token):
    for path in FORMS:
        await refused(browser, path, unchanged | ({} if token is None else {"form_token": token}), 403)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": None},
        {"origin": "null"},
        {"origin": [f"http://{HOST}", "https://evil.example"]},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "http://["},
        {"origin": ""},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
    ],
)
async def test_each_form_from_another_origin_is_refused(browser, unchanged, headers):
    given = unchanged | {"form_token": await token_of(browser)}
    for path in FORMS:
        await refused(browser, path, given, 403, **headers)


async def test_each_form_of_who_may_only_look_is_refused(jobs, unchanged):
    token = "b" * 20
    browser = Browser(Application(jobs=jobs, access=Access(read_tokens={"bob": token})))
    await browser.send("/", "/login", token=token)
    form_token = (await browser.get("/")).page.forms["/logout"]["form_token"]
    for path in FORMS:
        await refused(browser, path, unchanged | {"form_token": form_token}, 403)


async def test_a_form_with_the_token_of_another_person_is_refused(jobs, unchanged):
    tokens = {"ada": "a" * 20, "bob": "b" * 20}
    app = Application(jobs=jobs, access=Access(change_tokens=tokens))
    ada, bob = Browser(app), Browser(app)
    await ada.send("/", "/login", token=tokens["ada"])
    await bob.send("/", "/login", token=tokens["bob"])
    given = unchanged | {"form_token": await token_of(bob)}
    for path in FORMS:
        await refused(ada, path, given, 403)


async def test_a_form_is_not_taken_from_an_address_or_as_json(browser, unchanged):
    token = await token_of(browser)
    for path in FORMS:
        assert (await browser.get(f"{path}?form_token={token}&reason=x")).status in {200, 404, 405}
        for kind in ("application/json", "text/plain"):
            await refused(browser, path, unchanged | {"form_token": token}, 415, **{"content-type": kind})


async def test_a_form_of_another_plan_is_refused(browser, unchanged):
    answer = await browser.send("/jobs/1/review", "/jobs/1/approve", **{**unchanged, "plan_hash": "0" * 64})

    assert answer.status == 409


@pytest.mark.parametrize(
    ("fields", "status"),
    [({"reason": "x" * 70_000}, 413), ({f"f{number}": "" for number in range(60)}, 400)],
)
async def test_a_form_that_is_too_large_is_refused(browser, unchanged, fields, status):
    await refused(browser, "/jobs/1/pause", unchanged | fields, status)


async def test_every_address_that_takes_a_form_is_one_of_these_tests(jobs):
    app = Application(jobs=jobs, access=Access(change_tokens={"ada": "a" * 20}))
    posts = {
        route.path for route in app.addresses if isinstance(route, Route) and "POST" in (route.methods or ())
    }

    posts = {path for path in posts if not path.startswith("/api/")}  # those are in test_api
    assert posts == {"/plan", "/panic", "/jobs/{job}/{verb}", "/login", "/logout"}
