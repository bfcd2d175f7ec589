"""The guide of durable jobs names what there is: statuses, keys of a job file, verbs, fields of a status."""

from __future__ import annotations

import re
from dataclasses import fields

import msgspec

from async_backfill._commands.jobs.app import jobs_app
from async_backfill._runner.job_files.model import BudgetSpec, Fields, RedisSpec, SQLiteSpec
from async_backfill._runner.scenario.model import FileSpec, SQLSpec
from async_backfill.jobs import LEGAL_JOB_CHANGES, JobReport, ThrottleLimits
from tests.docs.reading import MANUAL

PAGE = (MANUAL / "jobs.md").read_text("utf-8")


def section(title):
    _, _, after = PAGE.partition(f"\n## {title}\n")
    return after.partition("\n## ")[0]


def cells(text, columns):
    """Return the cells of the rows of the tables in ``text`` that have so many columns."""
    lines = [line.strip("|").split("|") for line in text.splitlines() if line[:1] == "|"]
    rows = [[cell.strip() for cell in line] for line in lines]
    return [row for row in rows if len(row) == columns and not row[0].startswith("---")]


def names(text):
    return set(re.findall(r"`([a-z_]+)`", text))


def test_the_table_of_statuses_is_that_of_the_legal_changes():
    said = {row[0].strip("`"): names(row[2]) for row in cells(section("The statuses of a job"), 3)[1:]}

    assert said == {
        before: {str(after) for after in afters}
        for before, afters in LEGAL_JOB_CHANGES.items()
        if before is not None
    }


def test_the_table_of_the_job_file_has_every_key_with_its_default():
    rows = {row[0].strip("`[]"): row for row in cells(section("The job file"), 3)[1:]}
    assert set(rows) == {*Fields.__struct_fields__, "source", "store", "budget", "throttle"}
    for field in msgspec.structs.fields(Fields):
        if not field.required:
            default = {None: "none", False: "false"}.get(field.default, str(field.default))
            assert rows[field.name][1].strip('`"') == default, field.name


def test_the_table_of_the_job_file_has_every_key_of_its_ends():
    rows = {row[0].strip("`[]"): row[2] for row in cells(section("The job file"), 3)}
    of_sources = {name for spec in (SQLSpec, FileSpec) for name in spec.__struct_encode_fields__}
    of_stores = {name for spec in (SQLiteSpec, RedisSpec) for name in spec.__struct_encode_fields__}

    assert of_sources <= names(rows["source"])
    assert of_stores <= names(rows["store"])
    assert {*BudgetSpec.__struct_encode_fields__} <= names(rows["budget"])


def test_the_page_names_every_limit_that_makes_a_job_wait():
    said = section("What makes a job wait")

    assert [field.name for field in fields(ThrottleLimits) if f"`{field.name}" not in said] == []


def test_the_table_of_verbs_has_every_verb():
    first = " ".join(row[0] for row in cells(section("The verbs"), 2))
    second = " ".join(row[1] for row in cells(section("The verbs"), 2))
    verbs = [name for name in jobs_app() if not name.startswith("-")]

    assert [verb for verb in verbs if f"`{verb}" not in first + second] == []


def test_the_page_names_every_field_of_a_status_that_programs_read():
    said = names(section("The verbs"))
    known = {field.name for field in fields(JobReport)}
    wanted = {
        *("status", "plan", "counts", "rows_total", "pages", "repeated_pages", "rows_per_second"),
        *("eta_seconds", "throttled", "shards", "workers"),
    }

    assert wanted <= said & known
