"""Converters for options that are whole numbers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cyclopts import Token


def integer(_: object, tokens: Sequence[Token]) -> int:
    """Return the whole number of an option; cyclopts itself would round 3.7."""
    text = tokens[0].value.strip()
    if re.fullmatch(r"[+-]?[0-9]{1,18}", text) is None:
        raise ValueError(f'"{text[:60]}" is not a whole number')
    return int(text)


def integer_or_none(_: object, tokens: Sequence[Token]) -> int | Literal["none"]:
    """Return the whole number of an option, or ``"none"``."""
    return "none" if tokens[0].value == "none" else integer(_, tokens)
