"""The Parquet source keeps the promises of `Source`, `Scan` and `Rows`."""

from __future__ import annotations

import pytest

from async_backfill.testing import RowsContract, ScanContract, SourceContract, SourceFactsContract
from tests.contract.rows import MISSING, ROWS_WITH_NONE
from tests.one_loop import anyio_backend  # noqa: F401 - a fixture

pa = pytest.importorskip("pyarrow")
from pyarrow import parquet as pq  # noqa: E402 - only if it is installed

from async_backfill.sources.parquet import ParquetSource  # noqa: E402 - only if it is installed


@pytest.mark.anyio
class TestParquetSource(SourceContract, ScanContract, RowsContract, SourceFactsContract):
    count = len(ROWS_WITH_NONE)
    known = keys = ROWS_WITH_NONE
    missing = MISSING

    @pytest.fixture
    async def source(self, tmp_path):
        table = pa.table({"id": list(ROWS_WITH_NONE), "v": list(ROWS_WITH_NONE.values())})
        pq.write_table(table, tmp_path / "rows", row_group_size=30)
        async with ParquetSource(tmp_path / "rows", key="id", value="v") as source:
            yield source

    @pytest.fixture
    def scan(self, source):
        return source

    @pytest.fixture
    def ranged(self, source):
        return source

    @pytest.fixture
    def facts(self, source):
        return source
