"""Who may look, who may change something, and what each setting refuses."""

from __future__ import annotations

import pytest

from async_backfill._jobs._state.jobs import add_job
from async_backfill.admin import Access, Application, Visitor
from async_backfill.errors import ConfigurationError
from tests.admin.browser import HOST, Browser
from tests.jobs.state_rows import plan_of

pytestmark = pytest.mark.anyio
ADA, BOB = "a" * 20, "b" * 20
TOKENS = Access(change_tokens={"ada": ADA}, read_tokens={"bob": BOB}, hosts=("ops.example",))
PROXY = {"user_header": "x-user", "trusted_proxies": ("10.0.0.0/8",)}


def browser_of(jobs, access, **settings):
    return Browser(Application(jobs=jobs, access=access), **settings)


async def logged_in(jobs, token, access=TOKENS):
    browser = browser_of(jobs, access, host="ops.example", peer="203.0.113.9")
    form = (await browser.get("/")).page.forms["/login"]
    answer = await browser.post("/login", form | {"token": token})
    return browser, answer


@pytest.mark.parametrize("peer", ["203.0.113.9", "10.0.0.1", "", "::ffff:203.0.113.9", "localhost"])
async def test_without_settings_a_request_from_elsewhere_is_refused(jobs, peer):
    assert (await browser_of(jobs, Access(), peer=peer).get("/")).status == 403


@pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded", "via", "x-real-ip", "x-forwarded-host"])
async def test_without_settings_a_request_through_a_proxy_is_refused(jobs, header):
    assert (await browser_of(jobs, Access()).get("/", **{header: "127.0.0.1"})).status == 403


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.0.1", "::1", "::ffff:127.0.0.1"])
async def test_without_settings_this_machine_is_answered(jobs, peer):
    assert (await browser_of(jobs, Access(), peer=peer).get("/")).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "",
        "127.0.0.1:80@evil.example",
        None,
        [HOST, "evil.example"],
    ],
)
async def test_another_host_is_refused_as_by_it_foreign_sites_read_the_page(jobs, host):
    answer = await browser_of(jobs, Access()).get("/", host=host)

    assert answer.status == 421
    assert "evil" not in answer.text


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "[::1]:8765", "127.0.0.1"])
async def test_the_names_of_this_machine_are_answered_with_any_port(jobs, host):
    assert (await browser_of(jobs, Access()).get("/", host=host)).status == 200


@pytest.mark.parametrize("path", ["/", "/events", "/static/page.js", "/login"])
async def test_a_foreign_page_can_link_to_it_and_can_use_nothing_of_it(jobs, path):
    browser = browser_of(jobs, Access())
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}

    assert (await browser.get(path, **headers)).status == 403
    assert (await browser.get("/", **headers | {"sec-fetch-mode": "navigate"})).status == 200


async def test_with_tokens_nothing_is_shown_before_a_login(jobs, state):
    state.now(add_job, plan_of("secret job"), by="eve")
    browser = browser_of(jobs, TOKENS, host="ops.example", peer="203.0.113.9")
    for path in ("/", "/jobs/1", "/jobs/1/review", "/jobs/1/log", "/plan", "/events", "/jobs/1/events"):
        answer = await browser.get(path)
        assert answer.status == 401
        assert "secret job" not in answer.text


async def test_a_login_sets_a_cookie_that_scripts_and_other_sites_do_not_get(jobs):
    browser, answer = await logged_in(jobs, ADA)
    cookie = answer.headers["set-cookie"].lower()

    assert answer.status == 303
    assert {"httponly", "samesite=strict", "path=/"} <= set(cookie.split("; "))
    assert ADA not in cookie
    assert (await browser.get("/")).status == 200


async def test_by_https_the_cookie_is_never_sent_without_it(jobs):
    access = Access(change_tokens={"ada": ADA}, trusted_proxies=("203.0.113.9",), hosts=("ops.example",))
    browser = browser_of(jobs, access, host="ops.example", peer="203.0.113.9")
    form = (await browser.get("/")).page.forms["/login"]
    answer = await browser.post("/login", form | {"token": ADA}, headers={"x-forwarded-proto": "https"})

    assert "secure" in answer.headers["set-cookie"].lower()


@pytest.mark.parametrize("token", ["", "wrong", ADA + "x", ADA[:-1], "é" * 20, "\x00"])
async def test_a_wrong_token_is_refused(jobs, token):
    browser, answer = await logged_in(jobs, token)

    assert (answer.status, browser.cookies) == (403, {})
    assert (await browser.get("/")).status == 401


@pytest.mark.parametrize(
    "change", [lambda text: text[:-1] + "01"[text[-1] == "0"], lambda text: text[1:], lambda _: "x.y"]
)
async def test_a_cookie_that_was_changed_is_none(jobs, change):
    browser, _ = await logged_in(jobs, ADA)
    browser.cookies = {name: change(value) for name, value in browser.cookies.items()}

    assert (await browser.get("/")).status == 401


async def test_a_login_ends_when_its_token_is_taken_away(jobs):
    secret = b"s" * 16
    browser, _ = await logged_in(
        jobs, ADA, Access(change_tokens={"ada": ADA}, hosts=("ops.example",), secret=secret)
    )
    changed = Access(change_tokens={"ada": "c" * 20}, hosts=("ops.example",), secret=secret)
    browser.app = Application(jobs=jobs, access=changed)

    assert (await browser.get("/")).status == 401


async def test_who_reloads_the_page_after_a_wrong_token_gets_the_form_again(jobs):
    browser, _ = await logged_in(jobs, "wrong")
    answer = await browser.get("/login")

    assert (answer.status, answer.headers["location"]) == (303, "/")


async def test_who_logs_out_is_out(jobs):
    browser, _ = await logged_in(jobs, ADA)
    form = (await browser.get("/")).page.forms["/logout"]
    await browser.post("/logout", form)

    assert (await browser.get("/")).status == 401


async def test_what_is_done_is_done_by_who_has_logged_in(jobs, state):
    job = state.now(add_job, plan_of(), by="eve")
    browser, _ = await logged_in(jobs, ADA)
    form = (await browser.get("/jobs/1/review")).page.forms["/jobs/1/approve"]
    await browser.post("/jobs/1/approve", form | {"reason": "fine", "by": "mallory"})

    assert (await jobs.status(job.id)).approval.by == "ada"


async def test_who_may_only_look_sees_all_and_no_form_that_changes(jobs, state):
    state.now(add_job, plan_of(), by="eve")
    browser, _ = await logged_in(jobs, BOB)
    for path in ("/", "/jobs/1", "/jobs/1/review", "/jobs/1/log", "/plan"):
        answer = await browser.get(path)
        assert answer.status == 200
        assert list(answer.page.forms) == ["/logout"]


async def test_a_proxy_says_who_it_is_and_who_may_change_something(jobs, state):
    state.now(add_job, plan_of(), by="eve")
    access = Access(**PROXY, may_change=("ada",), hosts=("ops.example",))
    for name, forms in (("ada", ["/jobs/1/approve"]), ("bob", []), ("zoë", [])):
        raw = name.encode().decode("latin-1")
        browser = browser_of(jobs, access, host="ops.example", peer="10.1.2.3", headers={"x-user": raw})
        page = await browser.get("/jobs/1/review")
        assert list(page.page.forms) == forms
        assert name in page.said


@pytest.mark.parametrize("names", [None, "", "  ", ["ada", "eve"], "a" * 200, "ad\x1ba"])
async def test_a_proxy_that_does_not_say_who_it_is_is_refused(jobs, names):
    browser = browser_of(jobs, Access(**PROXY, may_change=("*",)), peer="10.1.2.3", headers={"x-user": names})

    assert (await browser.get("/")).status == 403


@pytest.mark.parametrize("peer", ["127.0.0.1", "203.0.113.9", ""])
async def test_the_header_of_a_proxy_from_elsewhere_counts_for_nothing(jobs, peer):
    browser = browser_of(jobs, Access(**PROXY, may_change=("*",)), peer=peer, headers={"x-user": "ada"})

    assert (await browser.get("/")).status == 403


async def test_an_application_around_it_says_who_it_is(jobs):
    def who(scope):
        found = dict(scope["headers"]).get(b"x-session")
        return None if found is None else Visitor(name=found.decode(), may_change=False)

    browser = browser_of(jobs, Access(who=who))
    assert (await browser.get("/")).status == 403
    assert "eve (may look only)" in (await browser.get("/", **{"x-session": "eve"})).said


@pytest.mark.parametrize(
    ("setting", "settings"),
    [
        ("change_tokens", {"change_tokens": {"ada": "short"}}),
        ("change_tokens", {"change_tokens": {"a\nb": ADA}}),
        ("change_tokens", {"change_tokens": {"ada": ADA, "bob": ADA}}),
        ("read_tokens", {"change_tokens": {"ada": ADA}, "read_tokens": {"ada": BOB}}),
        ("who", {"change_tokens": {"ada": ADA}, **PROXY}),
        ("trusted_proxies", {"user_header": "x-user"}),
        ("trusted_proxies", {"user_header": "x-user", "trusted_proxies": ("proxy",)}),
        ("trusted_proxies", {"user_header": "x-user", "trusted_proxies": "10.0.0.1"}),
        ("may_change", {"may_change": ("ada",)}),
        ("hosts", {"hosts": "ops.example"}),
        ("secret", {"secret": b"short"}),
        ("local_user", {"local_user": ""}),
    ],
)
def test_settings_that_would_let_the_wrong_people_in_are_refused(setting, settings):
    with pytest.raises(ConfigurationError) as raised:
        Access(**settings)

    assert raised.value.setting == setting


def test_no_token_is_in_what_settings_show_of_themselves():
    assert ADA not in repr(TOKENS)
