"""A clear error for a missing optional library: it says what to install."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from async_backfill.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def needed_by(what: str, extra: str, *packages: str) -> Iterator[None]:
    """Turn a failed import of one of ``packages`` into an error that says how to install ``extra``.

    :param what: what needs the packages, as the start of the message.
    :raises MissingExtraError: when one of the packages is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in packages:
            raise
        raise MissingExtraError(f"{what}: needs {package}: pip install 'async-backfill[{extra}]'") from error
