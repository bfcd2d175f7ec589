"""The type variables of what learns its types from its settings, or not at all, such as a source of rows.

A type checker takes any type where it cannot tell, so that nobody has to annotate ``rows = SQLSource(...)``.
The other classes have no such default: it would hide what the checker could find out a step later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["K", "V"]

if TYPE_CHECKING:
    from collections.abc import Hashable
    from typing import Any

    from typing_extensions import TypeVar

    K = TypeVar("K", bound=Hashable, default=Any)
    V = TypeVar("V", default=Any)
else:
    from async_backfill.contracts import K, V
