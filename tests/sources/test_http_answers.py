"""The meaning of statuses and headers of an answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from async_backfill.sources.http._answers import (
    Answer,
    AnswerError,
    NoAnswerError,
    StatusError,
    retry_after,
    status_name,
)
from async_backfill.sources.http._values import ValueReader

NOW = datetime(1994, 11, 6, 8, 49, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 37.0),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 37.0),
        ("Sun Nov  6 08:49:37 1994", 37.0),
        ("Sun, 06 Nov 1994 08:48:00 GMT", 0.0),
        ("Sun, 06 Nov 1994 09:49:37 +0100", 37.0),
    ],
)
def test_seconds_and_the_three_formats_of_a_date_are_understood(value, seconds):
    assert retry_after(value, now=NOW) == seconds


@pytest.mark.parametrize(
    "value",
    [
        *(None, "", "soon", "-5", "+5", "1e9", "nan", "inf", "0x10", "٣", "5 s", "5, 6", "9" * 400),
        *("1" * 5000, "\x00", "Sun, 99 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 99:99:99 GMT"),
        "Sun, 06 Nov 99999 08:49:37 GMT",
    ],
)
def test_what_is_neither_says_nothing(value):
    assert retry_after(value, now=NOW) is None


date_parts = st.sampled_from(
    ["Sun", ",", " ", "06", "Nov", "1994", "08:49:37", "GMT", "-", "+", ":", "99", "0"]
)


@example(value="0\x1f")
@given(value=st.text(max_size=40) | st.lists(date_parts, max_size=15).map("".join))
def test_any_text_is_seconds_of_zero_or_more_or_nothing(value):
    seconds = retry_after(value, now=NOW, date=value)

    assert seconds is None or seconds >= 0.0


@given(wait=st.integers(0, 10**6), skew=st.integers(-(10**6), 10**6))
def test_a_date_is_compared_with_the_clock_of_the_service_when_it_tells_it(wait, skew):
    theirs = NOW + timedelta(seconds=skew)
    until = format_datetime(theirs + timedelta(seconds=wait), usegmt=True)

    assert retry_after(until, now=NOW, date=format_datetime(theirs, usegmt=True)) == wait
    assert retry_after(until, now=NOW, date="nonsense") == max(wait + skew, 0)


@pytest.mark.parametrize(
    ("status", "may_pass", "pause"),
    [
        *((200, False, None), (404, False, None), (400, False, None), (302, False, None)),
        *((429, True, 5.0), (503, True, 5.0)),
        *((500, True, None), (502, True, None), (599, True, None)),
    ],
)
def test_retry_after_counts_with_429_and_503_only(status, may_pass, pause):
    answer = Answer(status, b"", 5.0)

    assert (answer.may_pass, answer.pause) == (may_pass, pause)


def test_a_refusal_names_the_status_and_carries_it():
    error = Answer(429, b"", 2.5).refusal("https://host/{key}")

    assert isinstance(error, StatusError)
    assert str(error) == "HTTP 429 Too Many Requests from https://host/{key}"
    assert (error.status, error.retry_after) == (429, 2.5)


def test_a_status_nobody_knows_is_a_number():
    assert (status_name(418), status_name(799)) == ("418 I'm a Teapot", "799")


def test_no_answer_is_a_connection_error_for_those_who_retry_such():
    assert issubclass(NoAnswerError, ConnectionError)


def test_a_long_value_of_another_type_is_shown_in_part():
    reader = ValueReader(Literal["a", "b"])
    with pytest.raises(
        AnswerError, match=r"^the answer of https://host/{key} is not the JSON of a v"
    ) as refused:
        reader.one(b'"' + b"x" * 2_000_000 + b'"', "https://host/{key}")

    assert len(str(refused.value)) < 700
