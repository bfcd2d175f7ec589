"""Select the results worth choosing: the Pareto front of the cost for the source against memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Costs(Protocol):
    """The two costs of a choice; less is better in both."""

    @property
    def entries(self) -> int:
        """The largest number of keys held."""
        ...

    @property
    def cost(self) -> float:
        """The cost for the source: its calls, and the keys that were read."""
        ...


C = TypeVar("C", bound=Costs)


def dominates(one: Costs, other: Costs) -> bool:
    """Return whether ``one`` is no worse than ``other`` in both costs, and better in one."""
    no_worse = one.entries <= other.entries and one.cost <= other.cost
    return no_worse and (one.entries, one.cost) != (other.entries, other.cost)


def pareto_front(choices: Iterable[C]) -> list[C]:
    """Return the choices that no other one dominates, in ascending order of memory.

    Of choices with the same costs only the first is kept.
    """
    front: list[C] = []
    for choice in sorted(choices, key=lambda choice: (choice.entries, choice.cost)):
        if not front or choice.cost < front[-1].cost:
            front.append(choice)
    return front


def worth_choosing(front: Sequence[C], *, gain: float) -> list[C]:
    """Return the few of ``front`` that are worth their memory, in ascending order of memory.

    Each costs the source less than the one before it, by at least the share ``gain`` (epsilon-dominance, here
    in one cost: Laumanns et al. 2002, Combining Convergence and Diversity in Evolutionary
    Multiobjective Optimization).
    """
    kept: list[C] = []
    for choice in front:
        if not kept or choice.cost <= kept[-1].cost * (1.0 - gain):
            kept.append(choice)
    return kept
