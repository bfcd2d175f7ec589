"""Converters for what is typed after a verb: the number of a job, a sample, settings."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias, TypeVar

from cyclopts import Parameter

from async_backfill._commands.integers import integer
from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from cyclopts import Token

T = TypeVar("T")

JobNumber: TypeAlias = Annotated[int, Parameter(name="ID", converter=integer)]
"""The number of a job, as ``jobs ls`` shows it."""

Rows: TypeAlias = Annotated[int | None, Parameter(converter=integer, show_default=False)]

_SETTINGS: Final = ("rate", "batch", "lanes", "pages")
_WORDS: Final = MappingProxyType({"rate": "none", "batch": "auto", "pages": "none"})
_EXPECTED: Final = "rate=NUMBER, batch=NUMBER, lanes=NUMBER or pages=NUMBER"


def share_or_rows(_: object, tokens: Sequence[Token]) -> float:
    """Return a share, such as 0.02, or a number of rows, such as 500."""
    text = tokens[0].value.strip()
    if re.fullmatch(r"[0-9]{1,18}", text) and int(text) > 0:
        return int(text)
    if re.fullmatch(r"(0?\.[0-9]+|1\.0*)", text) and float(text) > 0.0:
        return float(text)
    raise ValueError(f'"{text[:60]}" is neither a share above 0.0 and up to 1.0, nor a number of rows')


def read_words(
    words: Sequence[str], names: Collection[str], value: Callable[[str, str], T | None], *, expected: str
) -> dict[str, T]:
    """Return what words such as ``rate=5000`` give the ``names``.

    :param value: returns what the text after a name means; ``None`` when it is as wrong as the name.
    :raises ConfigurationError: for a name that is none of them, or that stands twice.
    """
    given: dict[str, T] = {}
    for word in words:
        name, equals, text = word.partition("=")
        is_known = name in names and equals
        if is_known and name in given:
            raise ConfigurationError(name, "is given twice")
        said = value(name, text) if is_known else None
        if said is None:
            raise ConfigurationError(f'"{word[:60]}"', f"expected {expected}")
        given[name] = said
    return given


def settings_of(words: Sequence[str]) -> Mapping[str, Any]:
    """Return the settings in words such as ``rate=5000``.

    :raises ConfigurationError: for a name or a value that is not known.
    """
    given = read_words(words, _SETTINGS, _value, expected=_EXPECTED)
    if not given:
        raise ConfigurationError("nothing to set", f"say {_EXPECTED}")
    return given


def _value(name: str, text: str) -> float | str:
    if text == _WORDS.get(name):
        return text
    try:
        return float(text) if name == "rate" else int(text)
    except ValueError:
        also = f' or "{_WORDS[name]}"' if name in _WORDS else ""
        what = "a number" if name == "rate" else "a whole number"
        raise ConfigurationError(name, f'must be {what}{also}, not "{text[:60]}"') from None
