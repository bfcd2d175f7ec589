"""Lines in the log: at most one in its time of each kind, with fields, and free of cost while off."""

from __future__ import annotations

import logging

import pytest

from async_backfill._common.line_a_second import LineASecond
from async_backfill._common.log_lines import Line, Lines
from async_backfill.testing import ManualClock

LOGGER = logging.getLogger("async_backfill.test")


def line_of(text="so it is: %(keys)s", level=logging.INFO, **settings):
    return Line(logger=LOGGER, level=level, text=text, fields=lambda keys: {"keys": keys}, **settings)


@pytest.fixture(autouse=True)
def _level(caplog):
    caplog.set_level(logging.INFO, logger=LOGGER.name)


def test_of_one_kind_there_is_one_line_a_second_and_the_next_says_the_rest(caplog):
    clock = ManualClock()
    lines, line, other = Lines(clock), line_of(), line_of("another: %(keys)s")
    for number in range(5):
        lines.say(line, number)
    lines.say(other, 7)
    clock.advance(1.0)
    lines.say(line, 5)
    lines.say(line, 6)
    clock.advance(1.0)
    lines.say(line, 7)

    assert caplog.messages == [
        "so it is: 0",
        "another: 7",
        "so it is: 5 (4 more since the last line)",
        "so it is: 7 (1 more since the last line)",
    ]
    assert [(record.keys, record.left_out) for record in caplog.records] == [(0, 0), (7, 0), (5, 4), (7, 1)]


def test_a_kind_may_have_a_longer_time_between_its_lines(caplog):
    clock = ManualClock()
    lines, line = Lines(clock), line_of(between=60.0)
    for _ in range(121):
        lines.say(line, 0)
        clock.advance(1.0)

    assert len(caplog.records) == 3


def test_each_line_begins_with_what_is_common_and_has_its_fields(caplog):
    lines = Lines(ManualClock(), "%(cache)s: ", cache="100 % of it")
    lines.say(line_of(), 3)

    assert caplog.messages == ["100 % of it: so it is: 3"]
    assert (caplog.records[0].cache, caplog.records[0].keys) == ("100 % of it", 3)


def test_a_line_whose_level_is_off_makes_no_text_and_counts_as_nothing(caplog):
    asked, clock = [], ManualClock()

    def fields(event):
        asked.append(event)
        return {"keys": event}

    line = Line(logger=LOGGER, level=logging.DEBUG, text="said of %(keys)s", fields=fields)
    lines = Lines(clock)
    lines.say(line, 1)
    lines.say(line, 2)
    assert (asked, caplog.records) == ([], [])

    caplog.set_level(logging.DEBUG, logger=LOGGER.name)
    lines.say(line, 3)
    assert (asked, caplog.messages) == ([3], ["said of 3"])


def test_a_warning_of_the_usual_kind_has_fields_too(caplog):
    clock = ManualClock()
    log = LineASecond(LOGGER, clock)
    for number in range(3):
        log.warning("100 %% of %s failed", number, error=ValueError("no"), cache="products")
    clock.advance(1.0)
    log.warning("again", cache="products")

    assert caplog.messages == ["100 % of 0 failed", "again (2 more since the last line)"]
    assert [(record.cache, record.left_out) for record in caplog.records] == [
        ("products", 0),
        ("products", 2),
    ]
    assert isinstance(caplog.records[0].exc_info[1], ValueError)


def test_a_program_that_has_a_field_of_that_name_gets_the_line_without_ours(caplog):
    usual = logging.getLogRecordFactory()

    def factory(*args, **named):
        record = usual(*args, **named)
        record.keys = "of the program"
        return record

    logging.setLogRecordFactory(factory)
    try:
        Lines(ManualClock()).say(line_of(), 3)
    finally:
        logging.setLogRecordFactory(usual)

    assert [(record.getMessage(), record.keys) for record in caplog.records] == [
        ("so it is: 3", "of the program")
    ]


def test_a_filter_of_the_program_that_raises_ends_nothing(caplog):
    def fails(_):
        raise ValueError("a filter that fails")

    LOGGER.addFilter(fails)
    try:
        Lines(ManualClock()).say(line_of(), 3)
    finally:
        LOGGER.removeFilter(fails)

    assert caplog.records == []
