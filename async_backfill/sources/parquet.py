"""A source that reads a Parquet file from disk, with pyarrow; needs the extra ``parquet``."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from async_backfill._common.extras import needed_by
from async_backfill._common.loose_types import K, V
from async_backfill._common.validation import whole
from async_backfill.sources._rows.indexed_source import IndexedSource, OnChange
from async_backfill.sources._rows.row_parts import Columns, KeyType, RowValue

with needed_by("async_backfill.sources.parquet", "parquet", "pyarrow"):
    from async_backfill.sources._row_groups import IndexedGroups

if TYPE_CHECKING:
    from collections.abc import Callable

    from async_backfill.sources._rows.rows import AnyPath

__all__ = ["ParquetSource"]


class ParquetSource(IndexedSource[K, V]):
    """A source, scan and `Rows` over the rows of the Parquet file at ``path``, of any size.

    Opening (``async with``, or `open` and `aclose`) reads the key column once and keeps 24 to 30 bytes a
    row in memory. A row of Parquet cannot be read alone: a load reads each row group with one of its keys,
    from the start of the group to the last such row, and only the columns it needs. A file for single reads
    is best written in small row groups, of about 10,000 rows. Reading runs in worker threads, 8192 rows at
    a time. A value is a dict of all columns but the key, as Python values.

    The file has changed when its size, time of change or inode differs from when it was indexed; rows read
    from a changed file are not handed out. A write that changes none of the three goes unnoticed.

    :param key: the column that identifies a row; a file with a repeated key is refused.
    :param key_type: the type of the keys: ``str`` (not empty), ``int``, `uuid.UUID`, `datetime.date` or
        `decimal.Decimal`; a key of another type is not found. ``None`` takes that of the first row.
    :param value: the column that becomes the value.
    :param row: a function that makes the value from the dict of all columns, in a worker thread; an error of
        it fails that key alone. Excludes ``value``.
    :param on_change: what to do when the file has changed: ``"refuse"`` fails each load and scan;
        ``"reindex"`` reads the file again, once for all waiting calls. A scan in progress then starts again
        at the first row; `rows` in progress end with an error.
    :param max_group: the largest allowed size of a row group in bytes, unpacked, as the file states it.
    :raises ConfigurationError: when a setting is not allowed.
    """

    def __init__(
        self,
        path: AnyPath,
        *,
        key: str,
        key_type: type[Any] | None = None,
        value: str | None = None,
        row: Callable[[Columns], V] | None = None,
        on_change: OnChange = "refuse",
        max_group: int = 1 << 30,
    ) -> None:
        keys = KeyType.given(key_type)
        values = RowValue(key, value=value, row=row)
        most = whole("max_group", max_group, least=1)
        index = partial(IndexedGroups[K, V], path, keys, values, most)
        super().__init__(path, index, on_change=on_change)
