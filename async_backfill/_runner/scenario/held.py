"""Read a file or a database into memory once, for trials and virtual time, which cannot wait for it."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final

from async_backfill._runner.scenario.first_answer import SourceFailedError
from async_backfill._runner.scenario.live import open_source
from async_backfill._runner.scenario.model import FileSpec
from async_backfill._runner.wording import one_line
from async_backfill.errors import ScenarioError
from async_backfill.outcomes import Failed
from async_backfill.policies import LoadPolicy

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from async_backfill._runner.scenario.environment import Secrets
    from async_backfill._runner.scenario.live import Live
    from async_backfill._runner.scenario.model import LiveSpec

MOST_HELD: Final = 1_000_000
"""The largest number of keys that are read into memory."""

_PAGE: Final = 500


async def hold(
    spec: LiveSpec, folder: Path, secrets: Secrets, *, values: bool, most: int = MOST_HELD
) -> tuple[dict[Any, Any], str]:
    """Return the entries of the source of ``spec`` in its order, and a line that says that they were read.

    :param values: whether values are read too, or only the keys, each with ``None``.
    :param most: the largest allowed number of keys.
    :raises ScenarioError: when the source cannot be used, does not list its keys, or has too many.
    :raises SourceFailedError: when it cannot answer.
    """
    async with AsyncExitStack() as resources:
        live = await open_source(spec, folder, resources, load_timeout=LoadPolicy().timeout, secrets=secrets)
        try:
            entries = await _entries(live, values=values, most=most)
        except ScenarioError as error:
            raise ScenarioError(f"$.source: {error}") from error
        except Exception as error:
            what = one_line(str(error)) or type(error).__name__
            raise SourceFailedError(f"$.source: {what}; nothing was written") from error
    kind = "file" if isinstance(spec, FileSpec) else "table"
    read = "rows" if values else "keys"
    return entries, f"all {len(entries):,} {read} of the {kind} were read into memory first"


async def _entries(live: Live, *, values: bool, most: int) -> dict[Any, Any]:
    if live.scan is None:
        raise ScenarioError("lists no keys, so it cannot be read into memory: use a file or a table")
    entries: dict[Any, Any] = {}
    cursor: object | None = None
    while True:
        page = await live.scan.scan(cursor, _PAGE)
        if len(entries) + len(page.keys) > most:
            raise ScenarioError(f"has more than {most:,} keys, which must fit into memory")
        entries.update(await _rows(live, page.keys) if values else dict.fromkeys(page.keys))
        if page.cursor is None:
            return entries
        cursor = page.cursor


async def _rows(live: Live, keys: Sequence[Any]) -> dict[Any, Any]:
    found = await live.source.load_many(keys)
    for answer in found.values():
        if isinstance(answer, Failed):
            raise answer.error
    return {key: found[key] for key in keys if key in found}
