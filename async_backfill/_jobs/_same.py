"""Whether a copy is its row."""

from __future__ import annotations

import msgspec


def are_same(row: object, copy: object) -> bool:
    """Return whether ``row`` and ``copy`` are of one type and equal, or have the same bytes when encoded.

    The latter for values that are not equal to themselves, such as NaN, and for those whose comparison says
    nothing, such as an array's.
    """
    if type(row) is not type(copy):
        return False
    try:
        if row == copy:
            return True
    except Exception:  # noqa: BLE001, S110 - a class of the user's: its bytes must tell
        pass
    try:
        return _encoded(row) == _encoded(copy)
    except Exception:  # noqa: BLE001 - as above
        return False


def _encoded(value: object) -> bytes:
    return msgspec.msgpack.encode(value, enc_hook=_parts)


def _parts(value: object) -> object:
    """Return the bytes of an array, or the fields of a value whose class msgspec does not know.

    :raises TypeError: when it does not show that.
    """
    try:
        return bytes(memoryview(value))  # type: ignore[arg-type] # else it raises
    except TypeError:
        return vars(value)
