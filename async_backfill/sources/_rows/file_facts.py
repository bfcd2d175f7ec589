"""What a job is told of an indexed file: its rows, and whether it is still the same."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypeVar

from async_backfill.contracts import SourceFacts
from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class FileFacts(SourceFacts):
    """The facts of a source over an indexed file."""

    async def _ask(self, question: Callable[[Any], T]) -> T:
        raise NotImplementedError

    async def count(self) -> tuple[int, str]:
        """Return the number of rows in the index.

        :raises LoadError: as `load_many`.
        """
        return await self._ask(len), "counted"

    async def schema(self) -> str:
        """Return a fingerprint of size, time of change and inode: cursors are good for no other file.

        :raises LoadError: as `load_many`.
        """
        identity = await self._ask(lambda indexed: indexed.identity)
        return sha256(repr(identity).encode()).hexdigest()

    async def lag(self) -> None:
        """Return ``None``: a file is no replica."""

    async def load(self, query: str, /) -> float:  # noqa: ARG002 - of the contract
        """Raise `ConfigurationError`: a file has no database to ask."""
        raise ConfigurationError("load_query", "a file has no database to ask: leave it out")
