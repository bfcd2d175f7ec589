"""A source that reads the rows of a CSV or JSON-lines file from disk; memory holds only their positions."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from async_backfill._common.loose_types import K, V
from async_backfill._common.validation import whole
from async_backfill.errors import ConfigurationError
from async_backfill.sources._rows.indexed_rows import IndexedRows, RowRules
from async_backfill.sources._rows.indexed_source import IndexedSource, OnChange, one_of
from async_backfill.sources._rows.row_parts import Columns, KeyType, RowValue
from async_backfill.sources._rows.tables import DUPLICATES, Duplicates

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from async_backfill.sources._rows.content import Unpack
    from async_backfill.sources._rows.rows import AnyPath

__all__ = ["FileSource"]

_LONGEST_ROW: Final = 0xFFFF_FFFF


class FileSource(IndexedSource[K, V]):
    """A source, scan and `Rows` over the rows of the file at ``path``, which may be larger than memory.

    The file holds JSON lines, or CSV with commas, semicolons, tabs or bars; its content says which. Lines
    before the first row that begin with ``#``, and one such as ``sep=;``, are no rows. Opening (``async
    with``, or `open` and `aclose`) reads it once and keeps 24 to 30 bytes a row in memory. A load seeks to
    its rows, in the order of the file; a scan reads on from its cursor. Both run in worker threads, and their
    memory depends on the rows asked for, not on the file. A value is a dict of all columns but the key.

    One cannot seek in a packed file (gzip, bz2, xz, zstd with the extra ``zstd``, others with ``unpack``; its
    first bytes say which), so opening unpacks it into a temporary file in ``scratch``, which is removed with
    the source. That costs as much disk as the unpacked content has bytes (memory, where the folder is a
    tmpfs), and one open file.

    The file has changed when its size, time of change or inode differs from when it was indexed; rows read
    from a changed file are not handed out. A write that changes none of the three goes unnoticed.

    :param key: the column that identifies a row.
    :param key_type: the type of the keys: ``str`` (not empty), ``int``, `uuid.UUID`, `datetime.date` or
        `decimal.Decimal`; a key of another type is not found. ``None`` takes that of the first row: text or a
        whole number in JSON lines, text in CSV.
    :param value: the column that becomes the value.
    :param row: a function that makes the value from the dict of all columns, in a worker thread; an error of
        it fails that key alone. Excludes ``value``.
    :param columns: the names of the columns of a table without a header; the last cells of a row may be
        missing then, and are empty text.
    :param duplicates: what to do with a key that appears twice: ``"refuse"`` the file, or keep the
        ``"first"`` or the ``"last"`` row.
    :param on_change: what to do when the file has changed: ``"refuse"`` fails each load and scan;
        ``"reindex"`` reads the file again, once for all waiting calls. A scan in progress then starts again
        at the first row; `rows` in progress end with an error.
    :param unpack: a function that opens a file that is packed in another way for reading.
    :param max_line: the largest allowed size of a row in bytes, line ends included.
    :param max_unpacked: the largest allowed size of the unpacked content in bytes.
    :param scratch: the folder of the temporary file; ``None`` is the system's.
    :raises ConfigurationError: when a setting is not allowed.
    """

    def __init__(  # noqa: PLR0913 - each is one setting of how the file is read
        self,
        path: AnyPath,
        *,
        key: str,
        key_type: type[Any] | None = None,
        value: str | None = None,
        row: Callable[[Columns], V] | None = None,
        columns: Sequence[str] | None = None,
        duplicates: Duplicates = "refuse",
        on_change: OnChange = "refuse",
        unpack: Unpack | None = None,
        max_line: int = 1 << 20,
        max_unpacked: int = 1 << 32,
        scratch: AnyPath | None = None,
    ) -> None:
        one_of("duplicates", duplicates, DUPLICATES)
        rules = RowRules(
            keys=KeyType.given(key_type),
            values=RowValue(key, value=value, row=row),
            columns=_column_names(columns, key, value),
            duplicates=duplicates,
            unpack=unpack,
            max_line=whole("max_line", max_line, least=1),
            max_unpacked=whole("max_unpacked", max_unpacked, least=1),
            scratch=scratch,
        )
        if rules.max_line > _LONGEST_ROW:
            raise ConfigurationError("max_line", f"must be at most {_LONGEST_ROW}, not {rules.max_line}")
        super().__init__(path, partial(IndexedRows[K, V], path, rules), on_change=on_change)


def _column_names(columns: Sequence[str] | None, key: str, value: str | None) -> tuple[str, ...] | None:
    """Return ``columns``, or raise `ConfigurationError` when they cannot be those of a table."""
    if columns is None:
        return None
    if isinstance(columns, str) or not all(isinstance(name, str) for name in columns):
        raise ConfigurationError("columns", f"must be names of columns, not {columns!r}")
    if len(set(columns)) < len(columns):
        raise ConfigurationError("columns", "names one column twice")
    for name in (key, value):
        if name is not None and name not in columns:
            raise ConfigurationError("columns", f"does not have the column {name!r}")
    return tuple(columns)
