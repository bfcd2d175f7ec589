"""A source that reads an indexed file, and notices when the file changes or the source is closed."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, Generic, Literal, Protocol, Self, TypeAlias, TypeVar

from anyio import CancelScope, Lock, to_thread

from async_backfill._common.each_process import EachProcess
from async_backfill._common.left_reads import LeftReads
from async_backfill._common.validation import whole
from async_backfill.contracts import K, Page, RowPage, V, V_co
from async_backfill.errors import ConfigurationError, LoadError, ScenarioError
from async_backfill.sources._rows.content import ChangedError
from async_backfill.sources._rows.cursors import cursor_at, position_of
from async_backfill.sources._rows.file_facts import FileFacts
from async_backfill.sources._rows.reading import refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
    from types import TracebackType

    from async_backfill.outcomes import Failed
    from async_backfill.sources._rows.content import Identity
    from async_backfill.sources._rows.rows import AnyPath

T = TypeVar("T")

OnChange: TypeAlias = Literal["refuse", "reindex"]

_TRIES: Final = 3


class Ranged(Protocol[K, V]):
    """The ranges of an indexed file; its methods block, so they are called in worker threads.

    A position stands for the place before a row; the index says what it counts.
    """

    @property
    def identity(self) -> Identity:
        """The file that was indexed."""
        ...

    def pages(self, begin: int | None, end: int | None, limit: int, /) -> Iterator[RowPage[K, V]]:
        """Yield the rows between two positions, in pages of 1 to ``limit`` rows."""
        ...

    def cuts(self, shards: int, /) -> Sequence[int]:
        """Return the positions between ``shards`` ranges of about as many rows each."""
        ...


class Lookups(Protocol[K, V_co]):
    """An index of a file; its methods block, so they are called in worker threads."""

    def __len__(self) -> int:
        """Return the number of keys."""
        ...

    def load(self, keys: Sequence[K], /) -> Mapping[K, V_co | Failed]:
        """Return the values of those ``keys`` that the file has."""
        ...

    def page(self, cursor: object | None, limit: int, /) -> Page[K]:
        """Return up to ``limit`` keys in the order of their rows."""
        ...

    def check(self) -> None:
        """Check that the file is still the one that was indexed; raise `ChangedError` when it is not."""
        ...

    def close(self) -> None:
        """Free all resources, once no read is in progress."""
        ...


class Indexed(Lookups[K, V], Ranged[K, V], Protocol[K, V]):
    """What an indexed file can do."""


class IndexedSource(FileFacts, Generic[K, V]):
    """A source that reads the file at ``path`` through an index, and checks that the file has not changed.

    :param index: makes the index; runs in a worker thread.
    :param on_change: what to do with a file that has changed: ``"refuse"`` or ``"reindex"``.
    """

    def __init__(self, path: AnyPath, index: Callable[[], Indexed[K, V]], *, on_change: OnChange) -> None:
        self._path = path
        self._index = index
        self._reindexes = one_of("on_change", on_change, ("refuse", "reindex")) == "reindex"
        self._indexed: Indexed[K, V] | None = None
        self._indexing = EachProcess(Lock)  # a task of the parent may hold it at a fork
        self._reads = LeftReads(path)

    def __len__(self) -> int:
        return len(self._opened())

    async def open(self) -> Self:
        """Index the file and return this source; `aclose` closes it.

        :raises ScenarioError: when the file cannot be read or has the wrong format; names the file and the
            line or row.
        """
        async with self._indexing.get():
            if self._indexed is None:
                self._indexed = await self._reads.run(self._index, discard=_discard)
        return self

    async def aclose(self) -> None:
        """Close the source and remove its temporary file, if there is one. Loads in progress may fail."""
        indexed, self._indexed = self._indexed, None
        if indexed is not None:
            self._reads.close()
            await _close(indexed)

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def load_many(self, keys: Sequence[K], /) -> Mapping[K, V | Failed]:
        """Return the values of those ``keys`` that the file has.

        :raises LoadError: when the file has changed (with ``"reindex"``: when it then cannot be read), or the
            source is not open.
        """
        return await self._ask(lambda indexed: indexed.load(keys))

    async def scan(self, cursor: object | None, limit: int, /) -> Page[K]:
        """Return up to ``limit`` keys in the order of their rows; the cursor is a position in the file.

        A cursor that is older than the latest index starts at the first row again.

        :raises LoadError: as `load_many`.
        """
        return await self._ask(lambda indexed: indexed.page(cursor, limit))

    async def rows(
        self, *, page: int = 5000, after: object | None = None, until: object | None = None
    ) -> AsyncIterator[RowPage[K, V]]:
        """Yield all rows in the order of the file, in pages of up to ``page``, as `Rows` promises.

        All come from one state of the file: when it changes meanwhile, that is an error also with
        ``"reindex"``. A row whose value cannot be made is in the ``failed`` of its page.

        :param page: the number of rows in a page, 1 or more; fewer where they are long.
        :param after: a cursor of a page, or a cut, behind which to start; ``None`` starts at the first row.
        :param until: the one to end at; ``None`` ends at the last row.
        :raises LoadError: when the file has changed, also since a cursor was made, cannot be read, or the
            source is not open.
        """
        size = whole("page", page, least=1)
        indexed = await self._ask(lambda indexed: indexed)
        begin = position_of("after", after, self._path, indexed.identity)
        end = position_of("until", until, self._path, indexed.identity)
        pages = indexed.pages(begin, end, size)
        while True:
            self._opened()
            try:
                found = await self._reads.run(
                    partial(_answer, self._path, indexed, lambda _: next(pages, None))
                )
            except ChangedError as error:
                what = f"changed while its rows were read: {error}; read it from the start"
                raise LoadError(f"{self._path}: {what}") from error
            if found is None:
                return
            yield found

    async def cuts(self, shards: int, /) -> Sequence[object]:
        """Return the cursors between ``shards`` ranges of about as many rows each, for `rows`.

        :raises LoadError: as `load_many`.
        """
        number = whole("shards", shards, least=1)
        return await self._ask(
            lambda indexed: [cursor_at(position, indexed.identity) for position in indexed.cuts(number)]
        )

    async def _ask(self, question: Callable[[Indexed[K, V]], T]) -> T:
        for _ in range(_TRIES):
            indexed = self._opened()
            try:
                return await self._reads.run(partial(_answer, self._path, indexed, question))
            except ChangedError as error:
                changed = f"{self._path}: changed since it was indexed: {error}"
            if not self._reindexes:
                self._opened()
                raise LoadError(f"{changed}; open the source again, or set on_change='reindex'")
            await self._reindex(indexed)
        raise LoadError(f"{self._path}: changed {_TRIES} times while it was read")

    async def _reindex(self, stale: Indexed[K, V]) -> None:
        async with self._indexing.get():
            if self._indexed is not stale:
                return
            try:
                fresh = await self._reads.run(self._index, discard=_discard)
            except ScenarioError as error:
                raise LoadError(f"{error} (indexed again after a change)") from error
            unused = fresh
            if self._indexed is stale:  # it may have been closed meanwhile
                self._indexed, unused = fresh, stale
            await _close(unused)

    def _opened(self) -> Indexed[K, V]:
        if self._indexed is None:
            raise LoadError(f"{self._path}: the source is not open: use it inside 'async with'")
        return self._indexed


def one_of(setting: str, value: str, allowed: Sequence[str]) -> str:
    """Return ``value`` when it is one of ``allowed``, or raise `ConfigurationError`."""
    if value not in allowed:
        raise ConfigurationError(setting, f"must be one of {', '.join(map(repr, allowed))}, not {value!r}")
    return value


def _discard(indexed: Indexed[K, V]) -> None:
    indexed.close()


async def _close(indexed: Indexed[K, V]) -> None:
    with CancelScope(shield=True):
        await to_thread.run_sync(indexed.close)


def _answer(path: AnyPath, indexed: Indexed[K, V], question: Callable[[Indexed[K, V]], T]) -> T:
    """Return the result of ``question``; check before and after that the file has not changed."""
    indexed.check()
    try:
        answer = question(indexed)
    except (ScenarioError, OSError) as error:
        indexed.check()
        refused = error if isinstance(error, ScenarioError) else refusal(path, error)
        raise LoadError(str(refused)) from error
    indexed.check()
    return answer
