"""A budget of reads in Redis, beyond the contract: processes, its keys, and what others wrote there."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("redis", reason="needs the extra redis")
from async_backfill import ConfigurationError
from async_backfill.redis._cluster import by_slot
from async_backfill.redis.connection import connect
from async_backfill.redis.errors import RedisError
from async_backfill.redis.read_budget import RedisReadBudget
from tests.redis.test_rights import user

pytestmark = pytest.mark.anyio

PROCESS = """
import asyncio, sys
from async_backfill.redis import RedisReadBudget, connect

async def main(url, namespace, name):
    async with connect(url) as redis:
        budget = RedisReadBudget(redis, namespace=namespace)
        for _ in range(100):
            await budget.book(10, 20.0)
        got = [await budget.begin(b"%s %d" % (name, page), 3, lease=600.0) for page in range(3)]
        print(sum(is_taken for is_taken, _ in got))

asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3].encode()))
"""


@pytest.fixture
def names(namespace):
    start = f"{{{namespace}!reads:source}}"
    return f"{start}rows", f"{start}pages"


@pytest.fixture
async def redis(valkey_url, names):
    async with connect(valkey_url) as redis:
        yield redis
        await redis.execute("DEL", *names)


async def server_time(redis):
    seconds, micros = await redis.execute("TIME")
    return int(seconds) * 1_000_000 + int(micros)


async def test_two_processes_together_book_the_rows_of_the_rate_and_no_more(
    redis, valkey_url, namespace, names
):
    before = await server_time(redis)
    command = [sys.executable, "-c", PROCESS, valkey_url, namespace]
    started = [
        subprocess.Popen([*command, name], stdout=subprocess.PIPE, text=True)  # noqa: ASYNC220
        for name in ("one", "two")
    ]
    places = [int(process.communicate()[0]) for process in started]
    booked = (int(await redis.execute("GET", names[0])) - before) / 1e6 * 20.0
    between = (await server_time(redis) - before) / 1e6 * 20.0

    assert [process.returncode for process in started] == [0, 0]
    assert 2_000 <= booked <= 2_000 + between
    assert sum(places) == 3


async def test_both_keys_expire_and_have_one_slot(redis, namespace, names):
    budget = RedisReadBudget(redis, namespace=namespace)
    await budget.book(1, 10.0)
    await budget.begin(b"long", 2, lease=60.0)
    await budget.begin(b"short", 2, lease=1.0)

    assert len(by_slot([name.encode() for name in names])) == 1
    assert 50_000 < await redis.execute("PTTL", names[0]) <= 60_101
    assert 1_000 < await redis.execute("PTTL", names[1]) <= 60_000


async def test_a_place_may_be_kept_for_centuries(redis, namespace, names):
    budget = RedisReadBudget(redis, namespace=namespace)
    assert [await budget.begin(page, 1, lease=1e300) for page in (b"one", b"two")] == [(True, 1), (False, 1)]
    assert await redis.execute("PTTL", names[1]) > 0


@pytest.mark.parametrize("text", ["", "soon", "-5", "1e15", " 5", "9" * 17, "nan"])
async def test_what_is_no_time_is_an_error_and_nobody_books(redis, namespace, names, text):
    await redis.execute("SET", names[0], text)
    budget = RedisReadBudget(redis, namespace=namespace)
    for call in (budget.book, budget.give_back):
        with pytest.raises(RedisError, match="holds no time of a budget: DEL it"):
            await call(1, 1.0)
    assert await redis.execute("GET", names[0]) == text.encode()


async def test_rows_that_would_begin_in_centuries_are_refused(redis, namespace, names):
    budget = RedisReadBudget(redis, namespace=namespace)
    with pytest.raises(RedisError, match="in more than 200 years"):
        await budget.book(10**9, 1e-6)

    assert await redis.execute("EXISTS", *names) == 0


async def test_budgets_of_other_names_are_apart(redis, namespace):
    await RedisReadBudget(redis, namespace=namespace).book(1, 1e-3)
    other = RedisReadBudget(redis, namespace=namespace, name="another")
    assert await other.book(1, 1e3) == 0.0
    await redis.execute("DEL", f"{{{namespace}!reads:another}}rows")


@pytest.mark.parametrize(
    ("call", "setting"),
    [
        (lambda budget: budget.book(0, 1.0), "rows"),
        (lambda budget: budget.book(1, 0.0), "rate"),
        (lambda budget: budget.give_back(1, float("inf")), "rate"),
        (lambda budget: budget.begin(b"", 0, lease=1.0), "pages"),
        (lambda budget: budget.begin(b"", 1, lease=0.0), "lease"),
    ],
)
async def test_what_cannot_be_asked_for_names_the_setting(redis, namespace, call, setting):
    with pytest.raises(ConfigurationError) as refused:
        await call(RedisReadBudget(redis, namespace=namespace))

    assert refused.value.setting == setting


@pytest.mark.parametrize("name", ["", "a b", "a}b", "é"])
async def test_a_name_that_could_move_its_keys_apart_is_refused(redis, namespace, name):
    with pytest.raises(ConfigurationError) as refused:
        RedisReadBudget(redis, namespace=namespace, name=name)

    assert refused.value.setting == "name"


async def test_what_a_user_may_not_do_is_said_with_the_rule_that_allows_it(
    valkey_url, namespace, redis, names
):
    async with user(valkey_url, namespace, "+@all", f"~{{{namespace}!*") as limited:
        assert await RedisReadBudget(limited, namespace=namespace).missing_rights() == []
    async with user(valkey_url, namespace, "+@all", "-zadd", "-zrem", f"~{{{namespace}!*") as limited:
        (line,) = await RedisReadBudget(limited, namespace=namespace).missing_rights()
        assert line.startswith("the budget of reads may not do all that is needed in Redis: ")
        assert line.endswith("+zadd +zrem")
    assert await redis.execute("EXISTS", *names) == 0
