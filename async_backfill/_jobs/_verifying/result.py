"""What a verification found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What a verification found; a difference is one that was the same at a second look.

    ``is_all``
        whether all rows were compared, not a sample.
    ``compared``
        rows that were compared with the store.
    ``wrong``
        rows whose copy is another one.
    ``missing``
        rows that the store does not have, for none of the reasons below.
    ``extra``
        keys of the store without a row; ``None`` when these were not looked for.
    ``unread``
        rows that could not be read again, so that nobody knows.
    ``inserted``
        rows that the store does not have and the job did not read: they came behind its cursors.
    ``expired``
        rows that the store does not have, and whose time to live may be over.
    ``rejected``
        rows that the store cannot keep.
    ``dead``
        rows that the store does not have, and that the job had left out.
    ``changing``
        rows that had changed each time that they were looked at.
    ``repaired``
        of the wrong, missing and extra ones: those that are right now. They count above as well.
    ``stopped``
        why it was ended before its end; ``None`` when it was not.
    """

    is_all: bool
    compared: int = 0
    wrong: int = 0
    missing: int = 0
    extra: int | None = None
    unread: int = 0
    inserted: int = 0
    expired: int = 0
    rejected: int = 0
    dead: int = 0
    changing: int = 0
    repaired: int = 0
    stopped: str | None = None

    @property
    def differences(self) -> int:
        """The number of differences that were found, repaired or not."""
        return self.wrong + self.missing + (self.extra or 0) + self.unread

    @property
    def left(self) -> int:
        """The number of differences that are still there."""
        return self.differences - self.repaired
