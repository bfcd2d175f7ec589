"""The default codec: MessagePack, and extensions of it for what MessagePack would turn into another type."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from async_backfill._common.bounded_hashing import fill
from async_backfill._envelopes.values.text_keys import LARGE, is_map, refuse_other_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import tzinfo

_TEXT: Final = 1  # a text that UTF-8 cannot encode: it has lone surrogates
_WHOLE: Final = 2  # a whole number beyond 64 bits
_TUPLE: Final = 3
_PAIRS: Final = 4  # a dict with other keys than texts: keys and values in turn
_SET: Final = 5
_FROZENSET: Final = 6
_DECIMAL: Final = 7
_DATE: Final = 8
_TIME: Final = 9
_DATETIME: Final = 10
_TIMEDELTA: Final = 11
_UUID: Final = 12

_NATIVE: Final = frozenset({type(None), bool, float, bytes})
_SCALARS: Final = _NATIVE | {int, str}
_ONLY_TEXT: Final = frozenset({str})
_KEPT: Final = (
    "None, bool, int, float, str, bytes, list, tuple, dict, set, frozenset, Decimal, date, time, datetime, "
    "timedelta and UUID"
)

_BYTES: Final = 16  # that a key may have taken, at least

_pack = msgspec.msgpack.encode


class PlainCodec:
    """The codec of values that need no schema; implements `ValueCodec`.

    It takes None, bool, int, float, str, bytes, list, tuple, dict, set, frozenset, Decimal, date, time,
    datetime, timedelta and UUID, each with what it holds, and returns the same types. A subclass of one of
    them, and anything else, is refused: it would come back as something else.

    :param trusts: whether what is decoded is signed, so that nobody has chosen the hashes of its keys.
    """

    name: Final = "plain"
    version: Final = 1

    # What is decoded may be anybody's: the time that it takes grows with its size, whatever its keys are.

    def __init__(self, *, trusts: bool = False) -> None:
        self._trusts = trusts
        self._unpack = msgspec.msgpack.Decoder(ext_hook=self._restore).decode
        self._unpack_map = msgspec.msgpack.Decoder(dict[str, Any], ext_hook=self._restore).decode

    def encode(self, value: object, /) -> bytes:
        """Return ``value`` packed.

        :raises TypeError: when it holds what would not come back as it was.
        """
        if _is_plain(value):
            try:
                return _pack(value)
            except (OverflowError, UnicodeEncodeError):  # a large number or a lone surrogate needs a tag
                pass
        return _pack(_tagged(value))

    def decode(self, payload: bytes, /) -> Any:
        """Return the value in ``payload``; raises some exception when it is damaged."""
        if self._trusts:
            return self._unpack(payload)
        if len(payload) > LARGE:
            refuse_other_keys(payload, inside_only=True)
        return self._unpack_map(payload) if is_map(payload[0]) else self._unpack(payload)

    def _restore(self, code: int, data: memoryview) -> object:
        if code not in _PARTS:
            return _WHOLES[code](bytes(data))
        if len(data) > LARGE and not self._trusts:
            refuse_other_keys(bytes(data))
        return _PARTS[code](self._unpack(data))


def _is_plain(value: Any) -> bool:
    """Return whether MessagePack has a type for each part of ``value``; the checks of cells run in C."""
    kind = type(value)
    if kind is dict:
        parts = value.values()
        if not _ONLY_TEXT.issuperset(map(type, value)):
            return False
    elif kind is list:
        parts = value
    else:
        return kind in _SCALARS
    return _SCALARS.issuperset(map(type, parts)) or all(map(_is_plain, parts))


def _tagged(value: Any) -> Any:
    """Return ``value`` with an extension in place of each part that MessagePack has no type for."""
    kind = type(value)
    if kind in _NATIVE:
        return value
    if kind in _SEQUENCES:
        return _extension(_SEQUENCES[kind], [_tagged(part) for part in value])
    if kind in _TAGS:
        return _TAGS[kind](value)
    raise TypeError(
        f"{_name(kind)} would come back as another type; "
        f"what comes back as it was is {_KEPT}: set value_type, or a codec"
    )


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")


def _text(value: str) -> object:
    if _is_encodable(value):
        return value
    return msgspec.msgpack.Ext(_TEXT, value.encode("utf-8", "surrogatepass"))


def _whole(value: int) -> object:
    if -(2**63) <= value < 2**64:
        return value
    return msgspec.msgpack.Ext(_WHOLE, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def _dict(value: dict[Any, Any]) -> object:
    if all(type(key) is str and _is_encodable(key) for key in value):
        return {key: _tagged(part) for key, part in value.items()}
    return _extension(_PAIRS, [_tagged(part) for pair in value.items() for part in pair])


def _extension(code: int, content: object) -> msgspec.msgpack.Ext:
    return msgspec.msgpack.Ext(code, _pack(content))


def _is_encodable(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _zone(zone: tzinfo | None) -> object:
    """Return what `_zone_of` makes ``zone`` of."""
    if zone is None:
        return None
    if zone is UTC:
        return 0
    if type(zone) is timezone:
        offset, *name = zone.__getinitargs__()  # type: ignore[attr-defined]
        return [offset.days, offset.seconds, offset.microseconds, *name]
    if type(zone) is ZoneInfo and zone.key is not None:
        return zone.key
    raise TypeError(
        f"a time zone of {_name(type(zone))} would not come back as it was; "
        "use datetime.timezone or zoneinfo.ZoneInfo"
    )


def _zone_of(packed: Any) -> tzinfo | None:
    if packed == 0:
        return UTC
    if isinstance(packed, list):
        return timezone(timedelta(*packed[:3]), *packed[3:])
    return None if packed is None else ZoneInfo(packed)


def _moment(code: int, value: datetime | time) -> msgspec.msgpack.Ext:
    naive = value.replace(tzinfo=None).isoformat()
    return _extension(code, [naive, value.fold, _zone(value.tzinfo)])


def _datetime(parts: list[Any]) -> datetime:
    text, fold, zone = parts
    return datetime.fromisoformat(text).replace(fold=fold, tzinfo=_zone_of(zone))


def _time(parts: list[Any]) -> time:
    text, fold, zone = parts
    return time.fromisoformat(text).replace(fold=fold, tzinfo=_zone_of(zone))


def _timedelta(value: timedelta) -> msgspec.msgpack.Ext:
    return _extension(_TIMEDELTA, [value.days, value.seconds, value.microseconds])


def _as_dict(parts: list[Any]) -> dict[Any, Any]:
    made: dict[Any, Any] = {}
    fill(made.update, list(zip(parts[::2], parts[1::2], strict=True)), _BYTES * len(parts))
    return made


def _as_set(parts: list[Any]) -> set[Any]:
    made: set[Any] = set()
    fill(made.update, parts, _BYTES * len(parts))
    return made


_SEQUENCES: Final[Mapping[type, int]] = MappingProxyType({tuple: _TUPLE, set: _SET, frozenset: _FROZENSET})
_TAGS: Final[Mapping[type, Callable[[Any], object]]] = MappingProxyType(
    {
        str: _text,
        int: _whole,
        list: lambda value: [_tagged(part) for part in value],
        dict: _dict,
        Decimal: lambda value: msgspec.msgpack.Ext(_DECIMAL, str(value).encode()),
        date: lambda value: msgspec.msgpack.Ext(_DATE, value.isoformat().encode()),
        time: lambda value: _moment(_TIME, value),
        datetime: lambda value: _moment(_DATETIME, value),
        timedelta: _timedelta,
        UUID: lambda value: msgspec.msgpack.Ext(_UUID, value.bytes),
    }
)
_PARTS: Final[Mapping[int, Callable[[Any], object]]] = MappingProxyType(
    {
        _TUPLE: tuple,
        _PAIRS: _as_dict,
        _SET: _as_set,
        _FROZENSET: lambda parts: frozenset(_as_set(parts)),
        _TIME: _time,
        _DATETIME: _datetime,
        _TIMEDELTA: lambda parts: timedelta(*parts),
    }
)
_WHOLES: Final[Mapping[int, Callable[[bytes], object]]] = MappingProxyType(
    {
        _TEXT: lambda data: data.decode("utf-8", "surrogatepass"),
        _WHOLE: lambda data: int.from_bytes(data, "big", signed=True),
        _DECIMAL: lambda data: Decimal(data.decode()),
        _DATE: lambda data: date.fromisoformat(data.decode()),
        _UUID: lambda data: UUID(bytes=data),
    }
)
