"""Fixtures of pytest-asyncio, which opens a fixture in one task and closes it in another."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

from tests.cache.uses import new_cache


@asynccontextmanager
async def opened():
    opener = asyncio.current_task()
    async with new_cache() as cache:
        yield cache
        assert asyncio.current_task() is not opener


@pytest_asyncio.fixture(loop_scope="function", scope="function")
async def of_function():
    async with opened() as cache:
        yield cache


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def of_module():
    async with opened() as cache:
        yield cache


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def of_session():
    async with opened() as cache:
        yield cache


@pytest.mark.asyncio(loop_scope="function")
async def test_a_fixture_of_a_function_is_a_cache_that_works(of_function):
    assert await of_function.get("a") == 1


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("hits", [0, 1])
async def test_a_fixture_of_a_module_is_a_cache_that_works_in_each_test(of_module, hits):
    assert await of_module.get("a") == 1
    assert of_module.stats.hits == hits


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("hits", [0, 1])
async def test_a_fixture_of_the_session_is_a_cache_that_works_in_each_test(of_session, hits):
    assert await of_session.get("a") == 1
    assert of_session.stats.hits == hits
