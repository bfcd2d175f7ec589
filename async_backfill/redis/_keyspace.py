"""Names in Redis: a namespace, and any key that msgspec can encode; keys of different types differ.

A key is packed with MessagePack, whose forms of ``1``, ``True``, ``1.0``, ``"1"`` and ``b"1"`` differ;
a plain text stays readable in ``redis-cli``, after its first byte.
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
"""The largest packed key, in bytes, that is used in a Redis key; a longer one is replaced by its digest."""

_NAMESPACE: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_DIGEST: Final = 32  # bytes; two keys with one digest would share an entry, so no collision may ever be found
_TEXT: Final = 1  # a text that UTF-8 cannot encode: it has lone surrogates
_WHOLE: Final = 2  # a whole number beyond 64 bits


class Keyspace(Generic[K]):
    """The Redis names of one cache: ``namespace:...`` for entries, ``namespace!...`` for all else.

    :param namespace: 1 to 64 letters, digits, ``.``, ``_`` or ``-``; caches that share entries share it.
    :param key_type: the type of a key that `unpack` returns, any type that msgspec supports; with ``Any``,
        only plain types and tuples of them come back unchanged.
    :raises ConfigurationError: for any other namespace, or a type that msgspec does not support.
    """

    def __init__(self, namespace: str, key_type: type[K] | Any = Any) -> None:
        if not _NAMESPACE.fullmatch(text("namespace", namespace)):
            raise ConfigurationError(
                "namespace", f"must be 1 to 64 letters, digits, '.', '_' or '-', not {namespace!r}"
            )
        self.namespace = namespace
        self._prefix = f"{namespace}:k".encode()
        self._long_prefix = f"{namespace}:h".encode()
        self._key_type = key_type
        # Sets and mappings in a key are encoded in the same order by all processes.
        self._encode = msgspec.msgpack.Encoder(order="deterministic").encode
        try:
            self._decode = msgspec.msgpack.Decoder(key_type, ext_hook=_unwrap).decode
        except TypeError as error:
            raise ConfigurationError("key_type", str(error)) from None
        self._decode_any = msgspec.msgpack.Decoder(ext_hook=_unwrap).decode

    @property
    def pattern(self) -> bytes:
        """The pattern for ``SCAN ... MATCH`` that finds all entries, and nothing else."""
        return f"{self.namespace}:*".encode()

    def name(self, purpose: str) -> bytes:
        """Return the Redis key or channel for something else than an entry, such as ``"permits"``."""
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
        """Return the `redis_key` of each of ``keys``, in order."""
        encode, prefix, longest = self._encode, self._prefix, LONGEST
        try:
            packed = [encode(key) for key in keys]
        except (TypeError, ValueError, OverflowError):
            return [self.redis_key(key) for key in keys]
        if all(len(one) <= longest for one in packed):
            return [prefix + one for one in packed]
        return [self.redis_key(key) for key in keys]

    def pack(self, key: K) -> bytes:
        """Return the complete ``key`` as bytes, for a message; `unpack` is its inverse.

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
        """Return ``key`` packed, if `unpack` returns the same key again.

        :raises ConfigurationError: for any other key: a receiver would take it for another one.
        """
        # A UUID without its key_type would be received as text: see decision 39 in notes.md.
        packed = self.pack(key)
        try:
            comes_back: object = self.unpack(packed)
        except ValueError:
            comes_back = None
        if comes_back != key:
            kind = type(key).__name__
            raise ConfigurationError("key_type", f"others cannot decode {key!r}: set key_type={kind}")
        return packed

    def unpack(self, packed: bytes) -> K:
        """Return the key that `pack` made into ``packed``.

        :raises ValueError: when it is not of ``key_type``, is not hashable, or is damaged.
        """
        try:
            key = self._decode(packed)
        except (ValueError, RecursionError):
            key = self._unpack_wrapped(packed)
        if type(key) is list:
            key = _hashable(key)
        try:
            hash(key)
        except TypeError as error:  # such as a mapping: only ``key_type`` tells its class
            raise ValueError(f"not a key of {self.namespace}: {error} (set key_type)") from None
        return cast(K, key)

    def _unpack_wrapped(self, packed: bytes) -> object:
        try:
            return msgspec.convert(self._decode_any(packed), self._key_type, builtin_types=(bytes,))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"not a key of {self.namespace}: {error}") from error


def _wrap(key: Any) -> Any:
    """Return ``key`` with MessagePack extensions in place of values that MessagePack cannot hold."""
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
    raise ValueError(f"it has an unknown extension {code}")
