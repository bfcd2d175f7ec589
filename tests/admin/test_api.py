"""The API: the same records and verbs as the pages, for programs that say who they are."""

from __future__ import annotations

import json
import logging

import pytest

from async_backfill._commands.jobs.answers import data_of
from async_backfill._jobs._state.jobs import add_job
from async_backfill.admin import Access, Application, Visitor
from async_backfill.jobs import JobStateError
from tests.admin.browser import HOST, Browser
from tests.admin.test_hostile_texts import EVIL
from tests.jobs.state_rows import plan_of

pytestmark = pytest.mark.anyio
ADA, BOB = "a" * 20, "b" * 20
TOKENS = Access(change_tokens={"ada": ADA}, read_tokens={"bob": BOB})
CHANGES = (
    *(f"/api/jobs/1/{verb}" for verb in ("approve", "revoke", "resume", "pause", "cancel", "set")),
    *("/api/jobs/1/verify", "/api/jobs/1/mend", "/api/jobs/1/end-verification", "/api/jobs/panic"),
)
READS = ("/api/jobs", "/api/jobs/1", "/api/jobs/1/verification")
FIELDS = {"reason": "x", "for_good": True, "sure": True, "rate": 7, "rows": "all"}


class Program(Browser):
    """Asks the API, and checks that it is answered by one JSON object."""

    def __init__(self, app, *, token=None, **settings):
        super().__init__(app, headers={"authorization": f"Bearer {token}"} if token else {}, **settings)

    async def read(self, path, **headers):
        return self._checked(await self.get(path, **headers))

    async def order(self, path, fields=None, *, body=None, **headers):
        given = {"content-type": "application/json"} | headers
        body = json.dumps(fields or {}).encode() if body is None else body
        return self._checked(await self.ask("POST", path, headers=given, body=body))

    def _checked(self, answer):
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.text.isascii()
        data = json.loads(answer.text)
        assert isinstance(data, dict)
        if answer.status != 200:
            assert list(data) == ["error"]
            assert "Traceback" not in data["error"]
            assert "\n" not in data["error"]
            assert len(data["error"]) < 1_000
        return answer.status, data


@pytest.fixture
async def program(jobs, state):
    """A program on this machine, whose user is ada, and a job."""
    state.now(add_job, plan_of(), by="eve")
    return Program(Application(jobs=jobs, access=Access(local_user="ada")))


@pytest.fixture
async def unchanged(state, jobs):
    """Fails if anything was logged."""
    state.now(add_job, plan_of(), by="eve")
    yield
    assert len(await jobs.log(1)) == 1


async def test_a_job_is_what_status_and_ls_print_for_programs(program, jobs):
    shown = data_of(await jobs.status(1))

    assert await program.read("/api/jobs/1") == (200, json.loads(json.dumps(shown)))
    assert (await program.read("/api/jobs"))[1]["jobs"] == [json.loads(json.dumps(shown))]
    assert await program.read("/api/jobs/1/verification") == (200, {"verification": None})


async def test_a_job_is_approved_paused_and_set_in_the_name_of_who_asks(program, jobs):
    plan = (await program.read("/api/jobs/1"))[1]["plan_hash"]
    status, data = await program.order("/api/jobs/1/approve", {"plan_hash": plan, "reason": "fine"})
    assert (status, data["status"], data["approval"]["by"]) == (200, "approved", "ada")
    assert (await program.order("/api/jobs/1/resume"))[1]["status"] == "interrupted"
    await program.order("/api/jobs/1/set", {"rate": 7.5, "batch": "auto", "lanes": 3})
    assert await program.order("/api/jobs/panic", {"reason": "stop"}) == (200, {"jobs": [1]})
    job = await jobs.status(1)

    assert (job.settings.rate, job.settings.lanes, job.reason) == (7.5, 3, "stop")
    assert {line.by for line in await jobs.log(1)} == {"eve", "ada"}


@pytest.mark.usefixtures("unchanged")
async def test_who_has_no_token_or_a_wrong_one_is_told_to_say_who_they_are(jobs, caplog):
    caplog.set_level(logging.ERROR, "async_backfill.admin")
    app = Application(jobs=jobs, access=TOKENS)
    for headers in (
        {},
        {"authorization": "Bearer"},
        {"authorization": f"Bearer {ADA[1:]}"},
        {"authorization": f"Basic {ADA}"},
        {"authorization": [f"Bearer {ADA}", f"Bearer {ADA}"]},
        {"authorization": "Bearer \xe9"},
    ):
        for path in READS:
            assert (await Program(app).read(path, **headers))[0] == 401
        for path in CHANGES:
            assert (await Program(app).order(path, FIELDS, **headers))[0] == 401


@pytest.mark.usefixtures("unchanged")
async def test_who_may_only_look_reads_and_changes_nothing(jobs):
    program = Program(Application(jobs=jobs, access=TOKENS), token=BOB)
    for path in READS:
        assert (await program.read(path))[0] == 200
    for path in CHANGES:
        assert (await program.order(path, FIELDS))[0] == 403


@pytest.mark.usefixtures("unchanged")
async def test_the_cookie_of_a_login_is_no_token(jobs):
    browser = Program(Application(jobs=jobs, access=TOKENS))
    await browser.send("/", "/login", token=ADA)
    assert (await browser.get("/")).status == 200
    for path in READS:
        assert (await browser.read(path))[0] == 401
    for path in CHANGES:
        assert (await browser.order(path, FIELDS, origin=f"http://{HOST}"))[0] == 401


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("headers", [{"origin": f"http://{HOST}"}, {"sec-fetch-site": "same-origin"}])
async def test_without_tokens_a_browser_changes_nothing_for_any_site(jobs, headers):
    proxied = Access(user_header="x-user", trusted_proxies=["127.0.0.1"], may_change=["*"])
    known = Access(who=lambda _: Visitor(name="ada", may_change=True))
    for access in (Access(), proxied, known):
        program = Program(Application(jobs=jobs, access=access))
        for path in CHANGES:
            assert (await program.order(path, FIELDS, **{"x-user": "ada"}, **headers))[0] == 403


@pytest.mark.usefixtures("unchanged")
async def test_a_form_and_other_types_are_refused(program):
    for kind in ("application/x-www-form-urlencoded", "text/plain", "multipart/form-data", ""):
        for path in CHANGES:
            assert (await program.order(path, FIELDS, **{"content-type": kind}))[0] == 415


@pytest.mark.parametrize(
    ("body", "status"),
    [
        *((body, 400) for body in (b"", b"[]", b"null", b"{", b'"x"', b"\xff", b"[" * 50_000, b'{"a": NaN}')),
        (b'{"reason": ' + b"1" * 5_000 + b"}", 400),
        (json.dumps({f"f{number}": "" for number in range(60)}).encode(), 400),
        (b'{"reason": "' + b"x" * 70_000 + b'"}', 413),
    ],
)
@pytest.mark.usefixtures("unchanged")
async def test_a_body_that_is_no_small_object_is_refused(jobs, body, status):
    program = Program(Application(jobs=jobs, access=TOKENS), token=ADA)

    assert (await program.order("/api/jobs/1/set", body=body))[0] == status


@pytest.mark.parametrize(
    ("path", "fields", "status"),
    [
        ("/api/jobs/1/set", {"rate": "fast"}, 400),
        ("/api/jobs/1/set", {"rate": -1}, 400),
        ("/api/jobs/1/set", {"rate": 1e300}, 400),
        ("/api/jobs/1/set", {"lanes": {"a": 1}}, 200),
        ("/api/jobs/1/approve", {"plan_hash": "0" * 64, "reason": "x"}, 409),
        ("/api/jobs/1/approve", {"reason": "x"}, 400),
        ("/api/jobs/1/cancel", {"for_good": False}, 400),
        ("/api/jobs/1/mend", {"rows": "all"}, 400),
        ("/api/jobs/1/verify", {}, 403),
        ("/api/jobs/1/nothing", {}, 404),
        ("/api/jobs/7/pause", {}, 409),
        ("/api/jobs/<script>/pause", {}, 404),
        ("/api/nothing", {}, 404),
        ("/api/jobs", {}, 405),
    ],
)
async def test_what_cannot_be_is_refused_in_one_line(program, path, fields, status):
    assert (await program.order(path, fields))[0] == status


@pytest.mark.parametrize("path", ["/api/", "/api/jobs/7", "/api/jobs/-1", "/api/x" + "x" * 2_000])
async def test_addresses_of_the_api_that_are_not_there_are_json(program, path):
    assert (await program.read(path))[0] in {404, 414}


async def test_the_api_is_served_under_its_own_names_only_and_is_no_part_of_a_page(program):
    assert (await program.read("/api/jobs", host="evil.example"))[0] == 421
    assert (await program.read("/api/jobs", **{"sec-fetch-site": "cross-site"}))[0] == 403


@pytest.mark.parametrize("evil", EVIL, ids=range(len(EVIL)))
async def test_hostile_texts_are_answered_in_json(jobs, state, monkeypatch, caplog, evil):
    caplog.set_level(logging.CRITICAL + 1, "async_backfill.admin")
    text = evil.encode("utf-8", "replace").decode()
    plan = plan_of(rows_by=text, schema=text, release=text)
    state.now(add_job, plan, by=text)
    program = Program(Application(jobs=jobs, access=Access(local_user="ada")))
    assert (await program.read("/api/jobs/1"))[0] == 200
    assert (await program.order("/api/jobs/1/pause", {"reason": evil}))[0] in {200, 400, 409}
    assert (await program.order("/api/jobs/1/set", {"rate": evil, evil: evil}))[0] == 400

    async def fail(*_):
        raise JobStateError(evil)

    monkeypatch.setattr(type(jobs), "list", fail)
    assert (await program.read("/api/jobs"))[0] == 503


async def test_every_address_that_takes_a_change_is_one_of_these_tests(jobs):
    app = Application(jobs=jobs, access=TOKENS)
    posts = {
        route.path for route in app.addresses if "POST" in route.methods and route.path.startswith("/api/")
    }

    nothing = "/api/caches{rest:path}"  # says that there are none
    assert posts - {nothing} == {"/api/jobs/panic", "/api/jobs/{job}/{verb}"}


async def test_a_page_without_caches_says_where_to_ask_for_them(program):
    for ask in (program.read("/api/caches"), program.order("/api/caches/prices/pause", {"reason": "x"})):
        status, said = await ask
        assert (status, "ask the page in the application" in said["error"]) == (404, True)


async def told():
    return b"up 1\n"


@pytest.mark.parametrize("metrics", [lambda: b"up 1\n", told])
async def test_metrics_are_for_those_who_may_look_and_only_where_they_are_given(jobs, metrics):
    app = Application(jobs=jobs, access=TOKENS, metrics=metrics)
    answer = await Program(app, token=BOB).get("/metrics")

    assert (answer.status, answer.text) == (200, "up 1\n")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert (await Program(app).get("/metrics")).status == 401
    assert (await Program(Application(jobs=jobs, access=TOKENS), token=BOB).get("/metrics")).status == 404
