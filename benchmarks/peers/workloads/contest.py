"""Shared parts of all workloads: the contenders, and rows made from samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.peers.results import Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from benchmarks.peers.peer import Peer
    from benchmarks.peers.results import Sample


class WrongAnswerError(Exception):
    """A peer returned a wrong value for a key."""


def rows_of(
    samples: Mapping[str, Sequence[Sample]], peers: Iterable[type[Peer]], *, floors: Iterable[str]
) -> list[Row]:
    """Return a row for each contender that has samples: a peer, a way to use one, or a floor."""
    kinds = {peer.title: peer for peer in peers}
    rows = [Row(title, found, is_floor=True) for title, found in samples.items() if title in set(floors)]
    for title, found in samples.items():
        # "cachebox LRU" and "cachebox LRU, tuned" are two peers; "..., peek" is a way to use one.
        kind = kinds.get(title) or kinds.get(title.rpartition(", ")[0])
        if kind is not None:
            remark = "keeps nothing" if not kind.holds else "" if kind.is_bounded else "no bound"
            rows.append(Row(title, found, is_ours=kind.is_ours, remark=remark))
    return [row for row in rows if row.samples]


def check(answers: Iterable[int], expected: Iterable[int]) -> None:
    """Raise `WrongAnswerError` unless all ``answers`` are the expected ones."""
    for answer, right in zip(answers, expected, strict=True):
        if answer != right:
            raise WrongAnswerError(f"{answer!r} in place of {right!r}")
