"""Read the rows of a JSON array of objects."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from async_backfill.errors import ScenarioError
from async_backfill.sources._rows.rows import json_part

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from async_backfill.sources._rows.rows import AnyPath

_START: Final = re.compile(r"\s*\[\s*(?=[{\]])")
_SPACE: Final = re.compile(r"[ \t\r\n]*")


def is_json_array(text: str) -> bool:
    """Return whether ``text`` begins as a JSON array of objects, and not as a table does."""
    return _START.match(text) is not None


def array_rows(path: AnyPath, text: str, wanted: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the line and the columns of each object of the JSON array in ``text``.

    :param wanted: the columns that each object must have.
    :raises ScenarioError: for the first flaw; names the file and the line.
    """
    start = _START.match(text)
    place = start.end() if start is not None else 0
    line = 1 + text.count("\n", 0, place)
    is_at_end = text[place : place + 1] == "]"
    while not is_at_end:
        row, end = json_part(path, line, text, place, wanted)
        yield line, row
        after = _past_space(text, end)
        sign = text[after : after + 1]
        if sign not in {",", "]"}:
            at = line + text.count("\n", place, after)
            raise ScenarioError(f"{path}:{at}: not JSON: expected a comma or ] after the object")
        is_at_end = sign == "]"
        new = after if is_at_end else _past_space(text, after + 1)
        line += text.count("\n", place, new)
        place = new
    rest = _past_space(text, place + 1)
    if rest < len(text):
        at = line + text.count("\n", place, rest)
        raise ScenarioError(f"{path}:{at}: not JSON: something follows the array")


def _past_space(text: str, place: int) -> int:
    space = _SPACE.match(text, place)
    return place if space is None else space.end()
