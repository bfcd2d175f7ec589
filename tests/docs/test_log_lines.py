"""The page of log lines has each line that an event makes, with its logger and level, and each field."""

from __future__ import annotations

import logging
import re

from async_backfill._jobs._event_lines import ALL as LINES_OF_JOBS
from async_backfill._session.event_lines import ALL as LINES_OF_CACHES
from tests.docs.reading import MANUAL

PAGE = (MANUAL / "events_and_logs.md").read_text("utf-8")
LINES = (*LINES_OF_CACHES, *LINES_OF_JOBS)
NAME = re.compile(r"%\((\w+)\)s")


def documented_fields() -> set[str]:
    """Return the names in the table of fields."""
    table = PAGE.split("### Fields\n")[1].split("\n### ")[0]
    rows = re.findall(r"^\| (`.+?) \|", table, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


def test_each_line_stands_on_the_page_with_its_logger_and_level():
    for line in LINES:
        text = NAME.sub(r"{\1}", line.text)
        assert f"| `{line.logger.name}` | {logging.getLevelName(line.level)} | {text} |" in PAGE


def test_each_field_of_a_text_stands_in_the_table_of_fields():
    fields = documented_fields()
    assert "left_out" in fields
    for line in LINES:
        assert set(NAME.findall(line.text)) <= fields
