"""What all workloads share: who takes part, and rows out of samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.peers.results import Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from benchmarks.peers.peer import Peer
    from benchmarks.peers.results import Sample


class WrongAnswerError(Exception):
    """A peer answered with something else than the value of the key."""


def rows_of(
    samples: Mapping[str, Sequence[Sample]], *, ours: Iterable[str], floors: Iterable[str]
) -> list[Row]:
    """Return a row for each contender that has samples, in the order they came in."""
    ours, floors = set(ours), set(floors)
    return [Row(title, title in ours, title in floors, found) for title, found in samples.items() if found]


def titles(peers: Iterable[type[Peer]]) -> list[str]:
    """Return the titles of those peers that are this project's."""
    return [peer.title for peer in peers if peer.is_ours]


def check(answers: Iterable[int], expected: Iterable[int]) -> None:
    """Raise `WrongAnswerError` unless all ``answers`` are those that were expected."""
    for answer, right in zip(answers, expected, strict=True):
        if answer != right:
            raise WrongAnswerError(f"{answer!r} in place of {right!r}")
