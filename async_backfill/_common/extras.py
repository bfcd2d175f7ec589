"""Names the extra to install when a library of that extra is missing."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from async_backfill.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def needed_by(what: str, extra: str, *packages: str) -> Iterator[None]:
    """Say how to install ``extra`` when an import inside the block finds one of ``packages`` missing.

    :param what: what needs the package; the message begins with it.
    :raises MissingExtraError: when one of them is not installed; other failed imports stay as they are.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in packages:
            raise
        message = f"{what}: needs {package}: pip install 'async-backfill[{extra}]'"
        raise MissingExtraError(message, name=package) from error
