"""Names in Redis: a namespace, and any key that msgspec can encode, told apart by its type as well.

A key is packed with MessagePack, whose forms of ``1``, ``True``, ``1.0``, ``"1"`` and ``b"1"`` differ;
of a text with plain letters all but the first byte can be read with ``redis-cli``.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, Generic, cast

import msgspec

from async_backfill._common.validation import text
from async_backfill.contracts import K
from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST: Final = 200
"""Bytes of a packed key that stand in a Redis key as they are; of a longer one its digest does."""

_NAMESPACE: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_DIGEST: Final = 32  # bytes; two keys of one digest would be one entry, so none may ever be found
_TEXT: Final = 1  # a text that UTF-8 does not know: it has lone surrogates
_WHOLE: Final = 2  # a whole number beyond 64 bits


class Keyspace(Generic[K]):
    """The names of one cache: ``namespace:...`` for the entries, ``namespace!...`` for all else.

    :param namespace: 1 to 64 letters, digits, ``.``, ``_`` or ``-``; caches that share entries share it.
    :param key_type: what `unpack` makes of a key, any type that msgspec knows; with ``Any``
        what is no plain type or tuple of them does not come back as it was.
    :raises ConfigurationError: for any other namespace, or a type that msgspec does not know.
    """

    def __init__(self, namespace: str, key_type: type[K] | Any = Any) -> None:
        if not _NAMESPACE.fullmatch(text("namespace", namespace)):
            raise ConfigurationError(
                "namespace", f"{namespace!r} is not 1 to 64 letters, digits, '.', '_' or '-'"
            )
        self.namespace = namespace
        self._prefix = f"{namespace}:k".encode()
        self._long_prefix = f"{namespace}:h".encode()
        self._key_type = key_type
        # Sets and mappings in a key come out in one order in all processes.
        self._encode = msgspec.msgpack.Encoder(order="deterministic").encode
        try:
            self._decode = msgspec.msgpack.Decoder(key_type, ext_hook=_unwrap).decode
        except TypeError as error:
            raise ConfigurationError("key_type", str(error)) from None
        self._decode_any = msgspec.msgpack.Decoder(ext_hook=_unwrap).decode

    @property
    def pattern(self) -> bytes:
        """What ``SCAN ... MATCH`` finds all entries by, and nothing else."""
        return f"{self.namespace}:*".encode()

    def name(self, purpose: str) -> bytes:
        """Return the Redis key, or channel, for something that is no entry, such as ``"permits"``."""
        return f"{self.namespace}!{purpose}".encode()

    def redis_key(self, key: K) -> bytes:
        """Return the Redis key of the entry of ``key``.

        :raises ConfigurationError: for a key that msgspec cannot encode.
        """
        packed = self.pack(key)
        if len(packed) > LONGEST:
            return self._long_prefix + blake2b(packed, digest_size=_DIGEST).digest()
        return self._prefix + packed

    def redis_keys(self, keys: Iterable[K]) -> list[bytes]:
        """Return what `redis_key` returns, for many."""
        encode, prefix, longest = self._encode, self._prefix, LONGEST
        try:
            packed = [encode(key) for key in keys]
        except (TypeError, ValueError, OverflowError):
            return [self.redis_key(key) for key in keys]
        if all(len(one) <= longest for one in packed):
            return [prefix + one for one in packed]
        return [self.redis_key(key) for key in keys]

    def pack(self, key: K) -> bytes:
        """Return the whole of ``key`` as bytes, for a message; `unpack` reads it.

        :raises ConfigurationError: for a key that msgspec cannot encode.
        """
        try:
            return self._encode(key)
        except (TypeError, ValueError, OverflowError):
            pass
        try:
            return self._encode(
                _wrap(msgspec.to_builtins(key, builtin_types=(bytes,), order="deterministic"))
            )
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise ConfigurationError("key", f"a {type(key).__name__} cannot be encoded: {error}") from error

    def pack_for_others(self, key: K) -> bytes:
        """Return what `pack` does, of a key that `unpack` makes again of it.

        :raises ConfigurationError: for any other key: who unpacks it would take it for another one.
        """
        packed = self.pack(key)
        try:
            comes_back: object = self.unpack(packed)
        except ValueError:
            comes_back = None
        if comes_back != key:
            kind = type(key).__name__
            raise ConfigurationError("key_type", f"others cannot tell {key!r} from its bytes: say {kind}")
        return packed

    def unpack(self, packed: bytes) -> K:
        """Return the key of which `pack` made ``packed``.

        :raises ValueError: when it is not of ``key_type``, can be no key, or is damaged.
        """
        try:
            key = self._decode(packed)
        except (ValueError, RecursionError):
            key = self._unpack_wrapped(packed)
        if type(key) is list:
            key = _hashable(key)
        try:
            hash(key)
        except TypeError as error:  # such as a mapping, of which only ``key_type`` says whose fields it holds
            raise ValueError(f"no key of {self.namespace}: {error} (key_type)") from None
        return cast(K, key)

    def _unpack_wrapped(self, packed: bytes) -> object:
        try:
            return msgspec.convert(self._decode_any(packed), self._key_type, builtin_types=(bytes,))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"no key of {self.namespace}: {error}") from error


def _wrap(key: Any) -> Any:
    """Return ``key`` with what MessagePack has no form for as an extension."""
    if isinstance(key, str):
        try:
            key.encode()
        except UnicodeEncodeError:
            return msgspec.msgpack.Ext(_TEXT, key.encode("utf-8", "surrogatepass"))
    elif isinstance(key, int) and not -(2**63) <= key < 2**64:
        return msgspec.msgpack.Ext(_WHOLE, key.to_bytes(key.bit_length() // 8 + 1, "big", signed=True))
    elif isinstance(key, list | tuple):
        return [_wrap(part) for part in key]
    elif isinstance(key, dict):
        return {_wrap(name): _wrap(part) for name, part in key.items()}
    return key


def _hashable(key: Any) -> Any:
    return tuple([_hashable(part) for part in key]) if isinstance(key, list) else key


def _unwrap(code: int, data: memoryview) -> Any:
    if code == _TEXT:
        return bytes(data).decode("utf-8", "surrogatepass")
    if code == _WHOLE:
        return int.from_bytes(data, "big", signed=True)
    raise ValueError(f"an extension {code}")
