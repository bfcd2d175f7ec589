"""Put away what a fork must not copy, and take it up again in the parent."""

from __future__ import annotations

import os
from functools import cache
from typing import Protocol
from weakref import WeakKeyDictionary


class PutAway(Protocol):
    """What is put away before each fork of the process that made it; both methods raise nothing."""

    def before_fork(self) -> None:
        """Put it away."""
        ...

    def after_fork(self) -> None:
        """Take it up again, in the parent."""
        ...


def put_away_before_forks(one: PutAway) -> None:
    """Call the methods of ``one`` around each fork of this process, while it is there."""
    _put_away()[one] = os.getpid()


@cache  # a hook on forks belongs to the process and cannot be removed, so there is one
def _put_away() -> WeakKeyDictionary[PutAway, int]:
    known: WeakKeyDictionary[PutAway, int] = WeakKeyDictionary()

    def of_this_process() -> list[PutAway]:
        # A fork has inherited those of its parent, whose locks another thread may have held then.
        return [one for one, process in list(known.items()) if process == os.getpid()]

    def before() -> None:
        for one in of_this_process():
            one.before_fork()

    def after() -> None:
        for one in of_this_process():
            one.after_fork()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=before, after_in_parent=after)
    return known
