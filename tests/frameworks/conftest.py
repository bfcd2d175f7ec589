"""A cache of products for the applications of these tests."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest

from async_backfill import BackfillCache, FreshnessPolicy, MappingSource
from async_backfill.testing import ManualClock

ROWS = {"a": {"name": "Anvil"}, "b": {"name": "Bolt"}}


class Products:
    """Opens a cache of products, and notes that."""

    def __init__(self):
        self.clock = ManualClock()
        self.happened = []
        self.settings = {"freshness": FreshnessPolicy(ttl=60.0, stale_for=300.0)}

    @asynccontextmanager
    async def open(self, name="products"):
        self.happened.append(f"open {name}")
        try:
            async with BackfillCache(MappingSource(ROWS), clock=self.clock, **self.settings) as cache:
                yield cache
        finally:
            self.happened.append(f"close {name}")


@pytest.fixture
def products():
    return Products()
