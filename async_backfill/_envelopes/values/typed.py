"""The codec of values of one type: MessagePack, checked against that type when it is written and read."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Final

import msgspec

from async_backfill._envelopes.values.same import is_same
from async_backfill._envelopes.values.text_keys import LARGE, has_part, refuse_other_keys
from async_backfill.errors import ConfigurationError

_LONGEST_NAME: Final = 100
_MOST: Final = 16_000  # bytes: 1,000 keys of one hash take 20 ms
_SURE: Final = frozenset({bool, bytes, float, int, str})


class TypedCodec:
    """The codec of values of ``value_type``, any type that msgspec supports; implements `ValueCodec`.

    Its name has the type in it: what one type wrote is not read as another. A value that would come back as
    something else is refused, so each is decoded once before it is kept.

    :param trusts: whether what is decoded is signed, so that nobody has chosen the hashes of its keys. If
        not, values of more than 16,000 bytes are refused whose type has dicts or sets with keys that are
        no texts, and no dates.
    :raises ConfigurationError: when msgspec does not support ``value_type``.
    """

    version: Final = 1

    def __init__(self, value_type: Any, *, trusts: bool = False) -> None:
        try:
            self._unpack = msgspec.msgpack.Decoder(value_type).decode
        except TypeError as error:
            raise ConfigurationError("value_type", str(error)) from None
        self._pack = msgspec.msgpack.Encoder().encode
        self._sure = next((sure for sure in _SURE if sure is value_type), None)
        self._type = type_text(value_type)
        self._has_other_keys = not trusts and has_part(value_type, of_keys=True)
        self._has_any = not trusts and has_part(value_type, of_keys=False)
        self.name = shortened(f"typed {self._type}")

    def encode(self, value: object, /) -> bytes:
        """Return ``value`` packed.

        :raises TypeError: when it would come back as something else.
        """
        payload = self._pack(value)
        if type(value) is self._sure:
            return payload
        try:
            comes_back: object = self.decode(payload)
        except msgspec.ValidationError as error:
            raise TypeError(f"it is no value of value_type {self._type}: {error}") from None
        except ValueError as error:
            raise TypeError(f"{error}: give the store a signing_key, or use texts as keys") from None
        if not is_same(value, comes_back):
            raise TypeError(f"it would come back as something else with value_type {self._type}")
        return payload

    def decode(self, payload: bytes, /) -> Any:
        """Return the value in ``payload``; raises some exception when it is damaged or of another type."""
        if len(payload) > LARGE:
            if self._has_other_keys:
                if len(payload) > _MOST:
                    raise ValueError(f"more than {_MOST} bytes with keys that are no texts")
            elif self._has_any:
                refuse_other_keys(payload)
        return self._unpack(payload)


def type_text(value_type: Any) -> str:
    """Return the name of a type, the same in all processes."""
    if isinstance(value_type, type) and not hasattr(value_type, "__origin__"):
        return f"{value_type.__module__}.{value_type.__qualname__}".removeprefix("builtins.")
    return repr(value_type)


def shortened(name: str) -> str:
    """Return ``name``, or its digest if it is long."""
    if len(name.encode("utf-8", "replace")) <= _LONGEST_NAME and name.isprintable():
        return name
    return f"typed {blake2b(name.encode('utf-8', 'replace'), digest_size=16).hexdigest()}"
