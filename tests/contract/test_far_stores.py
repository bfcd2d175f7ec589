"""The far store in memory keeps the promises of `FarStore`."""

from __future__ import annotations

import pytest

from async_backfill.testing import FarStoreContract, MemoryFarStore

ITEMS = {"one": 1, "two": ["2"], "none": None, "text": "0"}
ODD_KEYS = (0, "", " ", "0", "a:b", "a", "b", "*", "[a]", "line\nend", "nul\0", "é", "e\u0301", "\ud800")


@pytest.mark.anyio
class TestMemoryFarStore(FarStoreContract):
    items = ITEMS
    odd_keys = ODD_KEYS

    @pytest.fixture
    def store(self):
        return MemoryFarStore()

    @pytest.fixture
    def other(self):
        return MemoryFarStore()


@pytest.mark.anyio
class TestSlowMemoryFarStore(TestMemoryFarStore):
    ttl = 5.0

    @pytest.fixture
    def store(self):
        store = MemoryFarStore()
        store.line.latency, store.line.answer_latency = 0.5, 0.25
        return store
