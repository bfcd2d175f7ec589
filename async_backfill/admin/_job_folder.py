"""The job files that may be planned by a form: those of one folder, and no others."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from anyio.to_thread import run_sync

from async_backfill.admin._refusals import RefusedError
from async_backfill.errors import ConfigurationError

_KINDS: Final = (".toml", ".json")
_MOST: Final = 500
_LONGEST: Final = 200


class JobFolder:
    """A folder with job files; what is in folders below it does not count."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(os.path.abspath(path))  # noqa: PTH100 - a later chdir must not change it
        if not self._path.is_dir():
            raise ConfigurationError("job_folder", f"{self._path} is not a folder")

    async def names(self) -> list[str]:
        """Return the names of the job files."""
        return await run_sync(self._names)

    async def file(self, name: str) -> Path:
        """Return the job file of that name.

        :raises RefusedError: for a name that is not one of `names`.
        """
        if name not in await self.names():
            raise RefusedError(404, "There is no such job file in the folder of this page.")
        return self._path / name

    def _names(self) -> list[str]:
        try:
            found = [
                entry.name
                for entry in self._path.iterdir()
                if _is_name(entry.name) and entry.suffix in _KINDS and entry.is_file()
            ]
        except OSError as error:
            raise RefusedError(503, f"The folder of job files cannot be read: {error.strerror}.") from None
        return sorted(found)[:_MOST]


def _is_name(name: str) -> bool:
    return name.isprintable() and len(name) <= _LONGEST and not name.startswith(".")
