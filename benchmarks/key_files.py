"""Read the requests of a trace as the command line does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from async_backfill._runner.scenario.key_file import read_lookups
from async_backfill._runner.scenario.model import KeyFile

if TYPE_CHECKING:
    from async_backfill.sources._rows.rows import AnyPath


async def read_keys(path: AnyPath) -> list[str]:
    """Return the keys of a file with one key a line, packed or not, in order; raises as `read_lookups`."""
    return list((await read_lookups(Path(path), KeyFile(file=str(path), format="keys"))).keys)
