"""A file of rows as a source that is read from disk: only where each row is, is kept in memory."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from async_backfill._common.validation import whole
from async_backfill.contracts import K, V
from async_backfill.errors import ConfigurationError
from async_backfill.sources._rows.indexed_rows import Duplicates, IndexedRows, RowRules
from async_backfill.sources._rows.indexed_source import IndexedSource, OnChange, one_of
from async_backfill.sources._rows.row_parts import Columns, KeyType, RowValue

if TYPE_CHECKING:
    from collections.abc import Callable

    from async_backfill.sources._rows.content import Unpack
    from async_backfill.sources._rows.rows import AnyPath

_LONGEST_ROW: Final = 0xFFFF_FFFF


class FileSource(IndexedSource[K, V]):
    """Answers with the rows of the file at ``path``, read from disk when asked, and scans it in its order.

    The file holds CSV with a header, or JSON lines; its content says which. Opening (``async with``, or
    `open` and `aclose`) reads it once and keeps 24 to 30 bytes a row in memory. A load seeks to its rows
    in the order of the file, a scan reads on from its cursor; both in worker threads, in memory that
    depends on the rows asked for and not on the file. A value is a dict of all columns but the key.

    A packed file (gzip; others with ``unpack``) has no places to seek to: it is unpacked once, when it
    is opened, into a temporary file in ``scratch`` that is gone with the source. That costs as much disk
    as the unpacked content has bytes (memory, where the folder is a tmpfs), and an open file.

    A file whose size, time of change or inode differs from when it was indexed has changed; what was
    read of it is not handed out. A write that leaves all three alone is not noticed.

    :param key: the column that identifies a row.
    :param key_type: ``str`` (not empty) or ``int``; no key of another type is found.
    :param value: the column that becomes the value.
    :param row: makes the value from the dict of all columns, in a worker thread; what it raises is the
        failure of that key alone. Not together with ``value``.
    :param duplicates: ``"refuse"`` a file with a key that is there twice, or keep its ``"first"`` or its
        ``"last"`` row.
    :param on_change: ``"refuse"`` to answer, or ``"reindex"``: read the file again, once for all who
        wait. A scan that was under way then starts again at the first row.
    :param unpack: opens the packed file for reading, such as `async_backfill.sources.zstd.unpack_zstd`.
    :param max_line: the most bytes that a row may have, line ends included.
    :param max_unpacked: the most bytes that a packed file may hold.
    :param scratch: the folder of the temporary file; ``None`` for the system's.
    :raises ConfigurationError: for a setting outside of that.
    """

    def __init__(  # noqa: PLR0913 - each is one setting of how the file is read
        self,
        path: AnyPath,
        *,
        key: str,
        key_type: type[Any] = str,
        value: str | None = None,
        row: Callable[[Columns], V] | None = None,
        duplicates: Duplicates = "refuse",
        on_change: OnChange = "refuse",
        unpack: Unpack | None = None,
        max_line: int = 1 << 20,
        max_unpacked: int = 1 << 32,
        scratch: AnyPath | None = None,
    ) -> None:
        one_of("duplicates", duplicates, ("refuse", "first", "last"))
        rules = RowRules(
            keys=KeyType(key_type),
            values=RowValue(key, value=value, row=row),
            duplicates=duplicates,
            unpack=unpack,
            max_line=whole("max_line", max_line, least=1),
            max_unpacked=whole("max_unpacked", max_unpacked, least=1),
            scratch=scratch,
        )
        if rules.max_line > _LONGEST_ROW:
            raise ConfigurationError("max_line", f"{rules.max_line} is more than {_LONGEST_ROW}")
        super().__init__(path, partial(IndexedRows[K, V], path, rules), on_change=on_change)
