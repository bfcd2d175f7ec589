"""The sources without I/O keep the promises of `Source` and `Scan`."""

from __future__ import annotations

import anyio
import pytest

from async_backfill import KeyNotFoundError
from async_backfill.sources.callable import each
from async_backfill.sources.mapping import MappingSource
from async_backfill.sources.simulated import SimulatedSource
from async_backfill.sources.typed import TypedKey, TypedScan, TypedSource
from async_backfill.testing import GatedSource, PartialFailureContract, ScanContract, SourceContract
from tests.contract.rows import MISSING, ROWS_WITH_NONE

pytestmark = pytest.mark.anyio

TYPED_ROWS = {TypedKey(1): "int", TypedKey(1.0): "float", TypedKey(True): None}


class TestMappingSource(SourceContract, ScanContract):
    known = keys = ROWS_WITH_NONE
    missing = MISSING

    @pytest.fixture
    def source(self):
        return MappingSource(ROWS_WITH_NONE)

    @pytest.fixture
    def scan(self, source):
        return source


class TestSimulatedSource(SourceContract, ScanContract):
    known = keys = ROWS_WITH_NONE
    missing = MISSING

    @pytest.fixture
    def source(self):
        return SimulatedSource(ROWS_WITH_NONE, latency=0.01, key_latency=0.001, jitter=0.05)

    @pytest.fixture
    def scan(self, source):
        return source


class TestCallable(PartialFailureContract):
    known = ROWS_WITH_NONE
    missing = MISSING
    failing = ("broken", "also broken")

    @pytest.fixture
    def source(self):
        async def load(key):
            await anyio.sleep(0.01)
            if key in self.failing:
                raise ConnectionError(key)
            if key not in ROWS_WITH_NONE:
                raise KeyNotFoundError(key, key=key)
            return ROWS_WITH_NONE[key]

        return each(load)


class TestTypedSource(SourceContract, ScanContract):
    known = keys = TYPED_ROWS
    missing = (TypedKey("1"), TypedKey(2), TypedKey(1 + 0j))

    @pytest.fixture
    def source(self):
        class Typed:
            async def load_many(self, keys):
                return {key: TYPED_ROWS[TypedKey(key)] for key in keys if TypedKey(key) in TYPED_ROWS}

        return TypedSource(Typed())

    @pytest.fixture
    def scan(self):
        class Typed:
            async def scan(self, cursor, limit):
                page = await MappingSource(TYPED_ROWS).scan(cursor, limit)
                return type(page)([key.key for key in page.keys], page.cursor)

        return TypedScan(Typed())


class TestGatedSource(SourceContract):
    known = ROWS_WITH_NONE
    missing = MISSING

    @pytest.fixture
    def source(self):
        source = GatedSource(ROWS_WITH_NONE)
        source.open()
        return source
