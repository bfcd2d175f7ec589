"""Keys of several types and sizes in one batch: what the column cannot hold fails without the others."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backfill.outcomes import Failed

pytest.importorskip("sqlalchemy", reason="needs the extra sql")
pytest.importorskip("asyncpg", reason="needs the extra sql")
pytest.importorskip("aiosqlite", reason="needs the extra sql")
from async_backfill.sources.sql import QueryError, SQLSource, StatementSource
from async_backfill.sources.sql._errors import KeysRefusedError
from async_backfill.sources.sql._kinds import load_by_kind
from tests.sources.sql_tables import execute, rows_in, server_url, url

pytestmark = pytest.mark.anyio

ODD = [40_000, 2**40, -(2**40), 2**70, Decimal("2.5"), Decimal("NaN"), 2.5, float("inf"), "x", b"x"]


@pytest.fixture
def anyio_backend():
    return "asyncio"


def both(engine, table):
    statement = f"SELECT id, name FROM {table} WHERE id IN :keys"
    return SQLSource(engine, table, key="id", value="name"), StatementSource(engine, statement)


@pytest.mark.parametrize("kind", ["SMALLINT", "INTEGER", "BIGINT", "NUMERIC", "DOUBLE PRECISION"])
async def test_a_key_that_the_column_cannot_hold_never_fails_the_others(url, kind):
    kinds = (f"{kind} PRIMARY KEY", "TEXT", "INTEGER")
    async with rows_in(url, [(1, "one", 0), (2, "two", 0)], kinds=kinds) as (engine, table):
        for source in both(engine, table):
            for odd in (*([key] for key in ODD), ODD):
                answer = dict(await source.load_many([1, *odd, 2]))
                assert (answer.pop(1), answer.pop(2)) == ("one", "two"), odd
                assert all(isinstance(failed, Failed) for failed in answer.values())


async def test_whole_and_other_numbers_are_found_together_in_a_numeric_column(server_url):
    kinds = ("NUMERIC PRIMARY KEY", "TEXT", "INTEGER")
    async with rows_in(server_url, kinds=kinds) as (engine, table):
        await execute(engine, f"INSERT INTO {table} VALUES (1, 'a', 0), (2.5, 'b', 0), (0.25, 'c', 0)")
        for source in both(engine, table):
            assert await source.load_many([1, Decimal("2.5"), 0.25, 7]) == {
                1: "a",
                Decimal("2.5"): "b",
                0.25: "c",
            }


async def test_moments_with_and_without_a_zone_do_not_fail_each_other(server_url):
    moment = datetime(2026, 11, 29, tzinfo=UTC)
    async with rows_in(server_url, kinds=("TIMESTAMPTZ PRIMARY KEY", "TEXT", "INTEGER")) as (engine, table):
        await execute(engine, f"INSERT INTO {table} VALUES ('2026-11-29T00:00Z', 'a', 0)")
        source = SQLSource(engine, table, key="id", value="name")
        answer = await source.load_many([moment, datetime(2026, 1, 1)])  # noqa: DTZ001 - the point of the test

    assert answer[moment] == "a"


async def test_when_all_keys_are_refused_the_load_is(server_url):
    async with rows_in(server_url, kinds=("BOOLEAN PRIMARY KEY", "TEXT", "INTEGER")) as (engine, table):
        with pytest.raises(QueryError):
            await SQLSource(engine, table, key="id", value="name").load_many([2.5, b"x", 2**70])


async def test_what_the_database_refuses_for_another_reason_is_not_asked_again(url):
    async with rows_in(url, [("a", "x", 1)]) as (engine, table):
        source = StatementSource(
            engine, f"SELECT id, no_such({table}.name) FROM {table} WHERE id IN :keys AND"
        )
        with pytest.raises(QueryError) as refused:
            await source.load_many(["a", 1])

    assert "\n" not in str(refused.value)


NUMBERS = st.integers() | st.floats(allow_nan=False) | st.decimals(allow_nan=False)
KEYS = st.lists(NUMBERS | st.text(max_size=3), unique=True, min_size=1)


@given(keys=KEYS, refused=st.sets(st.sampled_from([int, float, Decimal, str])))
async def test_each_key_is_answered_or_failed_and_few_queries_are_made(keys, refused):
    calls = []

    async def load(some):
        calls.append(some)
        if any(type(key) in refused for key in some):
            raise KeysRefusedError("no")
        return {key: f"{key}" for key in some}

    try:
        answer = await load_by_kind(keys, load)
    except KeysRefusedError:
        answer = dict.fromkeys(keys, Failed(KeysRefusedError("no")))

    assert set(answer) == set(keys)
    for key in keys:
        assert isinstance(answer[key], Failed) is (type(key) in refused)
    assert len(calls) <= 1 + 4 + 2 + 2 + 1
