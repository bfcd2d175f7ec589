"""The sources that read files keep the promises of `Source`, `Scan` and `Rows`."""

from __future__ import annotations

import gzip
import json

import pytest

from async_backfill.sources.file import FileSource
from async_backfill.testing import (
    PartialFailureContract,
    RowsContract,
    ScanContract,
    SourceContract,
    SourceFactsContract,
)
from tests.contract.rows import MISSING, ROWS, ROWS_WITH_NONE
from tests.real_time import anyio_backend  # noqa: F401 - a fixture

pytestmark = pytest.mark.anyio

JSON_LINES = "".join(json.dumps({"id": key, "v": value}) + "\n" for key, value in ROWS_WITH_NONE.items())
TEXTS = {key: str(value) for key, value in ROWS_WITH_NONE.items()}
CSV = "id,v\n" + "".join(f"{key},{value}\n" for key, value in TEXTS.items())


def parsed(columns):
    """Return the value of a row; the one of the failing key cannot be parsed."""
    return int(columns["v"])


class TestJsonLines(SourceContract, ScanContract, RowsContract):
    known = keys = ROWS_WITH_NONE
    missing = MISSING
    content = JSON_LINES.encode()

    @pytest.fixture
    async def source(self, tmp_path):
        (tmp_path / "rows").write_bytes(self.content)
        async with FileSource(tmp_path / "rows", key="id", value="v") as source:
            yield source

    @pytest.fixture
    def scan(self, source):
        return source

    @pytest.fixture
    def ranged(self, source):
        return source


class OneLoop:
    """Other rows, and the same class around them: one loop tells as much as three."""

    @pytest.fixture
    def anyio_backend(self):
        return "asyncio"


class TestPackedJsonLines(OneLoop, TestJsonLines):
    content = gzip.compress(JSON_LINES.encode())


class TestFactsOfAFile(OneLoop, SourceFactsContract):
    count = len(ROWS_WITH_NONE)

    @pytest.fixture
    async def facts(self, tmp_path):
        (tmp_path / "rows").write_text(JSON_LINES)
        async with FileSource(tmp_path / "rows", key="id", value="v") as source:
            yield source


class TestCsv(OneLoop, TestJsonLines):
    known = keys = TEXTS
    content = CSV.encode()


class TestRowsThatAreParsed(OneLoop, PartialFailureContract):
    known = ROWS
    missing = MISSING
    failing = ("none",)

    @pytest.fixture
    async def source(self, tmp_path):
        (tmp_path / "rows").write_text(CSV)
        async with FileSource(tmp_path / "rows", key="id", row=parsed) as source:
            yield source
