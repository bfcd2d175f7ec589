"""Make a page of rows of answers, some of which may have failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_backfill.contracts import K, RowPage, V
from async_backfill.outcomes import Failed

if TYPE_CHECKING:
    from collections.abc import Mapping


def row_page(answers: Mapping[K, V | Failed], cursor: object) -> RowPage[K, V]:
    """Return a page of ``answers``, which ends at ``cursor``."""
    failed = {key: value for key, value in answers.items() if isinstance(value, Failed)}
    rows = {key: value for key, value in answers.items() if not isinstance(value, Failed)}
    return RowPage(rows, cursor=cursor, failed=failed)
