"""A file that was indexed, as a source: what is asked of it while it may change or be closed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, Literal, Protocol, Self, TypeAlias, TypeVar

from anyio import CancelScope, Lock, to_thread

from async_backfill.contracts import K, Page, V, V_co
from async_backfill.errors import ConfigurationError, LoadError, ScenarioError
from async_backfill.sources._rows.content import ChangedError
from async_backfill.sources._rows.tables import refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from async_backfill.outcomes import Failed
    from async_backfill.sources._rows.rows import AnyPath

T = TypeVar("T")

OnChange: TypeAlias = Literal["refuse", "reindex"]

_TRIES: Final = 3


class Indexed(Protocol[K, V_co]):
    """A file as it was indexed; its methods block, and are called in worker threads."""

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
        """Make sure that the file is still the one that was indexed; `ChangedError` when not."""
        ...

    def close(self) -> None:
        """Let go of what is held, once nobody reads it."""
        ...


class IndexedSource(Generic[K, V]):
    """Answers from what ``index`` makes of the file at ``path``, as long as that is the same file.

    :param index: reads the file, in a worker thread.
    :param on_change: ``"refuse"`` to answer from a file that changed, or ``"reindex"``.
    """

    def __init__(self, path: AnyPath, index: Callable[[], Indexed[K, V]], *, on_change: OnChange) -> None:
        self._path = path
        self._index = index
        self._reindexes = one_of("on_change", on_change, ("refuse", "reindex")) == "reindex"
        self._indexed: Indexed[K, V] | None = None
        self._indexing = Lock()

    def __len__(self) -> int:
        return len(self._opened())

    async def open(self) -> Self:
        """Index the file and return this source; `aclose` ends it.

        :raises ScenarioError: when it cannot be read as such a file; names the file and the line.
        """
        async with self._indexing:
            if self._indexed is None:
                self._indexed = await to_thread.run_sync(self._index)
        return self

    async def aclose(self) -> None:
        """Let go of the file; what was unpacked of it is removed. Loads in progress may fail."""
        indexed, self._indexed = self._indexed, None
        if indexed is not None:
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

        :raises LoadError: when the file has changed (or, if it is indexed again, cannot be read), or the
            source is not open.
        """
        return await self._ask(lambda indexed: indexed.load(keys))

    async def scan(self, cursor: object | None, limit: int, /) -> Page[K]:
        """Return up to ``limit`` keys in the order of their rows; the cursor is a place in the file.

        A cursor from before the file was indexed again starts at the first row.

        :raises LoadError: as `load_many`.
        """
        return await self._ask(lambda indexed: indexed.page(cursor, limit))

    async def _ask(self, question: Callable[[Indexed[K, V]], T]) -> T:
        for _ in range(_TRIES):
            indexed = self._opened()
            try:
                return await to_thread.run_sync(_answer, self._path, indexed, question)
            except ChangedError as error:
                changed = f"{self._path}: changed since it was indexed: {error}"
            if not self._reindexes:
                self._opened()
                raise LoadError(f"{changed}; open it again, or set on_change='reindex'")
            await self._reindex(indexed)
        raise LoadError(f"{self._path}: changed {_TRIES} times while it was read")

    async def _reindex(self, stale: Indexed[K, V]) -> None:
        async with self._indexing:
            if self._indexed is not stale:
                return
            try:
                fresh = await to_thread.run_sync(self._index)
            except ScenarioError as error:
                raise LoadError(f"{error} (indexed again after a change)") from error
            unused = fresh
            if self._indexed is stale:  # it may have been closed meanwhile
                self._indexed, unused = fresh, stale
            await _close(unused)

    def _opened(self) -> Indexed[K, V]:
        if self._indexed is None:
            raise LoadError(f"{self._path}: not open, expected 'async with' around its use")
        return self._indexed


def one_of(setting: str, value: str, allowed: Sequence[str]) -> str:
    """Return ``value`` when it is ``allowed``, or raise `ConfigurationError`."""
    if value not in allowed:
        raise ConfigurationError(setting, f"{value!r} is none of {', '.join(map(repr, allowed))}")
    return value


async def _close(indexed: Indexed[K, V]) -> None:
    with CancelScope(shield=True):
        await to_thread.run_sync(indexed.close)


def _answer(path: AnyPath, indexed: Indexed[K, V], question: Callable[[Indexed[K, V]], T]) -> T:
    """Return what the file answers, if it is the one that was indexed, before and after."""
    indexed.check()
    try:
        answer = question(indexed)
    except (ScenarioError, OSError) as error:
        indexed.check()
        refused = error if isinstance(error, ScenarioError) else refusal(path, error)
        raise LoadError(str(refused)) from error
    indexed.check()
    return answer
