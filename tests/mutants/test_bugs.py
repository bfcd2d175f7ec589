"""The list of planted bugs: it follows the code."""

from __future__ import annotations

import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[2]
BUGS = tomllib.loads(Path(__file__).with_name("bugs.toml").read_text("utf-8"))["bug"]


def test_each_bug_has_one_place_in_the_code():
    places = {
        bug["name"]: (PROJECT / "async_backfill" / bug["file"]).read_text("utf-8").count(bug["find"])
        for bug in BUGS
    }

    assert {name: count for name, count in places.items() if count != 1} == {}


def test_each_bug_names_tests_that_are_there():
    assert [test for bug in BUGS for test in bug["tests"] if not (PROJECT / test).exists()] == []
