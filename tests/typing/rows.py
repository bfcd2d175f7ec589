"""What a type checker must work out of rows in ranges; ``mypy --strict`` reads this file."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import assert_type

from async_backfill import Failed
from async_backfill.contracts import FarStore, RowPage, Rows
from async_backfill.sources.file import FileSource
from async_backfill.sources.parquet import ParquetSource
from async_backfill.sources.sql import SQLSource
from async_backfill.testing import ChangingRowsContract, RowsContract
from async_backfill.warming import copy_rows


class Readings:
    """Rows in ranges as a user would write them, without importing a base class."""

    async def rows(
        self, *, after: object | None = None, until: object | None = None, page: int = 100
    ) -> AsyncIterator[RowPage[str, int]]:
        yield RowPage({"a": page}, cursor=after or until)

    async def cuts(self, shards: int, /) -> Sequence[str]:
        return ["a"] * (shards - 1)


def rows_are_met(
    file: FileSource[str, int], parquet: ParquetSource[str, int], sql: SQLSource[str, int], own: Readings
) -> list[Rows[str, int]]:
    """What is shipped, and what a user writes, fits the contract without inheriting from it."""
    return [file, parquet, sql, own]


async def a_page_is_a_dict(source: Rows[str, int], store: FarStore[str, int]) -> None:
    async for page in source.rows(page=10):
        assert_type(page, RowPage[str, int])
        assert_type(page["a"], int)
        assert_type(page.cursor, object)
        assert_type(page.failed, Mapping[str, Failed])
        as_mapping: Mapping[str, int] = page
        assert as_mapping
    await copy_rows(source.rows(), store)


class TestReadings(RowsContract[str, int]):
    """The suite in a test class of a user's."""

    known = {"a": 1}  # noqa: RUF012 - as a user would write it


class TestChangingReadings(ChangingRowsContract[str, int]):
    """A value of the wrong type does not pass."""

    known = {"a": 1}  # noqa: RUF012 - as above
    spare = {"b": "2"}  # type: ignore[dict-item]  # noqa: RUF012 - as above
