"""Look up the rows of a Parquet file by key; memory holds only the number of each row."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Final, Generic, cast

import pyarrow as pa
from pyarrow import parquet as pq

from async_backfill._common.left_reads import check_left
from async_backfill.contracts import K, Page, V
from async_backfill.errors import ScenarioError
from async_backfill.sources._row_page import row_page
from async_backfill.sources._rows.content import ChangedError, Identity
from async_backfill.sources._rows.cursors import cursor_at
from async_backfill.sources._rows.key_index import KeyIndex
from async_backfill.sources._rows.reading import refusal
from async_backfill.sources._rows.row_parts import Columns, KeyType, RowValue
from async_backfill.sources._rows.rows import check_header, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from async_backfill.contracts import RowPage
    from async_backfill.outcomes import Failed
    from async_backfill.sources._rows.rows import AnyPath

_ROWS_AT_ONCE: Final = 8192
_SNAP: Final = 8  # a cut is moved to the next row group by up to this part of a shard


@dataclass(frozen=True, slots=True)
class _Cursor:
    """The row where the next page starts, in the file with this ``identity``."""

    row: int
    identity: Identity


class IndexedGroups(Generic[K, V]):
    """An index of a Parquet file by key; its methods block, so they are called in worker threads."""

    def __init__(self, path: AnyPath, keys: KeyType | None, values: RowValue[V], most: int) -> None:
        self._path = path
        self._keys = keys
        self._values = values
        self._columns = None if values.takes_all else [*dict.fromkeys(values.wanted)]
        self._rows = KeyIndex()
        try:
            self.identity = Identity.of(path)
            with self._reading(None) as file:
                self._metadata = file.metadata
                check_header(path, 1, file.schema_arrow.names, values.wanted)
                self._firsts = self._first_rows(most)
                self._find_rows(file)
            self.identity.check(path)
        except ChangedError as changed:
            raise ScenarioError(f"{path}: changed while it was indexed: {changed}") from changed
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            raise refusal(path, error) from error

    def __len__(self) -> int:
        return len(self._rows)

    def check(self) -> None:
        """Check that the file is still the one that was indexed; raise `ChangedError` when it is not."""
        self.identity.check(self._path)

    def close(self) -> None:
        """Do nothing: the file is opened for each reading."""

    def load(self, keys: Sequence[K], /) -> dict[K, V | Failed]:
        """Return the values of those ``keys`` that the file has, read in the order of their rows."""
        asked: dict[int, list[K]] = {}
        for key in keys:
            digest = None if self._keys is None else self._keys.digest(key)
            for row in () if digest is None else self._rows.rows(digest):
                asked.setdefault(row, []).append(key)
        rows = self._read(sorted(asked))
        self.check()
        answers: dict[K, V | Failed] = {}
        for row, columns in rows:
            found = self._key_of(columns[self._values.key])
            for key in asked[row]:
                if key == found:
                    answers[key] = self._values.of(columns, self._place(row))
        return answers

    def page(self, cursor: object | None, limit: int, /) -> Page[K]:
        """Return up to ``limit`` keys in the order of their rows, from the row of ``cursor`` on."""
        first = cursor.row if isinstance(cursor, _Cursor) and cursor.identity == self.identity else 0
        keys: list[K] = []
        group = bisect_right(self._firsts, first) - 1
        if first < len(self):
            with self._reading(self._metadata) as file:
                skipped = first - self._firsts[group]
                groups = range(group, len(self._firsts) - 1)
                for batch in self._batches(file, groups, [self._values.key]):
                    part = batch.column(0)[skipped : skipped + limit - len(keys)]
                    skipped = max(0, skipped - batch.num_rows)
                    keys.extend(map(self._key_of, part.to_pylist()))
                    if len(keys) == limit:
                        break
        end = first + len(keys)
        return Page(tuple(keys), None if end >= len(self) else _Cursor(end, self.identity))

    def pages(self, begin: int | None, end: int | None, limit: int, /) -> Iterator[RowPage[K, V]]:
        """Yield the rows between two numbers of rows, in pages of up to ``limit``.

        The file stays open, because a row group can only be read from its start.
        """
        first = 0 if begin is None else begin
        end = len(self) if end is None else min(end, len(self))
        if first >= end:
            return
        group = bisect_right(self._firsts, first) - 1
        groups = range(group, bisect_left(self._firsts, end))
        at = self._firsts[group]
        answers: dict[K, V | Failed] = {}
        with self._reading(self._metadata) as file:
            for batch in self._batches(file, groups, self._columns, min(limit, _ROWS_AT_ONCE)):
                part = batch[max(0, first - at) : max(0, end - at)]
                for row, columns in enumerate(part.to_pylist(), start=max(first, at)):
                    key = self._key_of(columns[self._values.key])
                    answers[key] = self._values.of(columns, self._place(row))
                    if len(answers) == limit:
                        yield row_page(answers, cursor_at(row + 1, self.identity))
                        answers = {}
                at += batch.num_rows
                if at >= end:
                    break
        if answers:
            yield row_page(answers, cursor_at(end, self.identity))

    def cuts(self, shards: int, /) -> Sequence[int]:
        """Return the numbers of rows between ``shards`` ranges: where a row group begins, if one is near."""
        even = {len(self) * cut // shards for cut in range(1, shards)}
        near = len(self) / shards / _SNAP
        cuts = set()
        for row in even:
            after = bisect_left(self._firsts, row)
            start = min(self._firsts[max(0, after - 1) : after + 1], key=lambda first: abs(first - row))
            cuts.add(start if abs(start - row) <= near else row)
        return sorted(cuts - {0, len(self)})

    def _place(self, row: int) -> str:
        return f"row {row + 1} of {self._path}"

    def _key_of(self, said: object) -> K:
        return cast("K", said if self._keys is None else self._keys.of_value(said))

    def _read(self, rows: Sequence[int]) -> list[tuple[int, Columns]]:
        """Return the columns of each of ``rows``, which are sorted."""
        found: list[tuple[int, Columns]] = []
        with self._reading(self._metadata) as file:
            while len(found) < len(rows):
                group = bisect_right(self._firsts, rows[len(found)]) - 1
                begin, end = self._firsts[group], self._firsts[group + 1]
                for batch in self._batches(file, [group], self._columns):
                    here: list[int] = []
                    while len(found) + len(here) < len(rows):
                        row = rows[len(found) + len(here)]
                        if row >= begin + batch.num_rows:
                            break
                        here.append(row)
                    part = batch.take(pa.array([row - begin for row in here], pa.int64()))
                    found.extend(zip(here, part.to_pylist(), strict=True))
                    begin += batch.num_rows
                    if len(found) == len(rows) or rows[len(found)] >= end:
                        break
        return found

    def _find_rows(self, file: pq.ParquetFile) -> None:
        groups = range(len(self._firsts) - 1)
        for batch in self._batches(file, groups, [self._values.key]):
            for said in batch.column(0).to_pylist():
                if self._keys is None:
                    self._keys = KeyType.of_first(said)
                key = self._keys.of_value(said)
                digest = self._keys.digest(key)
                row = len(self._rows)
                if digest is None:
                    raise ScenarioError(
                        f"{self._path}: row {row + 1}: {shown(self._values.key)} is {shown(said)}, "
                        f"expected a key that is {self._keys.expected(said)}"
                    )
                self._refuse_repeated(key, digest, row)
                self._rows.add(digest, row, 1)

    def _refuse_repeated(self, key: object, digest: int, row: int) -> None:
        for earlier in self._rows.rows(digest):
            ((_, columns),) = self._read([earlier])
            if self._key_of(columns[self._values.key]) == key:
                first = f"first in row {earlier + 1}"
                raise ScenarioError(
                    f"{self._path}: row {row + 1}: the key {shown(key)} appears twice, {first}"
                )

    def _first_rows(self, most: int) -> list[int]:
        """Return the number of the first row of each group, and last the number of all rows."""
        groups = [self._metadata.row_group(group) for group in range(self._metadata.num_row_groups)]
        for number, group in enumerate(groups, start=1):
            if group.total_byte_size > most:
                size = f"{group.total_byte_size} bytes"
                raise ScenarioError(
                    f"{self._path}: row group {number} has {size}, more than max_group={most}"
                )
        return [0, *accumulate(group.num_rows for group in groups)]

    def _batches(
        self,
        file: pq.ParquetFile,
        groups: Sequence[int],
        columns: Sequence[str] | None,
        size: int = _ROWS_AT_ONCE,
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of ``groups``: as many as the file states, or it is damaged."""
        stated = sum(self._firsts[group + 1] - self._firsts[group] for group in groups)
        left = stated
        for batch in file.iter_batches(
            batch_size=size, row_groups=list(groups), columns=columns, use_threads=False
        ):
            check_left()
            left -= batch.num_rows
            if left < 0:
                break
            yield batch
        if left:
            count = f"{stated - left} rows where {stated} are stated"
            raise ScenarioError(f"{self._path}: not a readable Parquet file: {count}")

    @contextmanager
    def _reading(self, metadata: pq.FileMetaData | None) -> Iterator[pq.ParquetFile]:
        """Open the file; errors of pyarrow become a `ScenarioError`."""
        try:
            with pq.ParquetFile(
                self._path, metadata=metadata, pre_buffer=False, page_checksum_verification=True
            ) as file:
                yield file
        except pa.ArrowException as error:
            what = str(error).partition("\n")[0]
            raise ScenarioError(f"{self._path}: not a readable Parquet file: {what}") from error
        except OSError as error:
            if error.errno is None:  # pyarrow raises it for damaged content
                what = str(error).partition("\n")[0]
                raise ScenarioError(f"{self._path}: not a readable Parquet file: {what}") from error
            raise
