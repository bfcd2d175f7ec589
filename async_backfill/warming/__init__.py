"""Warming: copy a source into the far tier (L2) before it is needed, also while its rows change.

`copy_rows` copies pages of rows. Under its guard a page never undoes what is later than its read. A
`CopyProgress` counts what became of each row, and a `CopyError` has that of a copy that stopped.
"""

from async_backfill.warming._copying import copy_rows
from async_backfill.warming._progress import CopyError, CopyProgress

__all__ = ["CopyError", "CopyProgress", "copy_rows"]
