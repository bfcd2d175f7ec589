"""What is said on a page after its form has done something."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

DONE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "plan": "The plan is kept. Nothing runs before somebody has reviewed and approved it.",
        "approve": "The plan is approved.",
        "revoke": "The approval is taken back: workers begin no further page.",
        "resume": "The job goes on, as soon as there is a worker.",
        "pause": "Asked to pause: workers obey after their page.",
        "cancel": "Asked to end for good.",
        "set": "The settings are changed: workers use them after their page.",
        "verify": "The verification begins: what it finds is shown here.",
        "mend": "The verification begins, and differences are mended.",
        "end-verification": "The verification was asked to end.",
        "panic": "All jobs that run were asked to pause.",
        "cache-approve": "More backfills are approved.",
        "cache-revoke": "Approvals that were not used are taken back.",
        "cache-pause": "No backfill starts by itself any more.",
        "cache-resume": "Backfills start by themselves again.",
        "cache-cancel": "The backfill that ran was ended: what it had loaded stays.",
        "cache-off": "Reads go through to the source, and nothing is kept.",
        "cache-on": "The cache keeps values again.",
        "cache-invalidate": "The key is no longer kept.",
        "cache-retune": "The settings are changed, from the next decision on.",
        "cache-snapshot": "A snapshot is saved.",
        "cache-stop-restoring": "No more of the snapshot is restored.",
    }
)
"""By the word at the end of the address; those of caches begin with ``cache-``."""
