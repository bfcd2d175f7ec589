"""A source of your own: a folder of JSON documents, one a file."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

import anyio

from async_backfill.contracts import Page
from async_backfill.outcomes import ABSENT, Failed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_NAME: Final = re.compile(r"[a-z0-9_]+")


class FolderSource:
    """Answers with the documents in ``folder``; the key of ``folder/tea.json`` is ``tea``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def load_many(self, keys: Sequence[str], /) -> Mapping[str, Any]:
        """Return the documents of ``keys``; one that is damaged fails alone."""
        return await anyio.to_thread.run_sync(self._read, keys, abandon_on_cancel=True)

    async def scan(self, cursor: object | None, limit: int, /) -> Page[str]:
        """Return up to ``limit`` keys after ``cursor``, which is the last key of the page before."""
        return await anyio.to_thread.run_sync(self._list, cursor, limit, abandon_on_cancel=True)

    def _read(self, keys: Sequence[str]) -> Mapping[str, Any]:
        answers = {key: self._document(key) for key in keys if _NAME.fullmatch(key)}
        return {key: answer for key, answer in answers.items() if answer is not ABSENT}

    def _document(self, key: str) -> Any:
        try:
            return json.loads((self._folder / f"{key}.json").read_bytes())
        except FileNotFoundError:
            return ABSENT
        except (OSError, ValueError) as error:
            return Failed(error)

    def _list(self, cursor: object | None, limit: int) -> Page[str]:
        names = sorted(path.stem for path in self._folder.glob("*.json"))
        keys = [name for name in names if cursor is None or name > str(cursor)][:limit]
        return Page(keys, keys[-1] if len(keys) == limit else None)
