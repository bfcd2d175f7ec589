"""Names in Redis: a namespace, and a key in the encoding of keys that all tiers share.

Text stays readable in ``redis-cli``: ``namespace:k:text``.
"""

from __future__ import annotations

import logging
import re
import time
from collections import Counter
from contextlib import suppress
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

from async_backfill._common.key_codec import KeyCodec
from async_backfill._common.key_decoder import is_packed
from async_backfill._common.key_scalars import SHORT
from async_backfill._common.line_a_second import LineASecond
from async_backfill._common.other_keys import shown
from async_backfill._common.validation import text
from async_backfill.contracts import K
from async_backfill.errors import ConfigurationError, KeyRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

T = TypeVar("T")

LONGEST: Final = 200
"""The largest encoded key, in bytes, that is used in a Redis key; a longer one is replaced by its digest."""

_NAMESPACE: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_DIGEST: Final = 32  # bytes; two keys with one digest would share an entry, so no collision may ever be found
_ALL_TEXT: Final = frozenset({str})
_ALL_WHOLE: Final = frozenset({int})
_LOGGER: Final = logging.getLogger("async_backfill.far")


class Keyspace(Generic[K]):
    """The Redis names of one cache: ``namespace:...`` for entries, ``namespace!...`` for all else.

    :param namespace: 1 to 64 letters, digits, ``.``, ``_`` or ``-``; caches that share entries share it.
    :param key_type: the classes of keys that are no standard types; see `RedisStore`.
    :param clock: a monotonic clock, in seconds, for the log.
    :raises ConfigurationError: for any other namespace, or a class that cannot be that of a key.
    """

    def __init__(
        self, namespace: str, key_type: type[K] | Any = Any, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if not _NAMESPACE.fullmatch(text("namespace", namespace)):
            raise ConfigurationError(
                "namespace", f"must be 1 to 64 letters, digits, '.', '_' or '-', not {namespace!r}"
            )
        self.namespace = namespace
        self._prefix = f"{namespace}:k".encode()
        self._long_prefix = f"{namespace}:h".encode()
        self._text_prefix = f"{namespace}:k:"
        self._number_format = f"{namespace}:k#%d".encode()
        self._longest = len(self._prefix) + LONGEST
        self._codec = KeyCodec(key_type)
        self._log = LineASecond(_LOGGER, clock)
        self.refused: Counter[str] = Counter()
        """The number of keys left out by `names`, by class."""

    @property
    def pattern(self) -> bytes:
        """The pattern for ``SCAN ... MATCH`` that finds all entries, and little else: see `is_entry`."""
        return f"{self.namespace}:[hk]*".encode()

    @property
    def probes(self) -> tuple[bytes, bytes]:
        """The Redis keys of no entries, which nobody writes; they begin as those of entries do."""
        return self._prefix + b"\0", self._long_prefix + b"\0"

    def is_entry(self, name: bytes) -> bool:
        """Return whether a key in Redis has the name of an entry of this cache."""
        start = len(self._prefix)
        if name.startswith(self._long_prefix):
            return len(name) == start + _DIGEST
        return name.startswith(self._prefix) and len(name) <= self._longest and is_packed(name[start:])

    def keys_of(self, names: Iterable[bytes]) -> list[K]:
        """Return the keys of those Redis keys in ``names`` that are of entries and hold the whole key."""
        start, keys = len(self._prefix), list[K]()
        for name in names:
            if name.startswith(self._prefix) and self.is_entry(name):
                with suppress(ValueError):
                    keys.append(self.unpack(name[start:]))
        return keys

    def name(self, purpose: str) -> bytes:
        """Return the Redis key or channel for something else than an entry, such as ``"permits"``."""
        return f"{self.namespace}!{purpose}".encode()

    def redis_key(self, key: K) -> bytes:
        """Return the Redis key of the entry of ``key``.

        :raises KeyRefusedError: for a key that could not be told apart from others.
        """
        packed = self._codec.encode(key)
        if len(packed) > LONGEST:
            return self._long_prefix + blake2b(packed, digest_size=_DIGEST).digest()
        return self._prefix + packed

    def redis_keys(self, keys: Iterable[K]) -> list[bytes]:
        """Return the `redis_key` of each of ``keys``, in order; raises as that does."""
        some: tuple[Any, ...] = tuple(keys)
        # What `KeyCodec` does with text and short numbers, for many at once.
        kinds = set(map(type, some))
        if kinds == _ALL_TEXT:
            start = self._text_prefix
            try:
                names = [(start + key).encode() for key in some]
            except UnicodeEncodeError:
                return list(map(self.redis_key, some))
            if max(map(len, names)) <= self._longest:
                return names
        elif kinds == _ALL_WHOLE and min(some) > -SHORT and max(some) < SHORT:
            number = self._number_format
            return [number % key for key in some]
        return list(map(self.redis_key, some))

    def names(self, keys: Collection[K]) -> tuple[Collection[K], list[bytes]]:
        """Return those of ``keys`` that have a Redis key, and these, in order.

        The others are counted in `refused` and logged, at most one line per second.
        """
        try:
            return keys, self.redis_keys(keys)
        except KeyRefusedError:
            pass
        told: list[K] = []
        names: list[bytes] = []
        for key in keys:
            try:
                names.append(self.redis_key(key))
                told.append(key)
            except KeyRefusedError as refusal:
                self._refuse(key, refusal)
        return told, names

    def _refuse(self, key: K, refusal: KeyRefusedError) -> None:
        self.refused[type(key).__name__] += 1
        self._log.warning(
            "a key is not shared through %s, only its process has it: %s", self.namespace, refusal.problem
        )

    def named(self, items: Mapping[K, T]) -> tuple[Collection[K], list[bytes], Collection[T]]:
        """Return the keys of ``items`` that have a Redis key, as `names` does, and their values, in order."""
        keys, names = self.names(items)
        return keys, names, items.values() if keys is items else [items[key] for key in keys]

    def pack(self, key: K) -> bytes:
        """Return the complete ``key`` as bytes, for a message; `unpack` returns one that is equal.

        :raises KeyRefusedError: for a key that could not be told apart from others, or not made again.
        """
        packed = self._codec.encode(key)
        if type(key) is not str and type(key) is not int and not self._codec.comes_back(key, packed):
            kind = type(key).__name__
            raise KeyRefusedError(
                "key_type",
                f"{shown(key)}: others cannot decode a key of type {kind}: set key_type={kind}",
                keys=(key,),
            )
        return packed

    def packed(self, keys: Sequence[K]) -> tuple[list[bytes], KeyRefusedError | None]:
        """Return those of ``keys`` that can be packed, and one error for the others, if there are any."""
        packed: list[bytes] = []
        refusals: list[KeyRefusedError] = []
        for key in keys:
            try:
                packed.append(self.pack(key))
            except KeyRefusedError as refusal:
                refusals.append(refusal)
        if not refusals:
            return packed, None
        first = refusals[0]
        refused = tuple([key for refusal in refusals for key in refusal.keys])
        more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
        return packed, KeyRefusedError(first.setting, first.problem + more, keys=refused)

    def unpack(self, packed: bytes) -> K:
        """Return a key that is equal to the one that `pack` made into ``packed``.

        :raises ValueError: when it is damaged, or of a class that was not given.
        """
        return cast("K", self._codec.decode(packed))
