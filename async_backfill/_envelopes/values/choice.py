"""Choose the codec of a store, and write down which one it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from async_backfill._common.validation import text, whole
from async_backfill._envelopes.values.plain import PlainCodec
from async_backfill._envelopes.values.typed import TypedCodec
from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from async_backfill.contracts import V, ValueCodec

_LONGEST_NAME: Final = 100  # bytes
_LONGEST_LABEL: Final = 127


def choose_codec(
    value_type: type[V] | Any, codec: ValueCodec[V] | None, *, is_signed: bool
) -> ValueCodec[Any]:
    """Return ``codec``, or that of ``value_type``, or the one that keeps the types it takes.

    :param is_signed: whether only what is signed is decoded.
    :raises ConfigurationError: when both are given, or msgspec does not support ``value_type``.
    """
    if codec is None:
        if value_type is Any:
            return PlainCodec(trusts=is_signed)
        return TypedCodec(value_type, trusts=is_signed)
    if value_type is not Any:
        raise ConfigurationError("codec", "decides on the type of a value; leave value_type out")
    return codec


def codec_label(codec: ValueCodec[Any]) -> bytes:
    """Return name and version of ``codec`` as they stand in an envelope, after a byte with their length.

    :raises ConfigurationError: when one of them is not allowed.
    """
    name = text("codec.name", codec.name)
    if not (name.isprintable() and len(name.encode()) <= _LONGEST_NAME):
        problem = f"must have 1 to {_LONGEST_NAME} printable characters, not {name!r}"
        raise ConfigurationError("codec.name", problem)
    label = f"{name}/{whole('codec.version', codec.version, least=0)}".encode()
    if len(label) > _LONGEST_LABEL:
        raise ConfigurationError("codec.version", f"must be a small number, not {codec.version}")
    return bytes([len(label)]) + label
