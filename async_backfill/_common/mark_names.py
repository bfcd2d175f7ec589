"""The names of the marks that jobs keep in far stores."""

from __future__ import annotations

import re
from typing import Final

from async_backfill._common.validation import text
from async_backfill.errors import ConfigurationError

_NAME: Final = re.compile(r"[A-Za-z0-9._:-]{1,100}")


def mark_name(name: str) -> str:
    """Return ``name``, or raise `ConfigurationError` when it cannot be that of a mark."""
    if not _NAME.fullmatch(text("name", name)):
        allowed = "must be 1 to 100 letters, digits, '.', '_', ':' or '-'"
        raise ConfigurationError("name", f"{allowed}, not {name!r}")
    return name
