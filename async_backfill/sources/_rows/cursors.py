"""Cursors of a file: a position, and the size and the time of change of the file that it is meant for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_backfill.errors import ConfigurationError, LoadError

if TYPE_CHECKING:
    from async_backfill.sources._rows.content import Identity
    from async_backfill.sources._rows.rows import AnyPath


def cursor_at(position: int, identity: Identity) -> tuple[int, int, int]:
    """Return a cursor at ``position`` of a file, for `async_backfill.contracts.Rows`."""
    # Without device and inode, which another host has others of for a file that both read.
    return position, identity.size, identity.modified


def position_of(setting: str, cursor: object, path: AnyPath, identity: Identity) -> int | None:
    """Return the position of ``cursor``; ``None`` for ``None``.

    :raises ConfigurationError: when it is no cursor of a file; names ``setting``.
    :raises LoadError: when it was made for another state of the file.
    """
    if cursor is None:
        return None
    parts: tuple[object, ...] = tuple(cursor) if isinstance(cursor, tuple | list) else ()
    match parts:
        case (int() as position, size, modified):
            if (size, modified) == (identity.size, identity.modified):
                return position
            was = f"{setting}={cursor!r} was made before the file changed"
            raise LoadError(f"{path}: {was}: read it from the start, between new cuts")
        case _:
            raise ConfigurationError(
                setting, f"must be a cursor of a page or a cut of this source, not {cursor!r:.100}"
            )
