"""Retries: how often, how late, and never past the deadline; in virtual time."""

from __future__ import annotations

import math

import pytest
from anyio import create_task_group, current_time, fail_after, move_on_after, sleep
from hypothesis import given
from hypothesis import strategies as st

from async_backfill import ConfigurationError
from async_backfill.sources.http._answers import Answer, AnswerError, NoAnswerError, StatusError
from async_backfill.sources.http._attempts import Attempts, RetryPolicy

pytestmark = pytest.mark.anyio

PLACE = "https://host/{key}"
FOUND = Answer(200, b"1")


class Service:
    """Gives ``outcomes`` in turn, then what was found; notes when it was asked."""

    def __init__(self, *outcomes):
        self.outcomes = list(outcomes)
        self.times = []

    async def __call__(self):
        self.times.append(current_time())
        outcome = self.outcomes.pop(0) if self.outcomes else FOUND
        if isinstance(outcome, Exception):
            raise outcome
        if isinstance(outcome, float):
            await sleep(outcome)
            return FOUND
        return outcome

    @property
    def waits(self):
        return [later - sooner for sooner, later in zip(self.times, self.times[1:], strict=False)]


def attempts(concurrency=10, **settings):
    return Attempts(RetryPolicy(**settings), concurrency=concurrency)


def busy(seconds, status=429):
    return Answer(status, b"", seconds)


@pytest.mark.parametrize("status", [200, 204, 302, 400, 401, 403, 404, 410, 422])
async def test_an_answer_that_stays_the_same_is_returned_at_once(status):
    service = Service(Answer(status))

    assert (await attempts().ask(service, PLACE)).status == status
    assert len(service.times) == 1


@pytest.mark.parametrize("outcome", [*map(Answer, (500, 502, 503, 429)), NoAnswerError("cut")])
async def test_what_may_pass_is_asked_again_after_a_wait(outcome):
    service = Service(outcome, outcome)

    assert await attempts(wait_initial=1.0).ask(service, PLACE) == FOUND
    assert len(service.times) == 3
    assert 0.5 <= service.waits[0] <= 1.0
    assert 1.0 <= service.waits[1] <= 2.0


async def test_the_last_of_the_attempts_is_raised_as_it_is():
    failure = NoAnswerError("cut")
    service = Service(Answer(500), Answer(502), failure)
    with pytest.raises(NoAnswerError) as raised:
        await attempts(attempts=3).ask(service, PLACE)

    assert raised.value is failure
    service = Service(*[Answer(500)] * 9)
    with pytest.raises(StatusError, match=f"HTTP 500 Internal Server Error from {PLACE}$"):
        await attempts(attempts=4).ask(service, PLACE)
    assert len(service.times) == 4


async def test_any_other_error_is_raised_at_once():
    service = Service(AnswerError("too long"))
    with pytest.raises(AnswerError):
        await attempts().ask(service, PLACE)

    assert len(service.times) == 1


async def test_an_attempt_that_takes_too_long_counts_as_failed():
    service = Service(99.0, 99.0)
    before = current_time()

    assert await attempts(attempt_timeout=10.0, wait_initial=0.1).ask(service, PLACE) == FOUND
    assert 20.0 < current_time() - before < 21.0
    with pytest.raises(NoAnswerError, match=r"within 10.0 s \(RetryPolicy.attempt_timeout\)"):
        await attempts().ask(Service(*[99.0] * 3), PLACE)


@pytest.mark.parametrize("status", [429, 503])
async def test_the_service_is_left_alone_as_long_as_it_says(status):
    service = Service(busy(7.0, status))
    with fail_after(30):
        assert await attempts(wait_initial=1.0).ask(service, PLACE) == FOUND

    assert 7.0 <= service.waits[0] <= 8.0


async def test_a_pause_that_was_asked_for_is_no_failed_attempt():
    service = Service(*[busy(1.0)] * 10)
    with fail_after(60):
        assert await attempts(attempts=1, wait_max=0.5).ask(service, PLACE) == FOUND

    assert len(service.times) == 11


async def test_a_service_that_says_zero_seconds_is_not_asked_in_a_loop():
    service = Service(*[busy(0.0)] * 10_000)
    with move_on_after(30), pytest.raises(StatusError):
        await attempts(wait_initial=0.1, wait_max=5.0).ask(service, PLACE)

    assert len(service.times) < 25


async def test_a_pause_beyond_the_time_left_is_not_waited_for():
    service = Service(busy(120.0))
    before = current_time()
    with fail_after(30), pytest.raises(StatusError) as refused:
        await attempts().ask(service, PLACE)

    assert current_time() == before
    assert refused.value.retry_after == 120.0
    wanted = "which asks for a pause of 120 s (Retry-After); only 30 s are left"
    assert str(refused.value) == f"HTTP 429 Too Many Requests from {PLACE}, {wanted}"


async def test_a_wait_beyond_the_time_left_is_not_begun():
    service = Service(Answer(500), Answer(500))
    before = current_time()
    with fail_after(1), pytest.raises(StatusError, match="HTTP 500"):
        await attempts(wait_initial=10.0, wait_max=10.0).ask(service, PLACE)

    assert current_time() == before
    assert len(service.times) == 1


async def test_a_pause_holds_for_all_keys():
    both = attempts(wait_initial=0.1)
    one, other = Service(busy(7.0)), Service()
    before = current_time()
    async with create_task_group() as tasks:
        tasks.start_soon(both.ask, one, PLACE)
        await sleep(1)
        tasks.start_soon(both.ask, other, PLACE)

    assert other.times[0] - before >= 7.0


async def test_who_cannot_wait_for_a_pause_is_told_without_asking():
    both = attempts()
    with pytest.raises(StatusError), fail_after(5):
        await both.ask(Service(busy(20.0, 503)), PLACE)
    other = Service()
    with fail_after(5), pytest.raises(StatusError, match=r"HTTP 503 .* a pause of 20 s") as refused:
        await both.ask(other, PLACE)

    assert refused.value.status == 503
    assert other.times == []


async def test_one_pause_keeps_others_away_for_a_bounded_time_only():
    both = attempts(max_pause=60.0)
    with pytest.raises(StatusError), fail_after(5):
        await both.ask(Service(busy(1e6)), PLACE)
    await sleep(60)

    assert await both.ask(Service(), PLACE) == FOUND


async def test_a_shorter_pause_does_not_end_a_longer_one():
    both = attempts(wait_initial=0.1)
    long, short = Service(busy(9.0)), Service(busy(1.0))
    async with create_task_group() as tasks:
        tasks.start_soon(both.ask, long, PLACE)
        tasks.start_soon(both.ask, short, PLACE)

    assert short.times[-1] - short.times[0] >= 9.0


async def test_no_more_than_allowed_are_under_way_and_who_waits_takes_no_place():
    running = most = 0

    async def send():
        nonlocal running, most
        running += 1
        most = max(most, running)
        await sleep(1)
        running -= 1
        return FOUND

    three = attempts(concurrency=3, wait_initial=100.0, wait_max=100.0)
    before = current_time()
    async with create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(three.ask, Service(Answer(500)), PLACE)
        for _ in range(30):
            tasks.start_soon(three.ask, send, PLACE)
        await sleep(10.5)
        assert (running, most) == (0, 3)

    assert current_time() - before >= 50


@given(
    initial=st.floats(1e-3, 1e3),
    most=st.floats(1e-3, 1e3),
    tried=st.integers(1, 10_000),
)
def test_a_wait_doubles_up_to_the_most_and_half_of_it_is_at_random(initial, most, tried):
    longest = min(most, initial * 2.0 ** min(tried - 1, 500))
    wait = RetryPolicy(wait_initial=initial, wait_max=most).wait(tried)

    assert longest / 2 <= wait <= longest
    assert RetryPolicy(wait_initial=initial).wait(0) == 0.0


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *(("attempts", value) for value in (0, -1, 2.0, True, "3", None)),
        *(("attempt_timeout", value) for value in (0, -1.0, math.nan, math.inf, True, "1", None)),
        *(("wait_initial", value) for value in (0, -1.0, math.nan, math.inf, True, "1", None)),
        *(("wait_max", value) for value in (0, -1.0, math.nan, math.inf, True, "1", None)),
        *(("max_pause", value) for value in (-1.0, math.nan, math.inf, True, "1", None)),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_by_name(setting, value):
    with pytest.raises(ConfigurationError) as refused:
        RetryPolicy(**{setting: value})

    assert refused.value.setting == setting
