"""Look up rows of a file on disk by key; memory holds only the position of each row.

Everything here blocks, so it is called in worker threads.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Generic, cast

from async_backfill._common.left_reads import check_left
from async_backfill.contracts import K, Page, V
from async_backfill.errors import ScenarioError
from async_backfill.sources._row_page import row_page
from async_backfill.sources._rows.content import ChangedError, Identity, open_content, read_spans
from async_backfill.sources._rows.cursors import cursor_at
from async_backfill.sources._rows.key_index import KeyIndex
from async_backfill.sources._rows.reading import refusal
from async_backfill.sources._rows.row_parts import KeyType
from async_backfill.sources._rows.row_reader import row_reader
from async_backfill.sources._rows.rows import line_ends, repeated_key, shown

if TYPE_CHECKING:
    from collections.abc import Generator, Hashable, Iterator, Sequence

    from async_backfill.contracts import RowPage
    from async_backfill.outcomes import Failed
    from async_backfill.sources._rows.content import Content, Unpack
    from async_backfill.sources._rows.row_parts import RowValue
    from async_backfill.sources._rows.row_reader import Row, RowReader
    from async_backfill.sources._rows.rows import AnyPath
    from async_backfill.sources._rows.tables import Duplicates

_ROWS_BETWEEN_CHECKS: Final = 10_000
_LARGEST_PAGE: Final = 1 << 24  # bytes of the file
_SAMPLES: Final = 100  # rows looked at for each shard


@dataclass(frozen=True, slots=True)
class RowRules(Generic[V]):
    """The settings of a `FileSource`, checked; its docstring describes each of them."""

    keys: KeyType | None
    values: RowValue[V]
    duplicates: Duplicates
    columns: Sequence[str] | None
    unpack: Unpack | None
    max_line: int
    max_unpacked: int
    scratch: AnyPath | None


@dataclass(frozen=True, slots=True)
class _Cursor:
    """The byte where the next page starts, in the file with this ``identity``."""

    position: int
    identity: Identity


class IndexedRows(Generic[K, V]):
    """An index of the rows of the file at ``path``; making one reads the whole file.

    :raises ScenarioError: when the file cannot be read, or is not CSV or JSON lines with the expected
        columns; names the file and the line.
    """

    def __init__(self, path: AnyPath, rules: RowRules[V]) -> None:
        self._path = path
        self._rules = rules
        self._keys = rules.keys
        self._rows = KeyIndex()
        try:
            self.identity = Identity.of(path)
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            raise refusal(path, error) from error
        self._content: Content = open_content(
            path, unpack=rules.unpack, most=rules.max_unpacked, scratch=rules.scratch
        )
        try:
            with self._content.reading() as file:
                self._reader: RowReader = row_reader(
                    path, file, rules.values.wanted, rules.max_line, rules.columns
                )
                self._end = self._find_rows(file)
            self.identity.check(path)
        except ChangedError as changed:
            self.close()
            raise ScenarioError(f"{path}: changed while it was indexed: {changed}") from changed
        except OSError as error:
            self.close()
            raise refusal(path, error) from error
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self._rows)

    def check(self) -> None:
        """Check that the file is still the one that was indexed; raise `ChangedError` when it is not."""
        self.identity.check(self._path)

    def close(self) -> None:
        """Remove the unpacked copy, if there is one, once no read is in progress."""
        self._content.close()

    def load(self, keys: Sequence[K], /) -> dict[K, V | Failed]:
        """Return the values of those ``keys`` that the file has, read in the order of their rows."""
        # Two keys may share a hash, so each row is checked against the key: see decision 36 in notes.md.
        asked: dict[int, list[K]] = {}
        for key in keys:
            digest = self._digest(key)
            for row in () if digest is None else self._rows.rows(digest):
                asked.setdefault(row, []).append(key)
        places = sorted((*self._rows.span(row), row) for row in asked)
        with self._content.reading() as file:
            contents = list(read_spans(file, [(start, length) for start, length, _ in places]))
        self.check()
        answers: dict[K, V | Failed] = {}
        for (start, _, row), content in zip(places, contents, strict=True):
            try:
                columns = self._reader.columns(content)
            except ScenarioError as error:
                what = "the row that was indexed is no longer there"
                raise ScenarioError(f"{self._path}: byte {start}: {what}") from error
            found = self._key_of(columns[self._rules.values.key])
            for key in asked[row]:
                if key == found:
                    answers[key] = self._rules.values.of(columns, self._place(start))
        return answers

    def page(self, cursor: object | None, limit: int, /) -> Page[K]:
        """Return up to ``limit`` keys in the order of their rows, from the byte of ``cursor`` on."""
        position = self._reader.first
        if isinstance(cursor, _Cursor) and cursor.identity == self.identity:
            position = cursor.position
        keys: list[K] = []
        with closing(self._rows_from(position)) as rows:
            for row, key in rows:
                position = row.end
                if key is not None:
                    keys.append(key)
                if len(keys) >= limit or position >= self._end:
                    break
        at_end = position >= self._end
        return Page(tuple(keys), None if at_end else _Cursor(position, self.identity))

    def pages(self, begin: int | None, end: int | None, limit: int, /) -> Iterator[RowPage[K, V]]:
        """Yield the rows between two bytes, in pages of up to ``limit``; the file is closed between them."""
        position = self._reader.first if begin is None else begin
        end = self._end if end is None else min(end, self._end)
        while position < end:
            answers, position = self._answers(position, end, limit)
            if answers:
                yield row_page(answers, cursor_at(position, self.identity))

    def cuts(self, shards: int, /) -> Sequence[int]:
        """Return the bytes between ``shards`` ranges of about as many rows each."""
        # A sample, since a row that was moved ("last") is no longer in the order of the file.
        step = max(1, len(self) // (_SAMPLES * shards))
        starts = sorted(self._rows.span(row)[0] for row in range(0, len(self), step))
        cuts = {starts[len(starts) * cut // shards] for cut in range(1, shards)} if starts else set()
        return sorted(cuts - set(starts[:1]))

    def _answers(self, begin: int, end: int, limit: int) -> tuple[dict[K, V | Failed], int]:
        """Return the rows from ``begin`` on, to ``end`` or as many as a page has; and where these end."""
        answers: dict[K, V | Failed] = {}
        position = begin
        with closing(self._rows_from(begin)) as rows:
            for row, key in rows:
                if row.start >= end:  # behind blank lines
                    return answers, end
                position = row.end
                if key is not None:
                    columns = self._reader.named(row.cells)
                    answers[key] = self._rules.values.of(columns, self._place(row.start))
                is_full = len(answers) >= limit or (answers and position - begin >= _LARGEST_PAGE)
                if is_full or position >= end:
                    break
        return answers, position

    def _rows_from(self, position: int) -> Generator[tuple[Row, K | None]]:
        """Yield the rows from a byte on with their keys; ``None`` for a row that another one stands for."""
        try:
            with self._content.reading() as file:
                for count, row in enumerate(self._reader.rows(file, position)):
                    if count % _ROWS_BETWEEN_CHECKS == 0:
                        check_left()
                    position = row.end
                    key = self._key_of(row.key)
                    yield row, cast("K", key) if self._stands_for(key, row.start) else None
        except ScenarioError as error:
            what = "the rows that were indexed are no longer there"
            raise ScenarioError(f"{self._path}: byte {position}: {what}") from error

    def _place(self, start: int) -> str:
        return f"the row at byte {start} of {self._path}"

    def _stands_for(self, key: object, start: int) -> bool:
        """Return whether the row at ``start`` is the indexed one: of the rows with one key only one is."""
        digest = self._digest(key)
        return digest is not None and any(self._rows.span(row)[0] == start for row in self._rows.rows(digest))

    def _find_rows(self, file: BinaryIO) -> int:
        """Index all rows, and return the byte where the last indexed one ends."""
        rules, reader = self._rules, self._reader
        end = reader.first
        for count, row in enumerate(reader.rows(file, reader.first, reader.first_line)):
            if count % _ROWS_BETWEEN_CHECKS == 0:
                check_left()
            if self._keys is None:
                self._keys = KeyType.of_first(row.key)
            key = self._key_of(row.key)
            digest = self._digest(key)
            if digest is None:
                raise ScenarioError(
                    f"{self._path}:{row.line}: {shown(rules.values.key)} is {shown(row.key)}, "
                    f"expected a key that is {self._keys.expected(row.key if reader.typed else None)}"
                )
            earlier = self._row_of(key, digest, file)
            if earlier is None:
                self._rows.add(digest, row.start, row.end - row.start)
            elif rules.duplicates == "last":
                self._rows.move(earlier, row.start, row.end - row.start)
            elif rules.duplicates == "first":
                continue
            else:
                first = reader.first_line + line_ends(file, reader.first, self._rows.span(earlier)[0])
                raise repeated_key(self._path, row.line, key, first)
            end = row.end
        return end

    def _row_of(self, key: object, digest: int, file: BinaryIO) -> int | None:
        """Return the row that has ``key`` already; reads those with its hash."""
        for row in self._rows.rows(digest):
            position = file.tell()
            (content,) = read_spans(file, [self._rows.span(row)])
            file.seek(position)
            if self._key_of(self._reader.columns(content)[self._rules.values.key]) == key:
                return row
        return None

    def _digest(self, key: object) -> int | None:
        return None if self._keys is None else self._keys.digest(key)

    def _key_of(self, said: Any) -> Hashable | None:
        if self._keys is None:  # there are no rows
            return None
        return self._keys.of_value(said) if self._reader.typed else self._keys.of_text(said)
