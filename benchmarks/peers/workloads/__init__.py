"""The workloads, one file for each, and their names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from benchmarks.peers.workloads import (
    cold_keys,
    hits,
    left_behind,
    lone_miss,
    memory,
    mixed,
    slow_key,
    slow_load,
    stampede,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchmarks.peers.peer import Peer
    from benchmarks.peers.results import Result
    from benchmarks.peers.sizes import Sizes

Workload: TypeAlias = "Callable[[Sequence[type[Peer]], Sizes], Result]"

Name: TypeAlias = Literal[
    "hits",
    "hits-zipf",
    "lone-miss",
    "stampede",
    "slow-load",
    "slow-key",
    "cold-keys",
    "get-many",
    "memory",
    "left-behind",
    "mixed",
]

WORKLOADS: Final[Mapping[Name, Workload]] = {
    "hits": hits.uniform,
    "hits-zipf": hits.skewed,
    "lone-miss": lone_miss.measure,
    "stampede": stampede.measure,
    "slow-load": slow_load.measure,
    "slow-key": slow_key.measure,
    "cold-keys": cold_keys.single_gets,
    "get-many": cold_keys.many,
    "memory": memory.measure,
    "left-behind": left_behind.measure,
    "mixed": mixed.measure,
}
