"""The texts of errors and keys are one line of bounded length wherever they are kept and shown."""

from __future__ import annotations

import json
import logging

import pytest
from anyio import create_task_group
from hypothesis import given
from hypothesis import strategies as st

from async_backfill import BackfillCache, BackfillPolicy, Failed, LoadError
from async_backfill._common.error_text import error_line, key_text, one_line
from async_backfill.far_tier import FarTier
from async_backfill.testing import MemoryFarStore

LONG = "x" * 2_000_000


class HostileError(Exception):
    """An error, or a key, that cannot be shown."""

    def __str__(self):
        raise ZeroDivisionError

    __repr__ = __str__


def test_spaces_within_a_line_are_kept():
    assert one_line(" 'a  ' and\n 'a' ") == "'a  ' and 'a'"


@given(said=st.text(max_size=3000))
def test_a_text_is_one_line_that_begins_as_it_does_and_is_bounded(said):
    line = one_line(said)

    assert len(line) < 550
    assert len(line.splitlines()) <= 1
    if len(said) <= 500:
        assert line.split() == said.split()
    else:
        assert line.endswith(f"... ({len(said):,} characters)")
        shown = " ".join(line.rpartition("... (")[0].split())
        assert " ".join(said.split()).startswith(shown)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("a\n  b"), "ValueError: a b"),
        (ValueError(), "ValueError"),
        (HostileError(), "HostileError (its text raises ZeroDivisionError)"),
        (ValueError(LONG), f"ValueError: {'x' * 500}... (2,000,000 characters)"),
    ],
)
def test_an_error_is_its_kind_and_its_text(error, line):
    assert error_line(error) == line


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("a\n", r"'a\n'"),
        (HostileError(), "a HostileError (its repr raises ZeroDivisionError)"),
        (LONG, f"'{'x' * 199}... (2,000,002 characters)"),
    ],
)
def test_a_key_is_shown_as_its_repr(key, text):
    assert key_text(key) == text


class Telling:
    """A source that tells too much."""

    def __init__(self):
        self.fails = False

    async def load_many(self, keys):
        if self.fails:
            raise ValueError(LONG)
        return {key: Failed(ValueError(LONG)) for key in keys}

    async def scan(self, _cursor, _limit):
        raise ValueError(LONG)


@pytest.mark.anyio
async def test_an_error_text_of_megabytes_is_kept_nowhere():
    source = Telling()
    told = []

    async def ask(cache, key):
        with pytest.raises(LoadError) as failed:
            await cache.get(key)
        told.append(str(failed.value))

    async with BackfillCache(source, scan=source, backfill=BackfillPolicy(min_lookups=1)) as cache:
        for source.fails in (False, True):
            async with create_task_group() as tasks:
                for key in ["a", "b", LONG] * 10:
                    tasks.start_soon(ask, cache, key)
            await cache.settle()
            await cache.force_backfill(by="a person", reason="to see it fail")
        records = [json.dumps(record.as_dict()) for record in cache.audit_log]

    assert len(told) == 60
    assert max(map(len, told)) < 1000
    assert any("characters)" in record for record in records)
    assert max(map(len, records)) < 2000


@pytest.mark.anyio
async def test_what_a_far_store_says_is_bounded_in_the_log(caplog):
    class Store(MemoryFarStore):
        async def get_many(self, _keys, /):
            raise ValueError(LONG)

    async def load(keys):
        return dict.fromkeys(keys, 1)

    class Source:
        async def load_many(self, keys):
            return await load(keys)

    caplog.set_level(logging.WARNING)
    async with BackfillCache(Source(), far=FarTier(store=Store())) as cache:
        assert await cache.get("a") == 1

    (line,) = [record.getMessage() for record in caplog.records]
    assert "characters)" in line
    assert len(line) < 1000
