"""Say when a cache opens what the servers that it shares do not let it do."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from anyio import move_on_after

from async_backfill._common.log_lines import CacheLog
from async_backfill.contracts import AccessCheck

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_backfill._session.settings import Settings

_WITHIN: Final = 5.0
_LOGGER: Final = logging.getLogger("async_backfill.far")


def checking_parts(settings: Settings[Any, Any]) -> list[AccessCheck]:
    """Return those of the shared parts whose class inherits from `AccessCheck`."""
    far = settings.far
    shared: list[Any] = [settings.permits, settings.control, settings.journal]
    if far is not None:
        shared = [far.store, far.leases, far.invalidations, *shared]
    return [part for part in shared if AccessCheck in type(part).__mro__]


async def tell_missing_rights(parts: Sequence[AccessCheck], cache: str | None) -> None:
    """Log a line for whatever ``parts`` may not do; one that cannot be asked says so when it is used."""
    log = CacheLog(_LOGGER, cache)
    for part in parts:
        with move_on_after(_WITHIN):
            try:
                lines = await part.missing_rights()
            except Exception as error:  # noqa: BLE001 - of a server that is down, or of a user's class
                log.debug("the rights of %r are not known: %r", part, error)
                continue
            for line in lines:
                log.warning("%s", line)
