"""Keys that people type, and keys in JSON."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final

from async_backfill._common.written_keys import DESCRIBED, KEY_TYPES, key_reader
from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

JSON: Final = "json"
TYPES: Final[Sequence[str]] = (*KEY_TYPES, JSON)
"""The types of keys, by the names that scenarios have for them; ``json`` is a JSON value, a list a tuple."""

_LONGEST: Final = 4_000
_DEEPEST: Final = 8


def typed_key(text: str, kind: str) -> Hashable:
    """Return the key of type ``kind`` that ``text`` means; of type ``str`` it is the text itself.

    :raises ConfigurationError: when it means none.
    """
    if not text:
        raise ConfigurationError("key", "is empty: fill it in")
    if len(text) > _LONGEST:
        raise ConfigurationError("key", f"has more than {_LONGEST:,} characters")
    if kind == JSON:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            raise ConfigurationError("key", f"{text!r:.60} is not JSON") from None
        return key_of_json(value)
    for name in KEY_TYPES:
        if name == kind:
            key = key_reader(name)(text)
            if key is None:
                raise ConfigurationError("key", f"{text!r:.60} is not {DESCRIBED[name]}")
            return key
    raise ConfigurationError("key_type", f"{kind!r:.60} is none of {', '.join(TYPES)}")


def key_of_json(value: Any, *, depth: int = _DEEPEST) -> Hashable:
    """Return the key that a JSON value means: a list is a tuple.

    :raises ConfigurationError: when it means none.
    """
    if isinstance(value, list) and depth:
        return tuple(key_of_json(part, depth=depth - 1) for part in value)
    is_number = isinstance(value, float) and math.isfinite(value)
    if is_number or isinstance(value, (str, int)):
        return value  # type: ignore[no-any-return] # one of these
    raise ConfigurationError("key", "must be a text, a number, true, false, or a list of these")
