"""Pages that follow what happens: what they are told, what that costs, and that nothing is left of them."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest
from anyio import current_time, sleep

from async_backfill._jobs._state.jobs import add_job
from async_backfill.admin import Access, Application
from async_backfill.admin._live import Looks, Shown, Streams
from async_backfill.admin._refusals import RefusedError
from tests.admin.browser import Browser
from tests.conftest import anyio_backend  # noqa: F401 - each backend
from tests.jobs.state_rows import plan_of

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
async def planned(state):
    state.now(add_job, plan_of(), by="eve")


async def test_a_page_is_told_what_it_shows_and_then_only_what_is_new(browser, jobs):
    async with browser.follow("/jobs/1/events") as followed:
        await sleep(0.5)
        assert {"job_status", "job_figures", "job_forms", "job_log"} < set(followed.news())
        await sleep(5)
        assert followed.news() == {}
        await jobs.approve(1, plan_hash=plan_of().hash, by="bob", reason="fine")
        await sleep(1.5)
        news = followed.news()

    assert set(news) == {"job_status", "job_figures", "job_forms", "job_log"}
    assert "approved" in news["job_status"]


async def test_what_is_told_is_what_the_page_has(browser):
    page = (await browser.get("/jobs/1")).text
    async with browser.follow("/jobs/1/events") as followed:
        await sleep(0.5)
        for name, html in followed.news().items():
            assert f'id="{name}"' in page
            assert html in page


async def test_who_may_only_look_is_told_no_form(jobs):
    token = "b" * 20
    browser = Browser(Application(jobs=jobs, access=Access(read_tokens={"bob": token})))
    await browser.send("/", "/login", token=token)
    async with browser.follow("/jobs/1/events") as followed:
        await sleep(0.5)

        assert "<form" not in followed.text


async def test_a_hundred_pages_cost_one_look_a_second(browser, state):
    async with AsyncExitStack() as pages:
        for _ in range(100):
            await pages.enter_async_context(browser.follow("/jobs/1/events"))
        await sleep(0.5)
        before = state.calls
        await sleep(10)

        assert state.calls - before <= 10 * 4  # status, log, its chain, and dead rows where there are some


async def test_nothing_is_asked_when_nobody_follows(browser, state):
    async with browser.follow("/events") as followed:
        await sleep(0.5)
        followed.hung_up.set()
        await sleep(0.5)
        assert followed.ended
        before = state.calls
        await sleep(60)

        assert state.calls == before


async def test_a_browser_that_reads_nothing_is_let_go(browser):
    async with browser.follow("/events", reads=False) as followed:
        await sleep(25)

        assert followed.ended


async def test_a_stream_ends_after_minutes_so_that_a_right_does_not_outlive_its_end(browser):
    async with browser.follow("/events") as followed:
        await sleep(299)
        assert not followed.ended
        await sleep(3)

        assert followed.ended


async def test_a_stream_that_has_no_news_is_kept_open_by_comments(browser):
    async with browser.follow("/events") as followed:
        await sleep(1)
        followed.text = ""
        await sleep(40)

        assert followed.text == ": still here\n\n" * 2


async def test_a_state_that_cannot_be_read_is_told_and_so_is_its_return(browser, state):
    async with browser.follow("/jobs/1/events") as followed:
        await sleep(0.5)
        followed.text = ""
        state.broken = "<it> is locked"
        await sleep(1.5)
        assert followed.news() == {"trouble": "JobStateError: &lt;it&gt; is locked"}
        state.broken = None
        await sleep(1.5)

        assert followed.news() == {"trouble": ""}


async def test_all_streams_end_when_the_server_is_about_to(browser):
    async with browser.follow("/events") as one, browser.follow("/jobs/1/events") as other:
        await sleep(0.5)
        browser.app.end_streams()
        await sleep(0.1)

        assert one.ended
        assert other.ended


async def test_more_streams_than_a_process_can_hold_are_refused():
    streams = Streams(most=0)
    with pytest.raises(RefusedError):
        streams.stream(None, None)


async def test_after_a_change_nobody_is_shown_what_was_seen_before_it():
    looks, seen = Looks(), []

    async def look():
        await sleep(0.1)
        seen.append(len(seen))
        if len(seen) == 1:
            looks.forget()
        return Shown(parts={}, facts={"seen": len(seen)}, acts_on=())

    assert (await looks.look("job", look)).facts == {"seen": 1}
    assert (await looks.look("job", look)).facts == {"seen": 2}
    assert (await looks.look("job", look)).facts == {"seen": 2}


async def test_what_is_followed_takes_a_thirtieth_of_the_processor_at_most():
    used, looked = [0.0], []
    looks = Looks(lambda: used[0])

    async def look():
        used[0] += 0.06
        looked.append(current_time())
        return Shown(parts={}, facts={}, acts_on=())

    for _ in range(100):
        for name in ("one", "other"):
            await looks.look(name, look, is_followed=True)
        await sleep(0.5)

    assert 20 < len(looked) <= 26  # in 50 seconds, each of the two every 4 seconds: 0.06 * 2 / 0.03


async def test_a_page_that_is_opened_shows_the_last_second_whatever_that_costs():
    used, looked = [0.0], []
    looks = Looks(lambda: used[0])

    async def look():
        used[0] += 10.0
        looked.append(current_time())
        return Shown(parts={}, facts={}, acts_on=())

    for _ in range(5):
        await looks.look("one", look)
        await sleep(1.1)

    assert len(looked) == 5
