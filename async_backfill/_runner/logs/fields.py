"""Logs in the W3C format, whose lines ``#Fields:`` name the columns: IIS, CloudFront."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from async_backfill._runner.logs.formats import lines_of
from async_backfill.errors import ScenarioError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_backfill._runner.logs.filters import Filters

HEADER: Final = "#Fields:"
PATH: Final = "cs-uri-stem"


class Fields:
    """A log in the W3C format; the key is the field ``column``. The fields may change in the midst of a file.

    :param name: the name of the file, for error messages.
    """

    def __init__(self, name: str, column: str | None = None, filters: Filters | None = None) -> None:
        self._name = name
        self._column = column or PATH
        self._filters = filters
        self._names: list[str] = []
        self.description = f"W3C log, key: the field {self._column}"
        self.expected = f"a line with as many fields as {HEADER} names"

    def keys(self, text: str) -> tuple[Sequence[str], int]:
        """Return the field of each request.

        :raises ScenarioError: when the fields do not have the column.
        """
        keys: list[str] = []
        count = 0
        for line in lines_of(text):
            if line.startswith("#"):
                if line.startswith(HEADER):
                    self._begin(line.removeprefix(HEADER).split())
                continue
            count += 1
            cells = line.split("\t") if "\t" in line else line.split(" ")
            if len(cells) == len(self._names) and self._allows(cells):
                key = cells[self._place]
                if key and key != "-":
                    keys.append(key)
        return keys, count

    def rest(self) -> tuple[Sequence[str], int]:
        """Return nothing."""
        return (), 0

    def _begin(self, names: list[str]) -> None:
        if self._column not in names:
            raise ScenarioError(
                f"{self._name}: has no field {self._column}: say --column with one of {', '.join(names)}"
            )
        self._names = names
        self._place = names.index(self._column)

    def _allows(self, cells: Sequence[str]) -> bool:
        if self._filters is None:
            return True
        told = dict(zip(self._names, cells, strict=True))
        return self._filters.allows(told.get("cs-method", ""), told.get("sc-status", ""))
