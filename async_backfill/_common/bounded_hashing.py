"""Fill a dict or a set with keys that anybody may have made.

Keys of one hash take a time that grows with their square. The hashes of numbers, and of tuples of them, can
be chosen; those of text and bytes differ in each process.
"""

from __future__ import annotations

from time import thread_time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_STEP: Final = 64  # so few keys never take long
_ALLOWED: Final = 2e-4  # seconds of the processor
_PER_BYTE: Final = 1e-7  # some hundred times what honest keys need


def fill(add: Callable[[Sequence[Any]], object], parts: Sequence[Any], size: int) -> None:
    """Call ``add``, such as the ``update`` of a set, with ``parts`` by and by.

    :param size: the number of bytes that ``parts`` were decoded from, which they may take time for.
    :raises ValueError: when they take far longer; then some of them were added.
    """
    if len(parts) <= _STEP:
        add(parts)
        return
    left = _ALLOWED + size * _PER_BYTE
    for at in range(0, len(parts), _STEP):
        began = thread_time()
        add(parts[at : at + _STEP])
        left -= thread_time() - began
        if left < 0.0:
            raise ValueError("too many of its keys have one hash")
