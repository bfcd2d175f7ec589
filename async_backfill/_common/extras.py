"""What to say when a library is missing that only some scenarios and options need."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from async_backfill.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def needed_by(what: str, extra: str, *packages: str) -> Iterator[None]:
    """Have an import of one of ``packages`` fail with how to install ``extra``.

    :param what: who needs them, as a message begins.
    :raises MissingExtraError: when one of them is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in packages:
            raise
        raise MissingExtraError(f"{what}: needs {package}: pip install 'async-backfill[{extra}]'") from error
